-- Asks for the paths of a file in turn, one "PATH" or "PATH RANGE" a line, when a file is given; prints what was
-- measured as JSON.
local requests, at = {}, 0

function init(args)
  if not args[1] then return end
  for line in io.lines(args[1]) do
    local path, range = line:match("^(%S+) ?(%S*)$")
    wrk.headers["Range"] = range ~= "" and range or nil
    requests[#requests + 1] = wrk.format("GET", path)
  end
  function request()
    at = at % #requests + 1
    return requests[at]
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nJSON {"requests":%d,"micros":%d,"bytes":%d,"failed":%d,"p50":%d,"p90":%d,"p99":%d}\n',
    summary.requests, summary.duration, summary.bytes,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99)))
end
