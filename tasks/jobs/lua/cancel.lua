-- Cancels a job: no further chunk of it begins. A job that has ended stays as it is.
--
-- KEYS: see job.lua
--
-- Returns nothing.
-- include job.lua
if not exists() or has('finished_at') or redis.call('HSETNX', facts, 'cancelled_at', now) == 0 then return end
grow({revision = 1})
redis.call('DEL', todo)
end_as('cancelled')
