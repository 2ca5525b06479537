"""The changes of a job as scripts that the server runs whole: see `tasks.jobs.store`."""

from tasks.jobs.job import CALLBACKS, ENDED, ENDS, UNFINISHED, JobStatus

CALLBACKS_TTL_S = 2 * 86_400
"""Longer than a callback is tried."""
_ENDS_TTL_S = 30 * 86_400
"""The counts of ended jobs begin anew after so long without one."""
_COUNT = f"""
local function count(state)
  redis.call('HINCRBY', '{ENDS}', state, 1)
  redis.call('EXPIRE', '{ENDS}', {_ENDS_TTL_S})
end
"""
_CLOSE = (
    _COUNT
    + f"""
local function close(job, done, id, now)
  if redis.call('HEXISTS', job, 'sealed') == 0 or redis.call('HEXISTS', job, 'cancelled_at') == 1 then return end
  if redis.call('SCARD', done) < tonumber(redis.call('HGET', job, 'chunks')) then return end
  redis.call('SREM', '{UNFINISHED}', id)
  redis.call('PUBLISH', '{ENDED}', id)
  if redis.call('HSETNX', job, 'finished_at', now) == 0 then return end
  local counts = redis.call('HMGET', job, 'failed', 'total')
  count(counts[1] == counts[2] and '{JobStatus.FAILED}' or '{JobStatus.SUCCEEDED}')
  if redis.call('HEXISTS', job, 'callback_url') == 1 then
    redis.call('ZADD', '{CALLBACKS}', now, id)
    redis.call('EXPIRE', '{CALLBACKS}', {CALLBACKS_TTL_S})
  end
end
"""
)
# KEYS: the job's parts (job, in, todo, late, done, sent). ARGV: page, its lines packed, TTL, now, the first new chunk,
# how many new chunks, those packed, late lines as JSON {chunk: {text: lines}}, fields that grow as JSON, fields to be
# set as JSON. Sent twice, it counts once. Returns {-1} if the job is gone, {-2} if it was cancelled, else {number of
# chunks to be sent, those, the chunks of late lines that are done already: their lines are the caller's to count}.
APPEND = """
if redis.call('EXISTS', KEYS[1]) == 0 then return {-1} end
if redis.call('HEXISTS', KEYS[1], 'cancelled_at') == 1 then return {-2} end
local first, count = tonumber(ARGV[5]), tonumber(ARGV[6])
local late, grow, set = cjson.decode(ARGV[7 + count]), cjson.decode(ARGV[8 + count]), cjson.decode(ARGV[9 + count])
local window = tonumber(redis.call('HGET', KEYS[1], 'window'))
local again = redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[2]) == 0
local out, settled = {0}, {}
for i = 0, count - 1 do
  local number = first + i
  if redis.call('SISMEMBER', KEYS[5], number) == 0 then redis.call('HSET', KEYS[3], number, ARGV[7 + i]) end
  if number < window or redis.call('SISMEMBER', KEYS[5], number - window) == 1 then out[#out + 1] = number end
end
out[1] = #out - 1
for chunk, lines in pairs(late) do
  if redis.call('SISMEMBER', KEYS[5], chunk) == 1 then
    settled[#settled + 1] = tonumber(chunk)
  elseif not again then
    local known = cjson.decode(redis.call('HGET', KEYS[4], chunk) or '{}')
    for text, n in pairs(lines) do known[text] = (known[text] or 0) + n end
    redis.call('HSET', KEYS[4], chunk, cjson.encode(known))
  end
end
if not again then
  for field, n in pairs(grow) do redis.call('HINCRBY', KEYS[1], field, n) end
  for field, value in pairs(set) do redis.call('HSET', KEYS[1], field, value) end
  redis.call('HSET', KEYS[1], 'chunks', first + count)
end
redis.call('HSET', KEYS[1], 'expires_at', tonumber(ARGV[4]) + tonumber(ARGV[3]))
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[3]) end
for _, chunk in ipairs(settled) do out[#out + 1] = chunk end
return out
"""
# KEYS: job, late. ARGV: page, fields that grow as JSON. Sent twice, it counts once.
COUNT_LATE = """
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HSETNX', KEYS[2], 'page' .. ARGV[1], 1) == 0 then return 0 end
redis.call('PEXPIRE', KEYS[2], redis.call('PTTL', KEYS[1]))
for field, n in pairs(cjson.decode(ARGV[2])) do redis.call('HINCRBY', KEYS[1], field, n) end
return 1
"""
# KEYS: the job's parts. ARGV: id, TTL, now. Returns -1 if the job is gone.
SEAL = (
    _CLOSE
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
redis.call('HSET', KEYS[1], 'sealed', ARGV[3], 'expires_at', tonumber(ARGV[3]) + tonumber(ARGV[2]))
redis.call('HINCRBY', KEYS[1], 'revision', 1)
if redis.call('HGET', KEYS[1], 'chunks') == '0' then redis.call('HSETNX', KEYS[1], 'started_at', ARGV[3]) end
close(KEYS[1], KEYS[5], ARGV[1], ARGV[3])
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[2]) end
return 0
"""
)
# KEYS: job, todo. ARGV: chunk, now. Returns the chunk's texts, with the job marked as started; nil if there is nothing
# to do.
TODO = """
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HEXISTS', KEYS[1], 'cancelled_at') == 1 then return false end
local packed = redis.call('HGET', KEYS[2], ARGV[1])
if packed and redis.call('HSETNX', KEYS[1], 'started_at', ARGV[2]) == 1 then \
redis.call('HINCRBY', KEYS[1], 'revision', 1) end
return packed
"""
# KEYS: the job's parts. ARGV: id, chunk, the outcome of each text as a letter (a label's number, or x), the weights as
# JSON, now, model. Counts a chunk once, however often it runs. Returns the chunk that is to be sent now, -1 if none is,
# -2 if the job is gone.
FINISH = (
    _CLOSE
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then return -2 end
local number = tonumber(ARGV[2])
if redis.call('SADD', KEYS[5], number) == 1 then
  redis.call('PEXPIRE', KEYS[5], redis.call('PTTL', KEYS[1]))
  local weights, late = cjson.decode(ARGV[4]), cjson.decode(redis.call('HGET', KEYS[4], number) or '{}')
  local total, by = 0, {['0'] = 0, ['1'] = 0, ['2'] = 0, x = 0}
  for i = 1, #ARGV[3] do
    local letter, lines = string.sub(ARGV[3], i, i), weights[i] + (late[tostring(i - 1)] or 0)
    by[letter] = by[letter] + lines
    total = total + lines
  end
  redis.call('HDEL', KEYS[3], number)
  redis.call('HDEL', KEYS[4], number)
  redis.call('HINCRBY', KEYS[1], 'done', total)
  redis.call('HINCRBY', KEYS[1], 'scored', total)
  redis.call('HINCRBY', KEYS[1], 'failed', by.x)
  for i = 0, 2 do redis.call('HINCRBY', KEYS[1], 'label' .. i, by[tostring(i)]) end
  redis.call('HINCRBY', KEYS[1], 'revision', 1)
  redis.call('HSET', KEYS[1], 'model', ARGV[6], 'progressed_at', ARGV[5])
  close(KEYS[1], KEYS[5], ARGV[1], ARGV[5])
end
local following = number + tonumber(redis.call('HGET', KEYS[1], 'window'))
if redis.call('HEXISTS', KEYS[1], 'cancelled_at') == 1 or \
following >= tonumber(redis.call('HGET', KEYS[1], 'chunks')) then return -1 end
if redis.call('SISMEMBER', KEYS[6], following) == 1 or \
redis.call('SISMEMBER', KEYS[5], following) == 1 then return -1 end
return following
"""
)
# KEYS: job, sent. ARGV: chunk.
SENT = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[2], redis.call('PTTL', KEYS[1]))
return 1
"""
# KEYS: job, todo. ARGV: id, now. An ended job stays as it is.
CANCEL = (
    _COUNT
    + f"""
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HEXISTS', KEYS[1], 'finished_at') == 1 then return 0 end
if redis.call('HSETNX', KEYS[1], 'cancelled_at', ARGV[2]) == 0 then return 0 end
count('{JobStatus.CANCELLED}')
redis.call('HINCRBY', KEYS[1], 'revision', 1)
redis.call('DEL', KEYS[2])
redis.call('SREM', '{UNFINISHED}', ARGV[1])
redis.call('PUBLISH', '{ENDED}', ARGV[1])
if redis.call('HEXISTS', KEYS[1], 'callback_url') == 1 then
  redis.call('ZADD', '{CALLBACKS}', ARGV[2], ARGV[1])
  redis.call('EXPIRE', '{CALLBACKS}', {CALLBACKS_TTL_S})
end
return 1
"""
)
