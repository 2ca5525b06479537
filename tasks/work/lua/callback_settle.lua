-- Notes the result of an attempt at a callback: it has ended, or is due again. What has expired is left alone, as a field
-- written now would make a key without a TTL. A worker that was so slow that its claim has passed to another may report
-- success, but not postpone the callback.
--
-- KEYS[1] sentiq:callbacks or sentiq:shift-callbacks, the ids of jobs or of shifts by the time when their callback is
-- due, a sorted set
-- KEYS[2] sentiq:j:<job> or sentiq:shift:<shift>, the facts of the job or the shift, a hash
-- ARGV[1] its id
-- ARGV[2] the time when the claim of this attempt ends
-- ARGV[3] the state that the attempt leads to: delivered, failed, or pending if there may be another
-- ARGV[4] now, in Unix seconds
-- ARGV[5] and all after it: the seconds to wait after each attempt but the last
--
-- Returns nothing.
local callbacks, facts = KEYS[1], KEYS[2]
local id, claim, state, now, waits_s = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), {unpack(ARGV, 5)}

if redis.call('EXISTS', facts) == 0 then
  redis.call('ZREM', callbacks, id)
  return
end
if state ~= 'delivered' and tonumber(redis.call('ZSCORE', callbacks, id)) ~= claim then return end
local wait_s = waits_s[redis.call('HINCRBY', facts, 'callback_attempts', 1)]
if state == 'pending' and not wait_s then state = 'failed' end
if state == 'pending' then
  redis.call('ZADD', callbacks, now + wait_s, id)
else
  redis.call('ZREM', callbacks, id)
end
redis.call('HSET', facts, 'callback_state', state)
