-- Makes a stream, or gives one that is there other settings.
--
-- KEYS[1] sentiq:streams-of:<owner>  the uids of the owner's streams by name, a hash
-- ARGV[1] the stream's name
-- ARGV[2] the uid that it gets if it is new
-- ARGV[3] the most streams of an owner
-- ARGV[4] the seconds that it is kept from now on
-- ARGV[5] 1 if its sample keeps texts
-- ARGV[6] the facts of a stream that is new, as JSON: {field: value}
-- ARGV[7] the settings, as they are stored
--
-- Returns {its uid, 1 if it is new}; nil if the owner has too many.
local registry = KEYS[1]
local name, uid, most, ttl_s, keeps_texts = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'
local of_new, settings = cjson.decode(ARGV[6]), ARGV[7]

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
  for field, value in pairs(of_new) do redis.call('HSET', 'sentiq:s:' .. uid, field, value) end
else
  uid = known
end
local facts = 'sentiq:s:' .. uid
redis.call('HSET', facts, 'settings', settings, 'ttl', ttl_s)
redis.call('EXPIRE', facts, ttl_s)
if redis.call('TTL', registry) < ttl_s then redis.call('EXPIRE', registry, ttl_s) end
if not keeps_texts then
  for number = 0, redis.call('HLEN', facts .. ':segments') - 1 do
    redis.call('DEL', facts .. ':sample:' .. number .. ':texts', facts .. ':gold:' .. number .. ':texts')
  end
  redis.call('HDEL', facts .. ':bytes', 'texts')
end
return {uid, is_new and 1 or 0}
