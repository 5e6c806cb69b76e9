-- KV v2 load for wrk: load.lua MODE FOLDER NAMES BYTES
--
-- MODE read, write, mixed (one write to nine reads), batch, metadata (of the secrets), list (of their
-- folders, of a thousand names), lookup (the token's own data) or login (another token); NAMES secrets
-- under FOLDER, each with a value of BYTES. The token comes in BENCH_TOKEN: an argument could be read by everybody.
-- BENCH_BEGIN is how many of the names are left out at the beginning, to be asked for at the end.
-- Requests are made before the clock starts. Prints one JSON line of figures at the end.
local BATCH = 100
local MEMORY = 64 * 1024 * 1024
local STRIDE = 7919 -- a prime: neighbours are not asked for one after the other

local requests, n = {}, tonumber(os.getenv("BENCH_BEGIN"))

local function path(folder, index)
  return string.format("%s/%d/%d", folder, math.floor(index / 1000), index % 1000)
end

local function value(bytes)
  local letters = {}
  math.randomseed(1)
  for i = 1, bytes do letters[i] = string.char(math.random(97, 122)) end
  return table.concat(letters)
end

function init(args)
  local mode, folder, names, bytes = args[1], args[2], tonumber(args[3]), tonumber(args[4])
  local headers = { ["X-Vault-Token"] = os.getenv("BENCH_TOKEN") }
  local json = { ["X-Vault-Token"] = headers["X-Vault-Token"], ["Content-Type"] = "application/json" }
  local body = '{"data":{"value":"' .. value(bytes) .. '"}}'
  local count = math.min(names, 100000)
  if mode == "write" or mode == "mixed" then
    count = math.min(count, math.max(64, math.floor(MEMORY / bytes)))
  elseif mode == "batch" then
    count = math.min(count, 1000)
  end
  for i = 0, count - 1 do
    local index = i * STRIDE % names
    local url = "/v1/secret/data/" .. path(folder, index)
    if mode == "write" or (mode == "mixed" and i % 10 == 9) then
      requests[i + 1] = wrk.format("POST", url, json, body)
    elseif mode == "batch" then
      local asked = {}
      for k = 0, BATCH - 1 do
        asked[k + 1] = '"secret/' .. path(folder, (index + k * STRIDE) % names) .. '"'
      end
      local wanted = string.format(os.getenv("BENCH_BATCH"), table.concat(asked, ","))
      requests[i + 1] = wrk.format("POST", os.getenv("BENCH_BATCH_PATH"), json, wanted)
    elseif mode == "metadata" or mode == "list" then
      local place = "/v1/secret/metadata/" .. path(folder, index)
      if mode == "list" then place = place:gsub("/%d+$", "?list=true") end
      requests[i + 1] = wrk.format("GET", place, headers)
    elseif mode == "login" then
      local asked = '{"policies":["bench"],"ttl":"1h"}'
      requests[i + 1] = wrk.format("POST", "/v1/auth/token/create", json, asked)
    elseif mode == "lookup" then
      requests[i + 1] = wrk.format("GET", "/v1/auth/token/lookup-self", headers)
    else
      requests[i + 1] = wrk.format("GET", url, headers)
    end
  end
end

function request()
  n = n % #requests + 1
  return requests[n]
end

function done(summary, latency)
  local e = summary.errors
  print(string.format(
    '{"requests":%d,"microseconds":%d,"p50":%d,"p95":%d,"p99":%d,"not_2xx":%d,"broken":%d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(95),
    latency:percentile(99), e.status, e.connect + e.read + e.write + e.timeout))
end
