-- ARGV from the fifth on, eight a key: schema, lease token, born, frame, ttl in ms (0: release), grace in ms, hashes and names of tags.
local c, rolled_back = read_clock()
local epoch, own = c[1], c[1] .. ':'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- What other schemas have of the key: how long that is still needed; what is not, goes.
local function others(key, schema)
  local longest = 0
  if redis.call('HLEN', key) <= 2 then return longest end
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local kind, of = string.sub(field, 1, 1), string.sub(field, 2)
    if (kind == 'h' or kind == 'l') and of ~= schema then
      local found = redis.call('HMGET', key, 'h' .. of, 'd' .. of)
      local kept = #(found[1] or '') >= HEADER_BYTES and select(3, struct.unpack(HEADER, found[1])) or 0
      local last = math.max(kept, tonumber(found[2] or 0)) - now
      if last > 0 then
        longest = math.max(longest, last)
      else
        redis.call('HDEL', key, 'v' .. of, 'h' .. of, 'l' .. of, 'd' .. of, 'g' .. of)
      end
    end
  end
  return longest
end

local answers = { { epoch, tonumber(c[2]), rolled_back } }
for i = 4, #KEYS do
  local a = (i - 4) * 8 + 4
  local s, token = ARGV[a + 1], ARGV[a + 2]
  local held = string.sub(token, 1, #own) == own and redis.pcall('HGET', KEYS[i], 'l' .. s)
  if held ~= token then
    answers[#answers + 1] = 0
  else
    redis.call('HDEL', KEYS[i], 'l' .. s, 'd' .. s, 'g' .. s)
    local ttl = tonumber(ARGV[a + 5])
    if ttl > 0 then
      local keep = ttl + tonumber(ARGV[a + 6])
      local hashes, names = ARGV[a + 7], ARGV[a + 8]
      local header = struct.pack(HEADER, ARGV[a + 3], now + ttl, now + keep, #epoch, #hashes) .. epoch .. hashes .. names
      redis.call('HSET', KEYS[i], 'v' .. s, ARGV[a + 4], 'h' .. s, header)
      redis.call('PEXPIRE', KEYS[i], math.max(keep, others(KEYS[i], s)))
    end
    answers[#answers + 1] = 1
  end
end
return answers
