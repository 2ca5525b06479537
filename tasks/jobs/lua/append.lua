-- Stores a page of lines and the chunks that they have filled. A page that is sent twice counts once.
--
-- KEYS: see job.lua
-- ARGV[3] the seconds that the job lives if nothing more comes in
-- ARGV[4] the page's number
-- ARGV[5] its lines, packed
-- ARGV[6] 1 if this page, or one before it, has another number of lines than the rule says
-- ARGV[7] how many lines repeat a text of a chunk stored before, as JSON: {chunk: {text: lines}}
-- ARGV[8] the increments of the job's counts, as JSON: {field: n}
-- ARGV[9] facts of the job that are known by this page, as JSON: {field: value}
-- ARGV[10] the bytes that the caller's jobs may keep
-- ARGV[11] the number of the first new chunk
-- ARGV[12] and all after it: the new chunks, packed
--
-- Returns 'gone', 'cancelled', what no_room returns, or two lists: the chunks that the caller has to send now, and the
-- chunks of ARGV[7] that are done already, whose repeated lines the caller has to count (count_late.lua).
-- include job.lua
local ttl_s, page, lines, uneven = ARGV[3], ARGV[4], ARGV[5], ARGV[6] == '1'
local repeated, counts, brought = cjson.decode(ARGV[7]), cjson.decode(ARGV[8]), cjson.decode(ARGV[9])
local most_bytes, first, packed = ARGV[10], tonumber(ARGV[11]), {unpack(ARGV, 12)}

if not exists() then return 'gone' end
if has('cancelled_at') then return 'cancelled' end
local is_new = redis.call('HEXISTS', pages, page) == 0
local new_bytes, new_todo_bytes = 0, 0
if is_new then
  new_bytes = #lines
  for _, texts in ipairs(packed) do new_todo_bytes = new_todo_bytes + #texts end
  local refusal = no_room(new_bytes + new_todo_bytes, most_bytes)
  if refusal then return refusal end
  redis.call('HSET', pages, page, lines)
  if uneven then
    -- Where its lines begin: see tasks/jobs/kept.py.
    local begun, line = redis.call('HGET', pages, 'starts'), redis.call('HGET', facts, 'total')
    redis.call('HSET', pages, 'starts', (begun or page) .. ',' .. line)
  end
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
    local packed_lines = cjson.encode(known)
    new_bytes = new_bytes + #packed_lines - redis.call('HSTRLEN', late, chunk)
    redis.call('HSET', late, chunk, packed_lines)
  end
end
live_for(ttl_s)
grow({todo_bytes = new_todo_bytes})
keep(new_bytes + new_todo_bytes)
return {to_send, settled}
