-- KEYS: clock, then the keys to fill. ARGV, seven a key: lease token, born, frame, ttl in ms
-- (0: release), grace in ms, hashes and names of tags.
local epoch = redis.call('HGET', KEYS[1], 'e')
local own = epoch and epoch .. ':' or false
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answers = {}
for i = 2, #KEYS do
  local a = (i - 2) * 7
  local token = ARGV[a + 1]
  local held = own and string.sub(token, 1, #own) == own and redis.pcall('HGET', KEYS[i], 'l')
  if held ~= token then
    answers[#answers + 1] = 0
  else
    redis.call('HDEL', KEYS[i], 'l', 'd', 'g')
    local ttl = tonumber(ARGV[a + 4])
    if ttl > 0 then
      local keep = ttl + tonumber(ARGV[a + 5])
      redis.call('HSET', KEYS[i], 'v', ARGV[a + 3], 'b', ARGV[a + 2], 'x', now + ttl, 'k', now + keep, 'e', epoch,
        't', ARGV[a + 6], 'n', ARGV[a + 7])
      redis.call('PEXPIRE', KEYS[i], keep)
    end
    answers[#answers + 1] = 1
  end
end
return answers
