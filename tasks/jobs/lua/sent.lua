-- Notes that a chunk was sent after another was done.
--
-- KEYS: see job.lua
-- ARGV[3] the chunk
--
-- Returns nothing.
-- include job.lua
local chunk = tonumber(ARGV[3])

if exists() then note_sent(chunk) end
