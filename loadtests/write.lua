-- KV v2 writes to many names, for wrk; the token comes in the environment variable BENCH_TOKEN.
local names, n = 2000, 0
local headers = {
  ["X-Vault-Token"] = os.getenv("BENCH_TOKEN"),
  ["Content-Type"] = "application/json",
}
local body = '{"data":{"username":"app","password":"correct horse battery staple"}}'

request = function()
  n = n + 1
  return wrk.format("POST", "/v1/secret/data/bench/write/" .. (n % names), headers, body)
end
