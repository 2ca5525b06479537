-- Lets the chunks of all jobs take turns, so that only a few are in the broker and the next one is chosen late. Callers
-- come before jobs: next is a chunk of the caller that has had the least work done (start-time fair queueing), and of
-- that caller's chunks one whose job has had few chunks done, though no chunk waits for ever behind newer jobs.
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
-- ARGV[1] now, in Unix seconds
-- ARGV[2] the most chunks that may be handed out and not over
-- ARGV[3] the beginning of the names of the callers' sets
-- ARGV[4] and all after it: the chunks that wait from now on, as <job>.<number>; what waits already is left alone, and
--   what was handed out is returned once more, as it may not have been sent
--
-- Returns the chunks that have to be sent now, each with the origin of its job ('' if it has none).
local callers, since, sent, clock_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now, at_once, prefix, chunks = ARGV[1], tonumber(ARGV[2]), ARGV[3], {unpack(ARGV, 4)}

local FULL = 1000
-- So many chunks of its caller's, at most, go before a chunk although they came later.
local PATIENCE = 32
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

local under_way = 0
for _, chunk in ipairs(redis.call('SMEMBERS', sent)) do
  if is_wanted(chunk) then under_way = under_way + 1 else redis.call('SREM', sent, chunk) end
end

local to_send = {}
local function hand_out(chunk)
  redis.call('SADD', sent, chunk)
  to_send[#to_send + 1] = {chunk, redis.call('HGET', job_of(chunk), 'origin') or ''}
end

local clock = tonumber(redis.call('GET', clock_key) or 0)
for _, chunk in ipairs(chunks) do
  if redis.call('SISMEMBER', sent, chunk) == 1 then
    hand_out(chunk)
  elseif redis.call('ZADD', since, 'NX', now, chunk) == 1 then
    local job, number = job_of(chunk)
    -- Jobs of the version before have no caller.
    local known = redis.call('HMGET', job, 'caller', 'owner')
    local caller = known[1] or known[2] or ''
    local queue = prefix .. caller
    local start = math.max(clock, tonumber(redis.call('ZSCORE', callers, caller) or 0))
    redis.call('ZADD', callers, start, caller)
    -- The last term keeps the order in which equal ones came.
    local place = start + FULL * math.min(number, PATIENCE) + redis.call('ZCARD', queue) / FULL
    redis.call('ZADD', queue, place, chunk)
    redis.call('EXPIRE', queue, TTL_S)
  end
end

while under_way < at_once do
  local first = redis.call('ZRANGE', callers, 0, 0, 'WITHSCORES')
  if #first == 0 then break end
  local caller, start = first[1], tonumber(first[2])
  local queue = prefix .. caller
  local chunk = redis.call('ZPOPMIN', queue)[1]
  if not chunk then
    redis.call('ZREM', callers, caller)
  else
    redis.call('ZREM', since, chunk)
    if is_wanted(chunk) then
      local facts = redis.call('HMGET', job_of(chunk), 'work', 'chunks')
      local work = tonumber(facts[1] or 0)
      clock = math.max(clock, start)
      redis.call('ZADD', callers, clock + (work > 0 and work / tonumber(facts[2]) or FULL), caller)
      redis.call('EXPIRE', queue, TTL_S)
      under_way = under_way + 1
      hand_out(chunk)
    end
  end
end
if #to_send > 0 then redis.call('SET', clock_key, clock, 'EX', TTL_S) end
for _, key in ipairs({callers, since, sent}) do redis.call('EXPIRE', key, TTL_S) end
return to_send
