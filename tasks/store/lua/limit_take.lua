-- Gives a web process a block of the texts that a caller may still send in the present window.
--
-- KEYS[1] sentiq:l:<limit>:<caller>, the window and the texts given out in it, a hash
-- ARGV[1] the texts that are needed: if fewer are left, none are given
-- ARGV[2] the texts that are wanted
-- ARGV[3] the limit, in texts
-- ARGV[4] the window, in milliseconds
--
-- Returns {texts given, texts left, milliseconds until the window ends}.
local count = KEYS[1]
local needed, wanted, limit, window_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local window = string.format('%d', math.floor(now_ms / window_ms))
local ends_ms = window_ms - now_ms % window_ms
local held = redis.call('HMGET', count, 'window', 'given')
local given = held[1] == window and tonumber(held[2]) or 0
local left = limit - given
if left < needed then return {0, left, ends_ms} end
local block = math.min(math.max(needed, wanted), left)
redis.call('HSET', count, 'window', window, 'given', given + block)
redis.call('PEXPIRE', count, ends_ms)
return {block, left - block, ends_ms}
