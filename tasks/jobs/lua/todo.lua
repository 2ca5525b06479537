-- Gives a chunk's texts to the worker that scores them; the first chunk that is taken starts the job.
--
-- KEYS: see job.lua
-- ARGV[3] the chunk
--
-- Returns the chunk as it was packed, '' if it is lost; nil if there is nothing to do.
-- include job.lua
local chunk = tonumber(ARGV[3])

if not exists() or has('cancelled_at') then return false end
local packed = redis.call('HGET', todo, chunk)
if not packed and is_due(chunk) then return '' end
if packed and redis.call('HSETNX', facts, 'started_at', now) == 1 then grow({revision = 1}) end
return packed
