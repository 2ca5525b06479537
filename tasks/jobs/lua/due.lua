-- Says which chunks of a job should be under way. In each lane, the chunks that are done come before all others, so
-- that the due one is found by binary search; a job may have a hundred thousand chunks. An expired job is removed from
-- the unfinished ones.
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
  -- Positions in the lane: all chunks below `low` are done, none from `high` on is.
  local low, high = 0, math.ceil((count - lane) / width)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_done(lane + middle * width) then low = middle + 1 else high = middle end
  end
  local chunk = lane + low * width
  if is_due(chunk) then due[#due + 1] = chunk end
end
return due
