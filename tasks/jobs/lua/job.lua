-- What the scripts of a job share: the keys and arguments that each of them gets before its own, and the decisions
-- which chunk is due and in which state a job ends, which are made nowhere else.
--
-- KEYS[1] sentiq:j:<job>       the job's facts and counts, a hash
-- KEYS[2] sentiq:j:<job>:in    its lines: a hash of pages
-- KEYS[3] sentiq:j:<job>:todo  the texts of each chunk that is not done: a hash of chunks
-- KEYS[4] sentiq:j:<job>:late  lines that repeat a text of a chunk stored before: a hash of chunks
-- KEYS[5] sentiq:j:<job>:done  the numbers of the chunks that are done, a set
-- KEYS[6] sentiq:j:<job>:sent  the numbers of the chunks that were sent after another was done, a set
-- KEYS[7] sentiq:unfinished    the ids of the jobs that have not ended, a set
-- KEYS[8] sentiq:ends          how many jobs have ended, by state, a hash
-- KEYS[9] sentiq:callbacks     the ids of the jobs whose callback is due, a set sorted by time
-- ARGV[1] the job's id
-- ARGV[2] now, in Unix seconds

local facts, pages, todo, late, done, sent = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local unfinished, ends, callbacks = KEYS[7], KEYS[8], KEYS[9]
local job_id, now = ARGV[1], ARGV[2]

local ENDED_CHANNEL = 'sentiq:ended'
-- If no job ends for this long, the counts of ended jobs start again at 0.
local ENDS_TTL_S = 30 * 86400
-- Longer than a callback is retried.
local CALLBACKS_TTL_S = 2 * 86400

local function exists()
  return redis.call('EXISTS', facts) == 1
end

local function has(fact)
  return redis.call('HEXISTS', facts, fact) == 1
end

-- Lets all keys of the job expire after `ttl_s` seconds.
local function live_for(ttl_s)
  redis.call('HSET', facts, 'expires_at', tonumber(now) + tonumber(ttl_s))
  for _, key in ipairs({facts, pages, todo, late, done, sent}) do redis.call('EXPIRE', key, ttl_s) end
end

-- Lets a key that may just have been made expire with the job: no key may stay for ever.
local function end_with_job(key)
  redis.call('PEXPIRE', key, redis.call('PTTL', facts))
end

local function grow(counts)
  for field, n in pairs(counts) do redis.call('HINCRBY', facts, field, n) end
end

-- Chunks. A job's chunks run in `window` lanes: lane 0 has the chunks 0, window, 2 * window and so on. In each lane, a
-- chunk is sent when the one before it is done.

local function window()
  return tonumber(redis.call('HGET', facts, 'window'))
end

local function chunks()
  return tonumber(redis.call('HGET', facts, 'chunks'))
end

local function is_done(chunk)
  return redis.call('SISMEMBER', done, chunk) == 1
end

-- How many lines repeat each text of a chunk: {text: lines}. If that is damaged, it says of none.
local function repeated_lines(chunk)
  local readable, by_text = pcall(cjson.decode, redis.call('HGET', late, chunk) or '{}')
  return readable and type(by_text) == 'table' and by_text or {}
end

-- Whether a chunk should be under way: it is stored and not done, and the one before it in its lane, if any, is done.
local function is_due(chunk)
  local width, count, cancelled_at = unpack(redis.call('HMGET', facts, 'window', 'chunks', 'cancelled_at'))
  if cancelled_at or chunk >= tonumber(count) or is_done(chunk) then return false end
  local before = chunk - tonumber(width)
  return before < 0 or is_done(before)
end

-- The chunk that has to be sent when this one is done; false if there is none, or it is not stored yet or already sent.
local function successor(chunk)
  local following = chunk + window()
  return is_due(following) and redis.call('SISMEMBER', sent, following) == 0 and following
end

-- Notes that a chunk was sent after another was done. The first chunk of a lane follows no other and is not noted.
local function note_sent(chunk)
  if chunk < window() then return end
  redis.call('SADD', sent, chunk)
  end_with_job(sent)
end

-- The end. The field `ended` has the state, for readers of the job.

local function end_as(state)
  redis.call('HSET', facts, 'ended', state)
  redis.call('HINCRBY', ends, state, 1)
  redis.call('EXPIRE', ends, ENDS_TTL_S)
  redis.call('SREM', unfinished, job_id)
  redis.call('PUBLISH', ENDED_CHANNEL, job_id)
  if has('callback_url') then
    redis.call('ZADD', callbacks, now, job_id)
    redis.call('EXPIRE', callbacks, CALLBACKS_TTL_S)
  end
end

-- Ends a job whose texts have all come in and whose chunks are all done. Lines that no chunk has answered have failed:
-- what is stored of their chunk was damaged, and with it the number of lines that each text of the chunk answers.
local function end_if_complete()
  if not has('sealed') or has('cancelled_at') or redis.call('SCARD', done) < chunks() then return end
  if redis.call('HSETNX', facts, 'finished_at', now) == 0 then return end
  local unanswered = redis.call('HGET', facts, 'total') - redis.call('HGET', facts, 'done')
  grow({failed = unanswered, done = unanswered})
  local counts = redis.call('HMGET', facts, 'failed', 'total')
  end_as(counts[1] == counts[2] and 'failed' or 'succeeded')
end
