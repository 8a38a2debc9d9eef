-- KEYS: clock, log. ARGV: a unique text, the last sequence seen (-1: none).
-- A server that was started again from a file has old values under the same epoch: another run id gives it a new one.
local run = redis.pcall('INFO', 'server')
run = type(run) == 'string' and string.match(run, 'run_id:(%w+)') or ''
local c = redis.call('HMGET', KEYS[1], 'e', 's', 'g', 'r')
if not c[1] or (c[4] and c[4] ~= run) then
  redis.call('HSET', KEYS[1], 'e', ARGV[1])
  redis.call('HSETNX', KEYS[1], 's', 0)
  redis.call('HSETNX', KEYS[1], 'f', 0)
  redis.call('HSETNX', KEYS[1], 'g', 0)
  c = redis.call('HMGET', KEYS[1], 'e', 's', 'g')
  c[4] = nil
end
if c[4] ~= run then redis.call('HSET', KEYS[1], 'r', run) end
local answer = { c[1], tonumber(c[2]), tonumber(c[3]) }
local seen = tonumber(ARGV[2])
if seen >= 0 and seen < tonumber(c[2]) then
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. seen, '+inf')) do answer[#answer + 1] = member end
end
return answer
