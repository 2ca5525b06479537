-- Says which chunks of a job should be under way. In a lane, the done ones come before all others, so the one that is
-- due is found by halving: a job may have a hundred thousand chunks. A job that has expired is taken off the unfinished
-- ones.
--
-- KEYS: see job.lua
--
-- Returns a list of chunks.
-- include job.lua
if not exists() then
  redis.call('SREM', unfinished, job_id)
  return {}
end
local due = {}
local width, count = window(), chunks()
for lane = 0, math.min(width, count) - 1 do
  -- The places in the lane: all below `low` are done, none from `high` on is.
  local low, high = 0, math.ceil((count - lane) / width)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_done(lane + middle * width) then low = middle + 1 else high = middle end
  end
  local chunk = lane + low * width
  if is_due(chunk) then due[#due + 1] = chunk end
end
return due
