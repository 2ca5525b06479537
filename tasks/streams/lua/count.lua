-- Adds a text that was answered at once to a stream.
--
-- KEYS: see tasks/streams/__init__.py
-- ARGV[1] the stream's uid
-- ARGV[2] now, in Unix seconds
-- ARGV[3] what is added, packed
-- ARGV[4] the name of this text among those that the search for shifts has not looked at
--
-- Returns how many of the texts were not counted; nil if the stream is gone.
-- include stream.lua
local uid, now, packed, field = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

return add_texts(uid, packed, field, now)
