-- Makes a stream, or gives one that is there other settings.
--
-- KEYS[1] sentiq:streams-of:<owner>  the uids of the owner's streams by name, a hash
-- ARGV[1] the stream's name
-- ARGV[2] the uid that it gets if it is new
-- ARGV[3] the most streams of an owner
-- ARGV[4] the seconds that it is kept from now on
-- ARGV[5] 1 if its sample keeps texts
-- ARGV[6] the number of facts that a new stream gets beside the settings, names and values counted each
-- ARGV[7] and all after it: these facts, then the settings
--
-- Returns {its uid, 1 if it is new}; nil if the owner has too many.
local registry = KEYS[1]
local name, uid, most, ttl_s, keeps_texts = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'
local first = tonumber(ARGV[6])
local of_new, of_all = {unpack(ARGV, 7, 6 + first)}, {unpack(ARGV, 7 + first)}

local known = redis.call('HGET', registry, name)
local is_new = not known or redis.call('EXISTS', 'sentiq:s:' .. known) == 0
if is_new then
  local alive = 0
  local all = redis.call('HGETALL', registry)
  for i = 1, #all, 2 do
    if redis.call('EXISTS', 'sentiq:s:' .. all[i + 1]) == 1 then
      alive = alive + 1
    else
      redis.call('HDEL', registry, all[i])
    end
  end
  if alive >= most then return nil end
  redis.call('HSET', registry, name, uid)
  redis.call('HSET', 'sentiq:s:' .. uid, unpack(of_new))
else
  uid = known
end
local facts = 'sentiq:s:' .. uid
redis.call('HSET', facts, unpack(of_all))
redis.call('EXPIRE', facts, ttl_s)
if redis.call('TTL', registry) < ttl_s then redis.call('EXPIRE', registry, ttl_s) end
if not keeps_texts then
  for number = 0, redis.call('HLEN', facts .. ':segments') - 1 do
    redis.call('DEL', facts .. ':sample:' .. number .. ':texts', facts .. ':gold:' .. number .. ':texts')
  end
end
return {uid, is_new and 1 or 0}
