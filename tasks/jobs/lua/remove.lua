-- Removes a job with all that it keeps, except the results of its chunks.
--
-- KEYS: see job.lua; from KEYS[11] on, others that are the job's alone, such as those of its labels
-- ARGV[3] 1 if it is only to be removed if it has ended
--
-- Returns 'gone', 'open' if it has not ended, or {the chunks that are done, the number of lines that were answered, those
-- of late lines of the chunks under way, the packed texts of these chunks}. A chunk counts as under way from when it was
-- sent, unless none of the job's chunks was taken yet.
-- include job.lua
local only_ended = ARGV[3] == '1'

if not exists() then return 'gone' end
if only_ended and not (has('finished_at') or has('cancelled_at')) then return 'open' end
local answered, repeated, texts = tonumber(redis.call('HGET', facts, 'done')), 0, {}
if has('started_at') then
  for _, chunk in ipairs(due_chunks()) do
    for _, n in pairs(repeated_lines(chunk)) do repeated = repeated + n end
    texts[#texts + 1] = redis.call('HGET', todo, chunk) or nil
  end
end
local chunks_done, caller, places, stream = redis.call('SMEMBERS', done), its_caller(), lists(), its_stream()
-- First what takes no room: a server that has none left refuses a script that begins otherwise.
redis.call('DEL', facts, pages, todo, late, done, sent)
for place = 11, #KEYS do redis.call('DEL', KEYS[place]) end
for _, list in ipairs(places) do redis.call('ZREM', list, job_id) end
redis.call('SREM', unfinished, job_id)
redis.call('ZREM', callbacks, job_id)
if stream then redis.call('SREM', 'sentiq:s:' .. stream .. ':jobs', job_id) end
if caller then let_go(caller, job_id) end
return {chunks_done, answered, repeated, texts}
