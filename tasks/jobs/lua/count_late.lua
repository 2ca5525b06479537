-- Counts the lines of a page that repeat texts of chunks that were done before the page came in. If it is sent twice,
-- the lines count once.
--
-- KEYS: see job.lua
-- ARGV[3] the page's number
-- ARGV[4] the increments of the job's counts, as JSON: {field: n}
--
-- Returns nothing.
-- include job.lua
local page, counts = ARGV[3], cjson.decode(ARGV[4])

if exists() and redis.call('HSETNX', late, 'page' .. page, 1) == 1 then
  end_with_job(late)
  keep(1)
  grow(counts)
end
