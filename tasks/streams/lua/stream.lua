-- Adds texts to a stream: what every script that counts texts includes.
--
-- KEYS: those of the stream are made of its uid here; tasks/streams/__init__.py lists them.
--
-- What is added is packed by tasks/streams/counted.py. If it is repeated, it is up to the script that includes this to
-- see that.

local DAY_MINUTES, HOUR_MINUTES, QUARTER_MINUTES, DAY_QUARTERS = 1440, 60, 15, 96
-- The most days of all segments together: 100 segments have 100 days, or one segment 27 years. Texts of further ones are
-- counted in the totals alone.
local MOST_DAYS = 10000
-- Arguments of one command.
local AT_ONCE = 1000
-- Of the ids that were counted, each level has 16 times as many sets as the one before, and is full when its sets have
-- FULL_SET integers on average: as long as a set has at most 512, each takes 8 bytes.
local FIRST_SETS, FULL_SET, MORE_SETS = 16, 300, 16
-- So long after they were touched, minutes are gone.
local MINUTES_S = 7 * 86400
-- As many of the minutes that have changed last are known.
local MOST_TOUCHED = 5000
-- What a key takes, a field or member, an id, an entry of a sample, and a text of one besides its bytes: by measurement.
local KEY_BYTES, FIELD_BYTES, ID_BYTES, ENTRY_BYTES, TEXT_BYTES = 130, 12, 10, 190, 100
local DAY_S = 86400

local function stream_keys(uid)
  local facts = 'sentiq:s:' .. uid
  return facts, function(...) return table.concat({facts, ...}, ':') end
end

-- The set of an id in the level that takes new ones; nil if the id is in a level before, so was counted.
local function set_of(all_ids, id, bits, counted)
  local level, sets, room = 0, FIRST_SETS, FIRST_SETS * FULL_SET
  while true do
    local set = all_ids .. level .. ':' .. bits % sets
    if counted < room then return set end
    if redis.call('SISMEMBER', set, id) == 1 then return nil end
    level, sets = level + 1, sets * MORE_SETS
    room = room + sets * FULL_SET
  end
end

-- Adds numbers to those that a field of a hash has, packed as doubles. Returns how many bytes more the hash takes.
local function add_to(key, field, numbers)
  local count = #numbers
  local form = '<' .. string.rep('d', count)
  local before = redis.call('HGET', key, field)
  if before and #before == 8 * count then
    local known = {struct.unpack(form, before)}
    for i = 1, count do known[i] = known[i] + numbers[i] end
    numbers = known
  end
  return redis.call('HSET', key, field, struct.pack(form, unpack(numbers))) * (FIELD_BYTES + 8 * count)
end

local function is_any(numbers)
  for _, number in ipairs(numbers) do
    if number ~= 0 then return true end
  end
  return false
end

-- What a bucket grows by: the Sums, their change by masking, and the texts that failed or were not read.
local function new_growth()
  return {{0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0, 0, 0}, {0, 0}}
end

local function add_growth(to, from)
  for part = 1, 3 do
    for i, number in ipairs(from[part]) do to[part][i] = to[part][i] + number end
  end
end

local function add_text(sums, label, neg, pos, times)
  sums[label + 1] = sums[label + 1] + times
  local each = {neg, pos, neg * neg, pos * pos, neg * pos}
  for i = 1, 5 do sums[i + 3] = sums[i + 3] + times * each[i] end
end

local function write_growth(key, bucket, growth)
  local bytes = 0
  for part, kind in ipairs({'', '.m', '.x'}) do
    if is_any(growth[part]) then bytes = bytes + add_to(key, bucket .. kind, growth[part]) end
  end
  return bytes
end

-- Notes how many bytes more a stream keeps, by how long: `m` and the day what minutes take, `q` and the day what lives as
-- long as the stream, `sample` and `texts`. The days are those on which that was, as both are gone some days later.
local function note_bytes(bytes, today, ttl_s, grown)
  local begins = false
  for field, more in pairs(grown) do
    local kind = string.sub(field, 1, 1)
    if more ~= 0 and redis.call('HINCRBY', bytes, field, more) == more and kind ~= 's' and kind ~= 't' then
      begins = true
    end
  end
  if not begins then return end
  local lives = {m = MINUTES_S, q = ttl_s}
  for _, field in ipairs(redis.call('HKEYS', bytes)) do
    local left_s = lives[string.sub(field, 1, 1)]
    local day = tonumber(string.sub(field, 2))
    if left_s and day and day + 1 + left_s / DAY_S < today then redis.call('HDEL', bytes, field) end
  end
end

-- Adds texts to a stream. Returns how many texts were not counted, as their ids were before; false if the stream is
-- gone. `field` names the texts for whoever looks for shifts; `now` is in Unix seconds.
local function add_texts(uid, packed, field, now)
  local facts, key = stream_keys(uid)
  local known = redis.call('HMGET', facts, 'ttl', 'ids', 'owner')
  if not known[1] then return false end
  local ttl_s, ids_counted = tonumber(known[1]), tonumber(known[2] or 0)
  local given = cmsgpack.unpack(packed)
  local touched = {[facts] = ttl_s}
  local minute_bytes, kept_bytes, sample_bytes, text_bytes = 0, 0, 0, 0

  -- Segments get their numbers when they come first.
  local numbers = {}
  local count = redis.call('HLEN', key('segments'))
  for i, name in ipairs(given.segments) do
    local number = redis.call('HGET', key('segments'), name)
    if not number and count >= given.most_segments then
      name = given.other
      number = redis.call('HGET', key('segments'), name)
    end
    if not number then
      number = count
      count = count + 1
      redis.call('HSET', key('segments'), name, number)
      kept_bytes = kept_bytes + #name + FIELD_BYTES
    end
    numbers[i] = tonumber(number)
  end
  touched[key('segments')] = ttl_s

  -- Growth by segment and minute.
  local growths = {}
  local function growth_of(segment, minute)
    local number = numbers[segment + 1]
    local minutes = growths[number]
    if not minutes then
      minutes = {}
      growths[number] = minutes
    end
    if not minutes[minute] then minutes[minute] = new_growth() end
    return minutes[minute]
  end
  for _, bucket in ipairs(given.buckets) do
    local segment, minute, sums, change, others = unpack(bucket)
    add_growth(growth_of(segment, minute), {sums, change, others})
  end

  -- Texts with ids: each is counted unless its id was.
  local repeated, is_new, rows = 0, {}, {given.rows}
  local ids, bits, all_ids = given.ids, given.ids.bits, key('ids') .. ':'
  for i, id in ipairs(ids.id) do
    local set = set_of(all_ids, id, bits[i], ids_counted)
    if set and redis.call('SADD', set, id) == 1 then
      touched[set] = ttl_s
      is_new[i] = true
      ids_counted = ids_counted + 1
      kept_bytes = kept_bytes + ID_BYTES
      local growth = growth_of(ids.segment[i], ids.minute[i])
      local label = ids.label[i]
      if label > 2 then
        growth[3][label - 2] = growth[3][label - 2] + 1
      else
        add_text(growth[1], label, ids.neg[i], ids.pos[i], 1)
        local masked = ids.masked_label[i]
        if masked and masked >= 0 then
          add_text(growth[2], masked, ids.masked_neg[i], ids.masked_pos[i], 1)
          add_text(growth[2], label, ids.neg[i], ids.pos[i], -1)
        end
      end
      rows[#rows + 1] = ids.rows[i]
    else
      repeated = repeated + 1
    end
  end

  -- Whether texts of a segment and a day have buckets: a stream has so many days of segments.
  local days, known_days = redis.call('SCARD', key('days')), {}
  local function has_day(number, day)
    local member = number .. ':' .. day
    if known_days[member] == nil then
      local is_known = redis.call('SISMEMBER', key('days'), member) == 1
      if not is_known and days < MOST_DAYS then
        redis.call('SADD', key('days'), member)
        days, is_known = days + 1, true
      end
      known_days[member] = is_known
    end
    return known_days[member]
  end

  local all = new_growth()
  for number, minutes in pairs(growths) do
    local total, quarters = new_growth(), {}
    for minute, growth in pairs(minutes) do
      if has_day(number, string.format('%d', math.floor(minute / DAY_MINUTES))) then
        local hour = key('m', number, string.format('%d', math.floor(minute / HOUR_MINUTES)))
        minute_bytes = minute_bytes + write_growth(hour, string.format('%d', minute % HOUR_MINUTES), growth)
        touched[hour] = math.min(ttl_s, MINUTES_S)
      end
      local quarter = math.floor(minute / QUARTER_MINUTES)
      if not quarters[quarter] then quarters[quarter] = new_growth() end
      add_growth(quarters[quarter], growth)
      add_growth(total, growth)
    end
    for quarter, growth in pairs(quarters) do
      local day = string.format('%d', math.floor(quarter / DAY_QUARTERS))
      if has_day(number, day) then
        local day_key = key('q', number, day)
        kept_bytes = kept_bytes + write_growth(day_key, string.format('%d', quarter % DAY_QUARTERS), growth)
        touched[day_key] = ttl_s
      end
    end
    write_growth(key('totals'), number, total)
    add_growth(all, total)
    touched[key('days')], touched[key('totals')] = ttl_s, ttl_s
  end

  for _, group in ipairs(given.authors) do
    local segment, day, authors = unpack(group)
    local number = numbers[segment + 1]
    if has_day(number, string.format('%d', day)) then
      local day_key = key('a', number, day)
      kept_bytes = kept_bytes - redis.call('STRLEN', day_key)
      for first = 1, #authors, AT_ONCE do
        redis.call('PFADD', day_key, unpack(authors, first, math.min(first + AT_ONCE - 1, #authors)))
      end
      kept_bytes = kept_bytes + redis.call('STRLEN', day_key)
      touched[day_key] = ttl_s
    end
  end

  -- Whether texts are still kept: the stream may have been told to keep none since these came in.
  local keeps
  local function keeps_texts()
    if keeps == nil then
      keeps = string.find(redis.call('HGET', facts, 'settings') or '', '"keep_sample":true', 1, true) ~= nil
    end
    return keeps
  end

  -- The sample of a segment: its texts with the smallest hashes.
  local samples = {}
  local by_part = {sample = {}, gold = {}}
  for _, candidate in ipairs(given.sample) do
    local part, segment, place, entry, id_index, text =
      candidate[1], candidate[2], candidate[3], candidate[4], candidate[5], candidate[6]
    local number = numbers[segment + 1]
    local state = by_part[part][number]
    if not state then
      local sample = key(part, number)
      local last = redis.call('ZRANGE', sample, -1, -1, 'WITHSCORES')
      local is_full = redis.call('ZCARD', sample) >= given.sample_size
      state = {edge = is_full and tonumber(last[2]) or math.huge, sample = sample, texts = key(part, number, 'texts')}
      by_part[part][number], samples[sample] = state, state
    end
    if place < state.edge and (id_index == 0 or is_new[id_index]) then
      sample_bytes = sample_bytes + ENTRY_BYTES * redis.call('ZADD', state.sample, place, entry)
      if text and keeps_texts() then
        text_bytes = text_bytes + (#text + TEXT_BYTES) * redis.call('HSET', state.texts, string.sub(entry, 1, 8), text)
      end
    end
  end
  for sample, state in pairs(samples) do
    local beyond = redis.call('ZCARD', sample) - given.sample_size
    if beyond > 0 then
      local popped = redis.call('ZPOPMAX', sample, beyond)
      sample_bytes = sample_bytes - ENTRY_BYTES * #popped / 2
      for i = 1, #popped, 2 do
        local text = string.sub(popped[i], 1, 8)
        local length = redis.call('HSTRLEN', state.texts, text)
        text_bytes = text_bytes - (length + TEXT_BYTES) * redis.call('HDEL', state.texts, text)
      end
    end
    touched[sample], touched[state.texts] = ttl_s, ttl_s
  end

  local sums = all[1]
  for name, more in pairs({
    texts = sums[1] + sums[2] + sums[3], failed = all[3][1], unread = all[3][2], repeated = repeated, revision = 1,
  }) do
    if more ~= 0 then redis.call('HINCRBY', facts, name, more) end
  end
  redis.call('HSET', facts, 'ids', ids_counted)
  local revision = redis.call('HGET', facts, 'revision')
  for number, minutes in pairs(growths) do
    for minute, _ in pairs(minutes) do
      redis.call('ZADD', key('touched'), revision, number .. ':' .. string.format('%d', minute))
    end
  end
  redis.call('ZREMRANGEBYRANK', key('touched'), 0, -MOST_TOUCHED - 1)
  touched[key('touched')] = ttl_s

  local joined = table.concat(rows)
  if #joined > 0 then
    redis.call('HSET', key('unseen'), field, joined)
    redis.call('ZADD', 'sentiq:streams:unseen', 'NX', now, uid)
    touched[key('unseen')], touched['sentiq:streams:unseen'] = ttl_s, ttl_s
  end
  touched['sentiq:streams-of:' .. (known[3] or '')] = ttl_s
  for name, left_s in pairs(touched) do
    local found_s = redis.call('TTL', name)
    if found_s < left_s then redis.call('EXPIRE', name, left_s) end
    if found_s == -1 then  -- it was made here
      if left_s < ttl_s then minute_bytes = minute_bytes + KEY_BYTES else kept_bytes = kept_bytes + KEY_BYTES end
    end
  end
  local today = math.floor(now / DAY_S)
  note_bytes(key('bytes'), today, ttl_s, {
    ['m' .. today] = minute_bytes, ['q' .. today] = kept_bytes, sample = sample_bytes, texts = text_bytes,
  })
  if redis.call('TTL', key('bytes')) < ttl_s then redis.call('EXPIRE', key('bytes'), ttl_s) end
  return repeated
end
