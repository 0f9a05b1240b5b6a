-- Sends ready-made requests in turn. Arguments: the file that holds them, each ended by a zero byte; and
-- "verify" to look at every answer, which costs the generator too much to be done while it measures.
local requests, number = {}, 0

function init(arguments)
   local file = assert(io.open(arguments[1], "rb"))
   for one in file:read("*a"):gmatch("([^%z]+)%z") do
      requests[#requests + 1] = one
   end
   file:close()
   if arguments[2] == "verify" then
      function response(status, _, body)
         if status ~= 200 then
            io.stderr:write(status, " ", body, "\n")
         end
      end
   end
end

function request()
   number = number % #requests + 1
   return requests[number]
end

function done(summary, latency)
   local errors = summary.errors
   io.stdout:write("\n", string.format(
      '{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "failed": %d}',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      errors.connect + errors.read + errors.write + errors.status + errors.timeout), "\n")
end
