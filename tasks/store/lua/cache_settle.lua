-- Stores predictions, deletes the in-flight marks of their texts, replies to all web processes that wait for them, and
-- deletes the count of attempts at their chunk.
--
-- KEYS: n predictions sentiq:p:<identity>:<digest>, then n in-flight marks sentiq:f:<tag>:<digest>, and perhaps the
--   attempts sentiq:a:<chunk>
-- ARGV[1] the seconds that a prediction lives
-- ARGV[2] the seconds that a reply lives
-- ARGV[3] the model's identity as JSON
-- ARGV[4] and all after it, for each text: its digest, its row as JSON, 1 if it may be cached, and its remarks as JSON,
--   empty if there are none
--
-- A row, remarks, a prediction and a reply are formats of tasks/wire.py.
--
-- Returns nothing.
local cache_ttl_s, reply_ttl_s, model = ARGV[1], ARGV[2], ARGV[3]

local n = math.floor(#KEYS / 2)
if #KEYS > 2 * n then redis.call('DEL', KEYS[#KEYS]) end
local rows, remarks = {}, {}

local function add(list, reply_key, digest, value)
  local before = list[reply_key] and list[reply_key] .. ',' or ''
  list[reply_key] = before .. '"' .. digest .. '":' .. value
end

for i = 1, n do
  -- Read one by one: Lua unpacks at most 8,000 values, and a chunk may have more.
  local digest, row, may_cache, said = ARGV[4 * i], ARGV[4 * i + 1], ARGV[4 * i + 2] == '1', ARGV[4 * i + 3]
  local prediction, mark = KEYS[i], KEYS[n + i]
  if may_cache then
    local kept = said == '' and row or '{"v":2,"row":' .. row .. ',"remarks":' .. said .. '}'
    redis.call('SET', prediction, kept, 'EX', cache_ttl_s)
  end
  for _, reply_key in ipairs(redis.call('SMEMBERS', mark)) do
    add(rows, reply_key, digest, row)
    if said ~= '' then add(remarks, reply_key, digest, said) end
  end
  redis.call('DEL', mark)
end
for reply_key, found in pairs(rows) do
  local beside = remarks[reply_key] and ',"remarks":{' .. remarks[reply_key] .. '}' or ''
  redis.call('RPUSH', reply_key, '{"v":1,"model":' .. model .. ',"rows":{' .. found .. '}' .. beside .. '}')
  redis.call('EXPIRE', reply_key, reply_ttl_s)
end
