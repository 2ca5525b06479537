-- Counts a chunk whose results are stored, only once however often it was delivered; the last chunk ends the job.
--
-- KEYS: see job.lua
-- KEYS[11] the chunk's results
-- ARGV[3] the chunk
-- ARGV[4] the model that scored it
-- ARGV[5] for each of its texts, the field of the job that counts it, as JSON: [field]
-- ARGV[6] for each of its texts, the number of lines that it answers, as JSON: [lines]
-- ARGV[7] what it adds to the job's stream, packed (see tasks/streams/lua/stream.lua); '' if the job has none
--
-- Returns 'gone', or the chunk that has to be sent now (nil if there is none).
-- include job.lua
-- include ../../streams/lua/stream.lua
local result = KEYS[11]
local chunk, model, fields, weights = tonumber(ARGV[3]), ARGV[4], cjson.decode(ARGV[5]), cjson.decode(ARGV[6])
local for_stream = ARGV[7]

if not exists() then return 'gone' end
if redis.call('SADD', done, chunk) == 1 then
  end_with_job(done)
  local repeated = repeated_lines(chunk)
  local counts, total = {}, 0
  for i, field in ipairs(fields) do
    local lines = weights[i] + (repeated[tostring(i - 1)] or 0)
    counts[field] = (counts[field] or 0) + lines
    total = total + lines
  end
  local done_bytes = redis.call('HSTRLEN', todo, chunk)
  grow({todo_bytes = -done_bytes})
  keep(redis.call('STRLEN', result) - done_bytes - redis.call('HSTRLEN', late, chunk))
  redis.call('HDEL', todo, chunk)
  redis.call('HDEL', late, chunk)
  -- While texts come in, the job expires sooner than its results do; after that they go together.
  if has('sealed') then end_with_job(result) end
  grow(counts)
  grow({done = total, scored = total, revision = 1})
  if for_stream ~= '' then
    local skipped = add_texts(redis.call('HGET', facts, 'stream'), for_stream, job_id .. '.' .. chunk, now)
    if skipped then grow({repeated = skipped}) end
  end
  redis.call('HSET', facts, 'model', model, 'progressed_at', now)
  end_if_complete()
end
return successor(chunk)
