-- ARGV[5]: the sequence that is followed (-1: none). A replica is read from while it follows its primary.
local c, rolled_back = read_clock()
local replica = is_replica() and 1 or 0
if replica == 1 then
  local link = redis.pcall('INFO', 'replication')
  if type(link) ~= 'string' or not string.find(link, 'master_link_status:up', 1, true) then
    return redis.error_reply('ERR a replica that does not follow its primary, or may not say so')
  end
end
local sequence, forgotten, since = tonumber(c[2]), tonumber(c[4]), tonumber(ARGV[5])
if forgotten < sequence and redis.call('EXISTS', KEYS[3]) == 0 then forgotten = sequence end -- the log was evicted
local answer = { { c[1], sequence, rolled_back }, forgotten, replica }
if since >= forgotten and since < sequence then
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. since, '+inf')) do answer[#answer + 1] = member end
end
return answer
