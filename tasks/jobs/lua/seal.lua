-- Notes that all texts of a job have come in; if all of them are answered already, the job ends.
--
-- KEYS: see job.lua
-- ARGV[3] the seconds that the job lives from now on
--
-- Returns 'gone' or 'sealed'.
-- include job.lua
local ttl_s = ARGV[3]

if not exists() then return 'gone' end
redis.call('HSET', facts, 'sealed', now)
grow({revision = 1})
if chunks() == 0 then redis.call('HSETNX', facts, 'started_at', now) end
end_if_complete()
live_for(ttl_s)
return 'sealed'
