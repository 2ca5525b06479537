-- Renews the mark of a worker. It begins with what takes no room: a server whose memory is full refuses a script that
-- begins otherwise, and then all workers would seem to be away.
--
-- KEYS[1] sentiq:worker:<worker id>, the mark
-- KEYS[2] sentiq:w:<worker id>, the mark in the form of the version before
-- KEYS[3] sentiq:workers, the ids of all workers, a set
-- KEYS[4] sentiq:m:<model tag>, the identity of the model; only if the worker's model is what callers get
-- ARGV[1] the worker's id
-- ARGV[2] the mark
-- ARGV[3] the mark in the form of the version before
-- ARGV[4] the seconds that a mark lives
-- ARGV[5] the seconds that the set lives
-- ARGV[6] the identity of the worker's model
-- ARGV[7] the seconds that the identity lives
--
-- Returns nothing.
local mark_key, before_key, workers, identity_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, mark, before, mark_ttl_s, workers_ttl_s = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local identity, identity_ttl_s = ARGV[6], ARGV[7]

redis.call('DEL', mark_key, before_key)
redis.call('SET', mark_key, mark, 'EX', mark_ttl_s)
redis.call('SET', before_key, before, 'EX', mark_ttl_s)
redis.call('SADD', workers, id)
redis.call('EXPIRE', workers, workers_ttl_s)
if identity_key then redis.call('SET', identity_key, identity, 'EX', identity_ttl_s) end
