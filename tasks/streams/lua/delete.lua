-- Removes a stream with its samples, texts first: from then on nothing can be counted in it, and none of it be read.
--
-- KEYS[1] sentiq:streams-of:<owner>  the uids of the owner's streams by name, a hash
-- KEYS[2] sentiq:streams:unseen      the streams that have unseen rows, a sorted set
-- ARGV[1] the stream's name
-- ARGV[2] its uid
--
-- Returns {how many ids were counted, the jobs that bring texts}; nil if the stream is gone.
local registry, streams = KEYS[1], KEYS[2]
local name, uid = ARGV[1], ARGV[2]

local facts = 'sentiq:s:' .. uid
if redis.call('EXISTS', facts) == 0 then return nil end
local ids = tonumber(redis.call('HGET', facts, 'ids') or 0)
local jobs = redis.call('SMEMBERS', facts .. ':jobs')
for number = 0, redis.call('HLEN', facts .. ':segments') - 1 do
  for _, part in ipairs({':sample:', ':gold:'}) do
    redis.call('UNLINK', facts .. part .. number .. ':texts', facts .. part .. number)
  end
end
redis.call('UNLINK', facts, facts .. ':segments', facts .. ':jobs')
redis.call('ZREM', streams, uid)
if redis.call('HGET', registry, name) == uid then redis.call('HDEL', registry, name) end
return {ids, jobs}
