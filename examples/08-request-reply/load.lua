-- Orders for wrk, and how many answers there were of each status; "bare" are those of 503 without a Retry-After.
wrk.method = "POST"
wrk.body = '{"fruit": "plum", "amount": 120}'
wrk.headers["Content-Type"] = "application/json"

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  counts = {}
  statuses = ""
end

function response(status, headers, body)
  local name = status
  if status == 503 and not (headers["Retry-After"] or headers["retry-after"]) then
    name = "bare"
  end
  counts[name] = (counts[name] or 0) + 1
  statuses = ""
  for one, count in pairs(counts) do
    statuses = statuses .. one .. "=" .. count .. " "
  end
end

function done(summary, latency, requests)
  local total = {}
  for _, thread in ipairs(threads) do
    for name, count in string.gmatch(thread:get("statuses"), "(%w+)=(%d+)") do
      total[name] = (total[name] or 0) + tonumber(count)
    end
  end
  for name, count in pairs(total) do
    io.write(string.format("status %s: %d\n", name, count))
  end
  local errors = summary.errors
  io.write(string.format("connections: %d\n", errors.connect + errors.read + errors.write))
  io.write(string.format("timeouts: %d\n", errors.timeout))
  io.write(string.format("p50: %.1f ms\n", latency:percentile(50.0) / 1000))
  io.write(string.format("p99: %.1f ms\n", latency:percentile(99.0) / 1000))
end
