-- Stores predictions, deletes the in-flight marks of their texts, replies to all web processes that wait for them, and
-- deletes the count of attempts at their chunk.
--
-- KEYS: n predictions sentiq:p:<identity>:<digest>, then n in-flight marks sentiq:f:<tag>:<digest>, and perhaps the
--   attempts sentiq:a:<chunk>
-- ARGV[1] the seconds that a prediction lives
-- ARGV[2] the seconds that a reply lives
-- ARGV[3] the model's identity as JSON
-- ARGV[4] and all after it, for each text: its digest, its row as JSON, and 1 if the row may be cached
--
-- A row and a reply are formats of tasks/wire.py.
--
-- Returns nothing.
local cache_ttl_s, reply_ttl_s, model = ARGV[1], ARGV[2], ARGV[3]

local n = math.floor(#KEYS / 2)
if #KEYS > 2 * n then redis.call('DEL', KEYS[#KEYS]) end
local replies = {}
for i = 1, n do
  -- Read one by one: Lua unpacks at most 8,000 values, and a chunk may have more.
  local digest, row, may_cache = ARGV[3 * i + 1], ARGV[3 * i + 2], ARGV[3 * i + 3] == '1'
  local prediction, mark = KEYS[i], KEYS[n + i]
  if may_cache then redis.call('SET', prediction, row, 'EX', cache_ttl_s) end
  for _, reply_key in ipairs(redis.call('SMEMBERS', mark)) do
    local rows = replies[reply_key] and replies[reply_key] .. ',' or ''
    replies[reply_key] = rows .. '"' .. digest .. '":' .. row
  end
  redis.call('DEL', mark)
end
for reply_key, rows in pairs(replies) do
  redis.call('RPUSH', reply_key, '{"v":1,"model":' .. model .. ',"rows":{' .. rows .. '}}')
  redis.call('EXPIRE', reply_key, reply_ttl_s)
end
