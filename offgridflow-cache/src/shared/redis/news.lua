-- KEYS: clock, log, tags. ARGV: a unique text, the last sequence seen (-1: none).
-- A server that was started again from a file has old values under the same epoch: another run id gives it a new one.
local run = redis.pcall('INFO', 'server')
run = type(run) == 'string' and string.match(run, 'run_id:(%w+)') or ''
local c = redis.call('HMGET', KEYS[1], 'e', 's', 'g', 'r')
if not c[1] then
  redis.call('UNLINK', KEYS[2], KEYS[3]) -- left by a clock that is lost
  redis.call('HSET', KEYS[1], 'e', ARGV[1], 's', 0, 'f', 0, 'g', 0, 'r', run)
  c = { ARGV[1], '0', '0', run }
elseif c[4] ~= run then
  if c[4] then
    redis.call('HSET', KEYS[1], 'e', ARGV[1])
    c[1] = ARGV[1]
  end
  redis.call('HSET', KEYS[1], 'r', run)
end
local sequence, forgotten = tonumber(c[2]), tonumber(c[3])
if forgotten < sequence and redis.call('EXISTS', KEYS[2]) == 0 then forgotten = sequence end -- the log was evicted
local answer = { c[1], sequence, forgotten }
local seen = tonumber(ARGV[2])
if seen >= forgotten and seen < sequence then
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. seen, '+inf')) do answer[#answer + 1] = member end
end
return answer
