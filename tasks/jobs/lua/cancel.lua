-- Cancels a job: no further chunk of it begins. A job that has ended stays as it is.
--
-- KEYS: see job.lua
--
-- Returns nothing.
-- include job.lua
if not exists() or has('finished_at') or has('cancelled_at') then return end
-- First what takes no room: a server that has none left refuses a script that begins otherwise.
redis.call('DEL', todo)
redis.call('HSET', facts, 'cancelled_at', now)
keep(-waiting_bytes())
grow({revision = 1, todo_bytes = -waiting_bytes()})
end_as('cancelled')
