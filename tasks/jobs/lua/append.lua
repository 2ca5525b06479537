-- Stores a page of lines and the chunks that they have filled. A page that is sent twice counts once.
--
-- KEYS: see job.lua
-- ARGV[3] the seconds that the job lives if nothing more comes in
-- ARGV[4] the page's number
-- ARGV[5] its lines, packed
-- ARGV[6] how many lines repeat a text of a chunk stored before, as JSON: {chunk: {text: lines}}
-- ARGV[7] the increments of the job's counts, as JSON: {field: n}
-- ARGV[8] facts of the job that are known by this page, as JSON: {field: value}
-- ARGV[9] the number of the first new chunk
-- ARGV[10] and all after it: the new chunks, packed
--
-- Returns 'gone', 'cancelled', or two lists: the chunks that the caller has to send now, and the chunks of ARGV[6] that
-- are done already, whose repeated lines the caller has to count (count_late.lua).
-- include job.lua
local ttl_s, page, lines = ARGV[3], ARGV[4], ARGV[5]
local repeated, counts, brought = cjson.decode(ARGV[6]), cjson.decode(ARGV[7]), cjson.decode(ARGV[8])
local first, packed = tonumber(ARGV[9]), {unpack(ARGV, 10)}

if not exists() then return 'gone' end
if has('cancelled_at') then return 'cancelled' end
local is_new = redis.call('HSETNX', pages, page, lines) == 1
if is_new then
  grow(counts)
  for field, value in pairs(brought) do redis.call('HSET', facts, field, value) end
  redis.call('HSET', facts, 'chunks', first + #packed)
end

local to_send = {}
for i, texts in ipairs(packed) do
  local chunk = first + i - 1
  if not is_done(chunk) then redis.call('HSET', todo, chunk, texts) end
  if is_due(chunk) then
    to_send[#to_send + 1] = chunk
    note_sent(chunk)
  end
end

local settled = {}
for chunk, by_text in pairs(repeated) do
  if is_done(chunk) then
    settled[#settled + 1] = tonumber(chunk)
  elseif is_new then
    local known = repeated_lines(chunk)
    for text, n in pairs(by_text) do known[text] = (known[text] or 0) + n end
    redis.call('HSET', late, chunk, cjson.encode(known))
  end
end
live_for(ttl_s)
return {to_send, settled}
