-- Keeps a job alive whose texts are coming in slowly.
--
-- KEYS: see job.lua
-- ARGV[3] the seconds that the job lives if nothing more comes in
--
-- Returns nothing.
-- include job.lua
local ttl_s = ARGV[3]

if exists() then live_for(ttl_s) end
