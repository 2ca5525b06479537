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
-- KEYS[10] sentiq:jobs         the ids of all jobs by the time of their creation, a sorted set
-- ARGV[1] the job's id
-- ARGV[2] now, in Unix seconds

local facts, pages, todo, late, done, sent = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local unfinished, ends, callbacks, index = KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local job_id, now = ARGV[1], ARGV[2]

local ENDED_CHANNEL = 'sentiq:ended'
-- So long after its end a job is kept that brought texts into a stream: it has no results, and there may be many.
local STREAM_JOB_S = 600
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

-- The uid of the stream that its texts are for; nil if there is none.
local function its_stream()
  return redis.call('HGET', facts, 'stream') or nil
end

-- Whether it is there only to bring texts into a stream: it keeps neither lines nor results, and is in no list.
local function is_passing()
  return its_stream() and not has('keeps')
end

-- The lists in which the job is: of all jobs, and of its owner's.
local function lists()
  if is_passing() then return {} end
  local owner = redis.call('HGET', facts, 'owner')
  return owner and {index, index .. ':' .. owner} or {index}
end

-- What the jobs of one caller keep is counted in bytes:
--
--   sentiq:kept:<caller>        the caller's jobs by the time when they expire, in milliseconds of the server's clock
--   sentiq:kept:<caller>:bytes  the bytes that each of these jobs keeps, and `total`, their sum; a hash
--   sentiq:open:<caller>        the ids of the caller's jobs that have not ended, and of some that have expired; a set
--   sentiq:open:<caller>:looked for a second after those that have expired were looked for; see begin.lua
--
-- A job that has expired is taken off before the sum is looked at, so that the sum is always that of the jobs that are
-- there. Jobs of the version before have no caller.

local function caller_keys(caller)
  local kept = 'sentiq:kept:' .. caller
  return kept, kept .. ':bytes', 'sentiq:open:' .. caller
end

-- Who made the job; nil if that is not known.
local function its_caller()
  local caller = redis.call('HGET', facts, 'caller')
  if caller and caller ~= '' then return caller end
end

local function clock_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Notes that the job keeps so many bytes more, or fewer, and when it expires.
local function keep(bytes)
  local caller = its_caller()
  if not caller then return end
  local kept, sizes = caller_keys(caller)
  local left_ms = redis.call('PTTL', facts)
  redis.call('ZADD', kept, clock_ms() + left_ms, job_id)
  redis.call('HINCRBY', sizes, job_id, bytes)
  redis.call('HINCRBY', sizes, 'total', bytes)
  for _, key in ipairs({kept, sizes}) do
    if redis.call('PTTL', key) < left_ms then redis.call('PEXPIRE', key, left_ms) end
  end
end

-- Takes a job off those of a caller.
local function let_go(caller, id)
  local kept, sizes, open = caller_keys(caller)
  local bytes = tonumber(redis.call('HGET', sizes, id) or 0)
  redis.call('ZREM', kept, id)
  redis.call('SREM', open, id)
  redis.call('HDEL', sizes, id)
  if bytes ~= 0 then redis.call('HINCRBY', sizes, 'total', -bytes) end
end

-- Nothing if the caller's jobs have room for so many bytes more; else 'full', the bytes that its other jobs keep, those
-- that this one would keep, and the milliseconds until another of its jobs expires.
local function no_room(bytes, most_bytes)
  local caller = its_caller()
  if not caller then return end
  local kept, sizes = caller_keys(caller)
  local clock = clock_ms()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', kept, '-inf', clock, 'LIMIT', 0, 1000)) do let_go(caller, id) end
  local total = tonumber(redis.call('HGET', sizes, 'total') or 0)
  if total + bytes <= tonumber(most_bytes) then return end
  local own = tonumber(redis.call('HGET', sizes, job_id) or 0)
  local nearest = redis.call('ZRANGE', kept, 0, 1, 'WITHSCORES')
  local expires = nearest[1] == job_id and nearest[4] or nearest[2]
  return {'full', total - own, own + bytes, (expires or clock) - clock}
end

-- Lets all keys of the job expire after `ttl_s` seconds.
local function live_for(ttl_s)
  redis.call('HSET', facts, 'expires_at', tonumber(now) + tonumber(ttl_s))
  for _, key in ipairs({facts, pages, todo, late, done, sent}) do redis.call('EXPIRE', key, ttl_s) end
  keep(0)
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

-- The bytes of the texts of all chunks that are not done.
local function waiting_bytes()
  return tonumber(redis.call('HGET', facts, 'todo_bytes') or 0)
end

-- Whether a chunk should be under way: it is stored and not done, and the one before it in its lane, if any, is done.
-- Texts for a stream are counted only if all of them came in: the chunks of such a job are due from then on.
local function is_due(chunk)
  local width, count, cancelled_at, stream, sealed =
    unpack(redis.call('HMGET', facts, 'window', 'chunks', 'cancelled_at', 'stream', 'sealed'))
  if cancelled_at or (stream and not sealed) or chunk >= tonumber(count) or is_done(chunk) then return false end
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

-- Which chunks should be under way. In each lane, the chunks that are done come before all others, so that the due one
-- is found by binary search; a job may have a hundred thousand chunks.
local function due_chunks()
  local due = {}
  local width, count = window(), chunks()
  for lane = 0, math.min(width, count) - 1 do
    -- Positions in the lane: all chunks below `low` are done, none from `high` on is.
    local low, high = 0, math.ceil((count - lane) / width)
    while low < high do
      local middle = math.floor((low + high) / 2)
      if is_done(lane + middle * width) then low = middle + 1 else high = middle end
    end
    local chunk = lane + low * width
    if is_due(chunk) then due[#due + 1] = chunk end
  end
  return due
end

-- The end. The field `ended` has the state, for readers of the job.

local function end_as(state)
  redis.call('HSET', facts, 'ended', state)
  redis.call('HINCRBY', ends, state, 1)
  redis.call('EXPIRE', ends, ENDS_TTL_S)
  redis.call('SREM', unfinished, job_id)
  local caller = its_caller()
  if caller then
    local _, _, open = caller_keys(caller)
    redis.call('SREM', open, job_id)
  end
  redis.call('PUBLISH', ENDED_CHANNEL, job_id)
  if has('callback_url') then
    redis.call('ZADD', callbacks, now, job_id)
    redis.call('EXPIRE', callbacks, CALLBACKS_TTL_S)
  end
  local stream = its_stream()
  if stream then redis.call('SREM', 'sentiq:s:' .. stream .. ':jobs', job_id) end
  if is_passing() then live_for(STREAM_JOB_S) end
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
