-- Says which chunks of a job should be under way. An expired job is removed from the unfinished ones.
--
-- KEYS: see job.lua
--
-- Returns a list of chunks.
-- include job.lua
if exists() then return due_chunks() end
redis.call('SREM', unfinished, job_id)
return {}
