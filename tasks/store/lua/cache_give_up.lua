-- Takes a web process off the in-flight marks of texts that it no longer waits for. A mark without any process is gone.
--
-- KEYS: the in-flight marks sentiq:f:<tag>:<digest>
-- ARGV[1] the reply key of the web process
--
-- Returns for each text how many other web processes wait for it.
local reply_key = ARGV[1]

local others = {}
for i, mark in ipairs(KEYS) do
  redis.call('SREM', mark, reply_key)
  others[i] = redis.call('SCARD', mark)
end
return others
