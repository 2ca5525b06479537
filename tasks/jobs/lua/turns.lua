-- Lets the chunks of all jobs take turns, so that only a few are in the broker and the next one is chosen late. Callers
-- come before jobs: next is a chunk of the caller that has had the least work done (start-time fair queueing), and of
-- that caller's chunks one whose job has had few chunks done, though no chunk waits for ever behind newer jobs.
--
-- Chunks with texts for streams come before those of other jobs, as somebody looks at the stream: they take turns among
-- themselves, and one of them may be handed out although as many chunks are as may be. Workers take them first. While
-- both wait, a quarter of the work is that of other jobs: then a chunk of theirs is taken in its turn among the first.
--
-- A small chunk with texts for a stream goes to an interactive worker if that has none, as a batch worker may be in the
-- midst of a full chunk, and has the processor only when nothing else wants it. Callers who wait for their texts come
-- first there: each interactive worker spends at most a part of its time on such chunks. What is beyond that goes to the
-- batch workers, like all that is large.
--
-- Work is counted in thousandths of a full chunk. A chunk costs the mean of its job's chunks. A caller's chunks are kept
-- in sentiq:turn<model>:<caller>, a set sorted by place; <model> is the suffix of the model's queues. What was handed out
-- is known to be over once its texts are gone from its job (finished, cancelled, expired), whoever did it: nothing has to
-- be given back.
--
-- KEYS[1] sentiq:turns<model>        the callers whose chunks wait, by the work at which their next turn begins, a
--   sorted set
-- KEYS[2] sentiq:turns<model>:since  the chunks that wait, by the time since when, a sorted set
-- KEYS[3] sentiq:turns<model>:sent   the chunks that were handed out and may not be over, a set
-- KEYS[4] sentiq:turns<model>:clock  the work at which the latest turn began
-- KEYS[5] sentiq:turns<model>:live   as KEYS[1], of the chunks with texts for streams
-- KEYS[6] sentiq:turns<model>:shares how much work was handed out of streams' chunks (`live`) and of others (`jobs`) while
--   both waited, a hash
-- KEYS[7] sentiq:turns<model>:quick  those of KEYS[3] that interactive workers have, and `from`: when the next one may be
--   handed out to them, and in the past if time was saved; a hash
-- KEYS[8] sentiq:turns<model>:small  as KEYS[1], of the small chunks with texts for streams
-- ARGV[1] now, in Unix seconds
-- ARGV[2] the most chunks that may be handed out and not over
-- ARGV[3] the beginning of the names of the callers' sets
-- ARGV[4] the same of the callers' sets for streams
-- ARGV[5] the same of the callers' sets for small chunks of streams
-- ARGV[6] the number of interactive workers that are ready
-- ARGV[7] and all after it: the chunks that wait from now on, as <job>.<number>; what waits already is left alone, and
--   what was handed out is returned once more, as it may not have been sent
--
-- Returns the chunks that have to be sent now, each with the origin of its job ('' if it has none), and 1 if workers
-- have to take it before others, 2 if it goes to an interactive worker.
local of_jobs, since, sent, clock_key, of_live, shares, quick, of_small =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local now, at_once, jobs_prefix, live_prefix, small_prefix, quick_workers, chunks =
  ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), {unpack(ARGV, 7)}

local FULL = 1000
-- So many chunks of its caller's, at most, go before a chunk although they came later.
local PATIENCE = 32
-- So much work of streams' chunks goes before as much of others'.
local LIVE_SHARE = 3
-- The work of a small chunk, at the most: a tenth of a second.
local QUICK = 100
-- One of so many parts of their time is what interactive workers spend on small chunks.
local QUICK_PART = 4
-- What they have not spent in so many seconds may be spent at once.
local QUICK_SAVED_S = 2
-- Each call renews it; chunks that are gone from here are found by tasks/work/upkeep.py like lost ones.
local TTL_S = 86400

local function job_of(chunk)
  local job, number = string.match(chunk, '^(.*)%.(%d+)$')
  return 'sentiq:j:' .. job, tonumber(number)
end

local function is_wanted(chunk)
  local job, number = job_of(chunk)
  return redis.call('HEXISTS', job .. ':todo', number) == 1
end

local function is_live(chunk)
  local job = job_of(chunk)
  return redis.call('HEXISTS', job, 'stream') == 1
end

local under_way, live_under_way, quick_under_way = 0, 0, 0
for _, chunk in ipairs(redis.call('SMEMBERS', sent)) do
  if not is_wanted(chunk) then
    redis.call('SREM', sent, chunk)
    redis.call('HDEL', quick, chunk)
  elseif redis.call('HEXISTS', quick, chunk) == 1 then
    quick_under_way = quick_under_way + 1
  else
    under_way = under_way + 1
    if is_live(chunk) then live_under_way = live_under_way + 1 end
  end
end

-- `how`: see what is returned.
local to_send = {}
local function hand_out(chunk, how)
  redis.call('SADD', sent, chunk)
  if how == 2 then redis.call('HSET', quick, chunk, now) else redis.call('HDEL', quick, chunk) end
  local facts = job_of(chunk)
  to_send[#to_send + 1] = {chunk, redis.call('HGET', facts, 'origin') or '', how}
end

local function work_of(chunk)
  local facts = redis.call('HMGET', job_of(chunk), 'work', 'chunks')
  local work = tonumber(facts[1] or 0)
  return work > 0 and work / tonumber(facts[2]) or FULL
end

local clock = tonumber(redis.call('GET', clock_key) or 0)
for _, chunk in ipairs(chunks) do
  if redis.call('SISMEMBER', sent, chunk) == 1 then
    hand_out(chunk, is_live(chunk) and 1 or 0)
  elseif redis.call('ZADD', since, 'NX', now, chunk) == 1 then
    local job, number = job_of(chunk)
    -- Jobs of the version before have no caller.
    local known = redis.call('HMGET', job, 'caller', 'owner')
    local caller = known[1] or known[2] or ''
    local callers, prefix = of_jobs, jobs_prefix
    if is_live(chunk) and work_of(chunk) <= QUICK then
      callers, prefix = of_small, small_prefix
    elseif is_live(chunk) then
      callers, prefix = of_live, live_prefix
    end
    local queue = prefix .. caller
    local start = math.max(clock, tonumber(redis.call('ZSCORE', callers, caller) or 0))
    redis.call('ZADD', callers, start, caller)
    -- The last term keeps the order in which equal ones came.
    local place = start + FULL * math.min(number, PATIENCE) + redis.call('ZCARD', queue) / FULL
    redis.call('ZADD', queue, place, chunk)
    redis.call('EXPIRE', queue, TTL_S)
  end
end

-- Takes the next chunk of one kind, and returns the work that it is; nil if none waits. `how`: see what is returned.
local function take(callers, prefix, how)
  while true do
    local first = redis.call('ZRANGE', callers, 0, 0, 'WITHSCORES')
    if #first == 0 then return nil end
    local caller, start = first[1], tonumber(first[2])
    local queue = prefix .. caller
    local chunk = redis.call('ZPOPMIN', queue)[1]
    if not chunk then
      redis.call('ZREM', callers, caller)
    else
      redis.call('ZREM', since, chunk)
      if is_wanted(chunk) then
        local work = work_of(chunk)
        clock = math.max(clock, start)
        redis.call('ZADD', callers, clock + work, caller)
        redis.call('EXPIRE', queue, TTL_S)
        hand_out(chunk, how)
        return work
      end
    end
  end
end

local quick_from = math.max(tonumber(redis.call('HGET', quick, 'from') or 0), now - QUICK_SAVED_S)
while quick_under_way < quick_workers and quick_from <= tonumber(now) do
  local work = take(of_small, small_prefix, 2)
  if not work then break end
  quick_under_way = quick_under_way + 1
  quick_from = quick_from + QUICK_PART * work / FULL / quick_workers
  redis.call('HSET', quick, 'from', string.format('%.6f', quick_from))
end

-- Takes the next chunk with texts for a stream for a batch worker: of the caller that has had least, as above.
local function take_live()
  local small, large = redis.call('ZRANGE', of_small, 0, 0, 'WITHSCORES'), redis.call('ZRANGE', of_live, 0, 0, 'WITHSCORES')
  if small[1] and (not large[1] or tonumber(small[2]) <= tonumber(large[2])) then
    local work = take(of_small, small_prefix, 1)
    if work then return work end
  end
  return take(of_live, live_prefix, 1) or take(of_small, small_prefix, 1)
end

while true do
  local has_room = under_way < at_once
  local live = redis.call('ZCARD', of_live) + redis.call('ZCARD', of_small) > 0
  local others = redis.call('ZCARD', of_jobs) > 0
  local had = redis.call('HMGET', shares, 'live', 'jobs')
  local behind = others and tonumber(had[1] or 0) >= LIVE_SHARE * (tonumber(had[2] or 0) + FULL)
  local work
  if live and not behind and (has_room or live_under_way == 0) then
    work = take_live()
    if work then
      live_under_way = live_under_way + 1
      if others then redis.call('HINCRBYFLOAT', shares, 'live', work) end
    end
  elseif others and has_room then
    work = take(of_jobs, jobs_prefix, live and 1 or 0)
    if work and live then redis.call('HINCRBYFLOAT', shares, 'jobs', work) end
  else
    break
  end
  if work then under_way = under_way + 1 end
  if not (live and others) then redis.call('DEL', shares) end
end
if #to_send > 0 then redis.call('SET', clock_key, clock, 'EX', TTL_S) end
for _, key in ipairs({of_jobs, of_live, of_small, shares, since, sent, quick}) do redis.call('EXPIRE', key, TTL_S) end
return to_send
