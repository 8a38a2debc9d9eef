-- ARGV from the fifth on: the lease in ms, 1 to lease what is fresh as well, the age in ms from which leases are taken over, the schema.
local c, rolled_back = read_clock()
if c[5] and redis.call('EXISTS', KEYS[2]) == 0 then -- evicted: any tag may have been removed
  c[3] = c[2]
  if type(redis.pcall('HDEL', KEYS[1], 't')) == 'number' then redis.call('HSET', KEYS[1], 'f', c[3]) end
end
local epoch, sequence, floor = c[1], tonumber(c[2]), tonumber(c[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease, early, patience = tonumber(ARGV[5]), ARGV[6] == '1', tonumber(ARGV[7])
local value, header, token, deadline, given = 'v' .. ARGV[8], 'h' .. ARGV[8], 'l' .. ARGV[8], 'd' .. ARGV[8], 'g' .. ARGV[8]
local pcall, sub, unpack_header = redis.pcall, string.sub, struct.unpack -- looked up once, not for each key
-- A lease belongs to the epoch it was given in: one that a restart brings back is none.
local own = epoch .. ':'

-- When what carries these tags was last removed, and their names. Keys of a batch often have the same, so each is looked at once.
local ends = {}
local function read_end(of_epoch, of_tags, text) -- from the lengths on
  local tags = 9 + of_epoch
  local names = tags + of_tags
  local last = sub(text, 9, tags - 1) == epoch and -1 or math.huge -- of another epoch: removed
  for at = tags, names - 1, 16 do
    last = math.max(last, tonumber(redis.call('ZSCORE', KEYS[2], sub(text, at, at + 15)) or -1))
  end
  ends[text] = { removed = last, names = sub(text, names) }
  return ends[text]
end

-- How long a value is fresh, and the names of its tags; nothing where it may not be served at all.
local function judge(head)
  if #head < HEADER_BYTES then return false end
  local born, fresh, kept, of_epoch, of_tags = unpack_header(HEADER, head)
  if kept <= now or born < floor then return false end
  local text = sub(head, HEADER_BYTES - 7)
  local rest = ends[text] or read_end(of_epoch, of_tags, text)
  if rest.removed > born then return false end
  return fresh - now, rest.names
end

local function is_busy(key)
  local l = redis.call('HMGET', key, token, deadline, given)
  local lives = l[1] and tonumber(l[2]) > now and sub(l[1], 1, #own) == own
  return lives and now - tonumber(l[3] or now) < patience
end

local answers = { { epoch, sequence, rolled_back } }
for i = 4, #KEYS do
  local key = KEYS[i]
  local found = pcall('HMGET', key, value, header)
  if found.err and sub(found.err, 1, 9) == 'WRONGTYPE' and type(pcall('UNLINK', key)) == 'number' then
    found = pcall('HMGET', key, value, header) -- not ours: the name is
  end
  local left, names = false, nil
  if found[1] and found[2] then left, names = judge(found[2]) end
  if found.err then
    answers[i - 2] = { 3 }
  elseif left and left > 0 and not early then
    answers[i - 2] = { 0, found[1], left, names }
  elseif is_busy(key) then
    answers[i - 2] = not left and { 2 } or { left > 0 and 0 or 4, found[1], left, names }
  else
    local mine = own .. ARGV[1] .. ':' .. i
    -- Out of memory: no lease is stored, and the fill that comes with the token is refused.
    local stored = pcall('HSET', key, token, mine, deadline, now + lease, given, now)
    if type(stored) ~= 'table' or not stored.err then
      if not left then redis.call('HDEL', key, value, header) end
      if redis.call('PTTL', key) < lease then redis.call('PEXPIRE', key, lease) end
    end
    answers[i - 2] = left and { 4, found[1], left, names, mine, sequence } or { 1, mine, sequence }
  end
end
return answers
