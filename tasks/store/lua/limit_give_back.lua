-- Subtracts texts from a caller's count. A count whose window has ended is gone, and nothing is subtracted.
--
-- KEYS[1] sentiq:l:<limit>:<caller>, the window and the texts given out in it, a hash
-- ARGV[1] the texts
--
-- Returns nothing.
local count = KEYS[1]
local texts = tonumber(ARGV[1])

local given = tonumber(redis.call('HGET', count, 'given') or 0)
if given > 0 then redis.call('HINCRBY', count, 'given', -math.min(given, texts)) end
