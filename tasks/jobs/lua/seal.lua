-- Notes that all texts of a job have come in; if all of them are answered already, the job ends.
--
-- KEYS: see job.lua
-- ARGV[3] the seconds that the job lives from now on
-- ARGV[4] and all after it: facts of the job that are known by now, names and values in turn
--
-- Returns 'gone', or the chunks that the caller has to send now: those of a job for a stream were held back.
-- include job.lua
local ttl_s, known = ARGV[3], {unpack(ARGV, 4)}

if not exists() then return 'gone' end
redis.call('HSET', facts, 'sealed', now, unpack(known))
local new_bytes = 0
for i = 2, #known, 2 do new_bytes = new_bytes + #known[i] end
if new_bytes > 0 then keep(new_bytes) end
grow({revision = 1})
if chunks() == 0 then redis.call('HSETNX', facts, 'started_at', now) end
end_if_complete()
live_for(ttl_s)
return its_stream() and due_chunks() or {}
