-- KEYS: clock, log, tags. ARGV: a unique text, the last sequence seen (-1: none), and its epoch.
-- A server that was started again from a file, or took over from another, has old values under the same epoch: another run id, or a
-- sequence behind one that was seen, gives it a new one. Who may not run INFO does not know the run id, which is no change.
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)')
local c = redis.call('HMGET', KEYS[1], 'e', 's', 'g', 'r')
local seen = tonumber(ARGV[2])
-- A replica takes no writes. It is read from while it follows its primary; another run id than its primary's says nothing.
local refused = redis.pcall('HDEL', KEYS[1], '')
local replica = type(refused) == 'table' and string.find(refused.err or '', 'READONLY', 1, true) and 1 or 0
if replica == 1 then
  local link = redis.pcall('INFO', 'replication')
  if type(link) ~= 'string' or not string.find(link, 'master_link_status:up', 1, true) then
    return redis.error_reply('ERR a replica that does not follow its primary, or may not say so')
  end
  c[4], run = false, false
end
if not c[1] and replica == 1 then
  c = { '', '0', '0', false }
elseif not c[1] then
  redis.call('UNLINK', KEYS[2], KEYS[3]) -- left by a clock that is lost
  redis.call('HSET', KEYS[1], 'e', ARGV[1], 's', 0, 'f', 0, 'g', 0)
  c = { ARGV[1], '0', '0', false }
elseif replica == 0 and ((run and c[4] and c[4] ~= run) or (c[1] == ARGV[3] and seen > tonumber(c[2]))) then
  redis.call('HSET', KEYS[1], 'e', ARGV[1])
  c[1] = ARGV[1]
end
if run and c[4] ~= run then redis.call('HSET', KEYS[1], 'r', run) end
local sequence, forgotten = tonumber(c[2]), tonumber(c[3])
if forgotten < sequence and redis.call('EXISTS', KEYS[2]) == 0 then forgotten = sequence end -- the log was evicted
local answer = { c[1], sequence, forgotten, replica }
if seen >= forgotten and seen < sequence then
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. seen, '+inf')) do answer[#answer + 1] = member end
end
return answer
