-- Notes that a web process is busy. It begins with what takes no room: a server whose memory is full refuses a script that
-- begins otherwise, and then the web process could not look anything up.
--
-- KEYS[1] sentiq:webs, the web processes that were busy lately, by time
-- ARGV[1] the web process
-- ARGV[2] now, in Unix seconds
-- ARGV[3] the seconds after which a web process no longer counts as busy
-- ARGV[4] the seconds that the set lives
--
-- Returns how many web processes are busy.
local webs, me, now, busy_s, ttl_s = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]

redis.call('ZREMRANGEBYSCORE', webs, 0, now - busy_s)
redis.call('EXPIRE', webs, ttl_s)
redis.call('ZADD', webs, now, me)
redis.call('EXPIRE', webs, ttl_s)
return redis.call('ZCARD', webs)
