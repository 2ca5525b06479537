-- Takes the callback that is due first, so that only one of several workers gets it, and makes it due again later in
-- case that worker dies.
--
-- KEYS[1] sentiq:callbacks, the ids of jobs by the time when their callback is due, a sorted set
-- ARGV[1] now, in Unix seconds
-- ARGV[2] the time when it is due again
-- ARGV[3] the seconds that the set lives from now on
--
-- Returns the job's id; nil if none is due.
local callbacks = KEYS[1]
local now, again_at, ttl_s = ARGV[1], ARGV[2], ARGV[3]

local job_id = redis.call('ZRANGEBYSCORE', callbacks, '-inf', now, 'LIMIT', 0, 1)[1]
if not job_id then return false end
redis.call('ZADD', callbacks, again_at, job_id)
redis.call('EXPIRE', callbacks, ttl_s)
return job_id
