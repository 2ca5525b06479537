-- Makes an empty job, unless its caller has no room for it.
--
-- KEYS: see job.lua
-- ARGV[3] the seconds that the job lives if nothing comes in
-- ARGV[4] the seconds that it stays in lists
-- ARGV[5] the bytes that count for the job itself, without its lines
-- ARGV[6] the bytes that the caller's jobs may keep
-- ARGV[7] the number of the caller's jobs that may be unfinished
-- ARGV[8] and all after it: the facts of the job, each a field and its value
--
-- Returns 'begun'; 'busy' if too many jobs are unfinished; 'gone' if the stream is that its texts are for; or what no_room
-- returns.
-- include job.lua
local ttl_s, list_ttl_s, bytes, most_bytes, most_jobs = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local fields = {unpack(ARGV, 8)}

redis.call('HSET', facts, unpack(fields))
local stream = its_stream()
if stream and redis.call('EXISTS', 'sentiq:s:' .. stream) == 0 then
  redis.call('DEL', facts)
  return 'gone'
end
local caller = its_caller()
if caller then
  local refusal = no_room(bytes, most_bytes)
  local _, _, open = caller_keys(caller)
  local full = not refusal and redis.call('SCARD', open) >= most_jobs
  -- Those that expired are still among them. There may be thousands: they are looked for once a second at the most, or
  -- whoever is refused again and again would keep the server busy.
  if full and redis.call('SET', open .. ':looked', now, 'NX', 'PX', 1000) then
    for _, id in ipairs(redis.call('SMEMBERS', open)) do
      local is_open = redis.call('SISMEMBER', unfinished, id) == 1 and redis.call('EXISTS', 'sentiq:j:' .. id) == 1
      if not is_open then redis.call('SREM', open, id) end
    end
    full = redis.call('SCARD', open) >= most_jobs
  end
  if full then refusal = 'busy' end
  if refusal then
    redis.call('DEL', facts)
    return refusal
  end
  redis.call('SADD', open, job_id)
  redis.call('EXPIRE', open, list_ttl_s)
end
if stream then
  local brought_by = 'sentiq:s:' .. stream .. ':jobs'
  redis.call('SADD', brought_by, job_id)
  redis.call('EXPIRE', brought_by, list_ttl_s)
end
live_for(ttl_s)
keep(bytes)
for _, list in ipairs(lists()) do
  redis.call('ZREMRANGEBYSCORE', list, 0, now - list_ttl_s)
  redis.call('ZADD', list, now, job_id)
  redis.call('EXPIRE', list, list_ttl_s)
end
redis.call('SADD', unfinished, job_id)
redis.call('EXPIRE', unfinished, list_ttl_s)
return 'begun'
