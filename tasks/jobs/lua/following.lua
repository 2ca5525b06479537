-- Says which chunk a done one should have sent and has not: the worker that had it may have died before that.
--
-- KEYS: see job.lua
-- ARGV[3] the chunk
--
-- Returns the chunk to be sent now; nil if there is none.
-- include job.lua
local chunk = tonumber(ARGV[3])

return exists() and successor(chunk)
