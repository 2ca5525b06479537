-- wrk -s load.lua URL -- FILE BEFORE AFTER START: posts the lines of FILE (each a JSON string without its quotes) in turn, in
-- BEFORE..AFTER; with START each text ends in a number that counts from there, so that none is sent twice. One wrk thread only.
local lines, sent, before, after, start = {}, 0, "", "", nil
local headers = { ["Content-Type"] = "application/json" }
local threads = {}
statuses = {} -- global, because done() reads it from the thread

function setup(thread)
   table.insert(threads, thread)
end

function init(args)
   for line in io.lines(args[1]) do
      lines[#lines + 1] = line
   end
   before, after, start = args[2], args[3], tonumber(args[4])
end

function request()
   local text = lines[sent % #lines + 1]
   if start then
      text = text .. " " .. (start + sent)
   end
   sent = sent + 1
   return wrk.format("POST", nil, headers, before .. '"' .. text .. '"' .. after)
end

function response(status)
   statuses[status] = (statuses[status] or 0) + 1
end

function done(summary, latency)
   local counts = {}
   for status, count in pairs(threads[1]:get("statuses")) do
      counts[#counts + 1] = string.format('"%d":%d', status, count)
   end
   local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
   print(string.format(
      'BENCH {"seconds":%.3f,"p50_ms":%.3f,"p95_ms":%.3f,"p99_ms":%.3f,"errors":%d,"statuses":{%s}}',
      summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3, errors,
      table.concat(counts, ",")))
end
