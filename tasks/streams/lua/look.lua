-- Stores what a look at a stream's new texts has found, as one change: either all of it or, if another worker has looked
-- at the stream since, or it was deleted, nothing.
--
-- KEYS[1] sentiq:s:<uid>          the stream, a hash
-- KEYS[2] sentiq:s:<uid>:unseen   the rows of counted chunks that nobody has looked at, a hash
-- KEYS[3] sentiq:s:<uid>:looked   what is known of the texts that were looked at, a hash
-- KEYS[4] sentiq:s:<uid>:shifts   the shifts, newest first, a list
-- KEYS[5] sentiq:streams:unseen   the streams that have unseen rows, a sorted set
-- KEYS[6] sentiq:streams:counts   the counts for the metrics, a hash
-- KEYS[7] sentiq:streams:series   the segments that are counted by themselves there, by stream: a hash
-- KEYS[8] sentiq:shift-callbacks  the callbacks of shifts that are due, a set sorted by time in seconds
-- ARGV[1] the stream's uid
-- ARGV[2] the version of `looked` on which this look is built
-- ARGV[3] now, in Unix seconds
-- ARGV[4] the seconds that what is kept of the stream lives
-- ARGV[5] the rest, as JSON: {taken: [field of unseen], shifts: [shift as JSON],
--         counted: {segment for the metrics: {field: n}}, shifted: {the same: n},
--         callbacks: {id of a shift: {field: value}}, most_shifts, most_series,
--         other: a segment for the metrics}
-- ARGV[6] and all after it: fields of `looked` and their values, in turns
--
-- Returns 1, or 0 if nothing was stored.
local stream, unseen, looked, shifts = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local streams, counts, series, callbacks = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local uid, version, now, ttl_s, found = ARGV[1], ARGV[2], ARGV[3], ARGV[4], cjson.decode(ARGV[5])
local state = {unpack(ARGV, 6)}

-- Longer than a callback is retried.
local CALLBACKS_TTL_S = 2 * 86400
-- If no text is counted for this long, the counts for the metrics start again at 0.
local COUNTS_TTL_S = 30 * 86400

if redis.call('EXISTS', stream) == 0 then
  redis.call('ZREM', streams, uid)
  return 0
end
if (redis.call('HGET', looked, 'version') or '0') ~= version then return 0 end

redis.call('HINCRBY', looked, 'version', 1)
for i = 1, #state, 2 do redis.call('HSET', looked, state[i], state[i + 1]) end
for _, field in ipairs(found.taken) do redis.call('HDEL', unseen, field) end

for _, shift in ipairs(found.shifts) do redis.call('LPUSH', shifts, shift) end
redis.call('LTRIM', shifts, 0, found.most_shifts - 1)
for _, key in ipairs({looked, shifts}) do redis.call('EXPIRE', key, ttl_s) end

for id, facts in pairs(found.callbacks) do
  local callback = 'sentiq:shift:' .. id
  for field, value in pairs(facts) do redis.call('HSET', callback, field, value) end
  redis.call('EXPIRE', callback, CALLBACKS_TTL_S)
  redis.call('ZADD', callbacks, now, id)
  redis.call('EXPIRE', callbacks, CALLBACKS_TTL_S)
end

-- The series of the metrics: so many segments have their own, the others have one together.
local function series_of(segment)
  if redis.call('HEXISTS', series, segment) == 1 then return segment end
  if redis.call('HLEN', series) >= found.most_series then return found.other end
  redis.call('HSET', series, segment, uid)
  return segment
end

for segment, by_field in pairs(found.counted) do
  local name = series_of(segment)
  for field, n in pairs(by_field) do redis.call('HINCRBY', counts, name .. field, n) end
end
for segment, n in pairs(found.shifted) do
  local name = series_of(segment)
  redis.call('HINCRBY', counts, name .. 'shifts', n)
  redis.call('HSET', counts, name .. 'shifted_at', now)
end
for _, key in ipairs({counts, series}) do redis.call('EXPIRE', key, COUNTS_TTL_S) end

if redis.call('HLEN', unseen) == 0 then
  redis.call('ZREM', streams, uid)
else
  redis.call('ZADD', streams, now, uid)
end
return 1
