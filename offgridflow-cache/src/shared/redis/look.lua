-- ARGV from the fifth on: the lease in ms, 1 to lease what is fresh as well, the age in ms from which leases are taken over, the schema.
-- A key's hash, each field followed by a schema: v frame, b born, x end of its freshness in ms, k of its grace, e epoch, t hashes of its tags, n their names; l lease token, d its deadline, g when it
-- was given.
local c, rolled_back = read_clock()
if c[5] and redis.call('EXISTS', KEYS[2]) == 0 then -- evicted: any tag may have been removed
  c[3] = c[2]
  if type(redis.pcall('HDEL', KEYS[1], 't')) == 'number' then redis.call('HSET', KEYS[1], 'f', c[3]) end
end
local floor = tonumber(c[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = tonumber(ARGV[5])
-- A lease belongs to the epoch it was given in: one that a restart brings back is none.
local own = c[1] .. ':'

local function removed(hashes, born)
  for at = 1, #hashes, 16 do
    local version = redis.call('ZSCORE', KEYS[2], string.sub(hashes, at, at + 15))
    if version and tonumber(version) > born then return true end
  end
  return false
end

local s, fields = ARGV[8], {}
for letter in string.gmatch('vbxetnldkg', '.') do fields[#fields + 1] = letter .. s end

local answers = { { c[1], tonumber(c[2]), rolled_back } }
for i = 4, #KEYS do
  local h = redis.pcall('HMGET', KEYS[i], unpack(fields))
  if h.err then
    answers[#answers + 1] = { 3 }
  else
    local keep = h[1] and h[4] == c[1] and tonumber(h[9] or h[3]) -- until when the value may be served at all
    local valid = keep and keep > now and tonumber(h[2]) >= floor and not removed(h[5], tonumber(h[2]))
    local left = valid and tonumber(h[3]) - now
    local lives = h[7] and tonumber(h[8]) > now and string.sub(h[7], 1, #own) == own
    local busy = lives and now - tonumber(h[10] or now) < tonumber(ARGV[7])
    if valid and left > 0 and (busy or ARGV[6] ~= '1') then
      answers[#answers + 1] = { 0, h[1], left, h[6] }
    elseif busy then
      answers[#answers + 1] = valid and { 4, h[1], left, h[6] } or { 2 }
    else
      local token = own .. ARGV[1] .. ':' .. i
      -- Out of memory: no lease is stored, and the fill that comes with the token is refused.
      local stored = redis.pcall('HSET', KEYS[i], 'l' .. s, token, 'd' .. s, now + lease, 'g' .. s, now)
      if type(stored) ~= 'table' or not stored.err then
        if not valid then redis.call('HDEL', KEYS[i], 'v' .. s) end
        if redis.call('PTTL', KEYS[i]) < lease then redis.call('PEXPIRE', KEYS[i], lease) end
      end
      answers[#answers + 1] = valid and { 4, h[1], left, h[6], token, tonumber(c[2]) } or { 1, token, tonumber(c[2]) }
    end
  end
end
return answers
