-- Claims texts for a web process: looks each one up, and marks those that are neither known nor under way as its own to
-- send. The web process will get the reply to every text that is not known.
--
-- KEYS: first the predictions sentiq:p:<identity>:<digest>, none while no model is known; then, for each text, its
--   in-flight mark sentiq:f:<tag>:<digest>, the set of reply keys that wait for it
-- ARGV[1] the reply key of the web process
-- ARGV[2] the seconds that a mark lives
-- ARGV[3] the number of predictions among KEYS
--
-- Returns for each text {its prediction, the milliseconds that it has left} if it is known, 1 if the caller has to send
-- it, 0 if it is under way.
local reply_key, mark_ttl_s, predictions = ARGV[1], ARGV[2], tonumber(ARGV[3])

local known = {}
if predictions > 0 then known = redis.call('MGET', unpack(KEYS, 1, predictions)) end
local answers = {}
local has_written = false
for i = 1, #KEYS - predictions do
  if known[i] then
    answers[i] = {known[i], redis.call('PTTL', KEYS[i])}
  else
    local mark = KEYS[predictions + i]
    local is_first = redis.call('EXISTS', mark) == 0
    if not has_written then
      -- Changes nothing. A server whose memory is full refuses a script that begins with a write that takes room, and
      -- with it the known texts; unknown ones are refused later, by themselves.
      redis.call('SREM', mark, '')
      has_written = true
    end
    redis.call('SADD', mark, reply_key)
    if is_first then redis.call('EXPIRE', mark, mark_ttl_s) end
    answers[i] = is_first and 1 or 0
  end
end
return answers
