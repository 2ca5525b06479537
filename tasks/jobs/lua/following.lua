-- Says which chunk should have been sent after a done one and was not: its worker may have died before that.
--
-- KEYS: see job.lua
-- ARGV[3] the chunk
--
-- Returns the chunk that has to be sent now; nil if there is none.
-- include job.lua
local chunk = tonumber(ARGV[3])

return exists() and successor(chunk)
