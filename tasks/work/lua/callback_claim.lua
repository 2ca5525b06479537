-- Takes callbacks that are due, those that are due first, so that only one of several workers gets each, and makes them
-- due again later in case that worker dies.
--
-- KEYS[1] sentiq:callbacks or sentiq:shift-callbacks, the ids of jobs or of shifts by the time when their callback is
-- due, a sorted set
-- ARGV[1] now, in Unix seconds
-- ARGV[2] the time when they are due again
-- ARGV[3] the seconds that the set lives from now on
-- ARGV[4] the most callbacks to take
--
-- Returns their ids.
local callbacks = KEYS[1]
local now, again_at, ttl_s, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local ids = redis.call('ZRANGEBYSCORE', callbacks, '-inf', now, 'LIMIT', 0, most)
for _, id in ipairs(ids) do redis.call('ZADD', callbacks, again_at, id) end
if #ids > 0 then redis.call('EXPIRE', callbacks, ttl_s) end
return ids
