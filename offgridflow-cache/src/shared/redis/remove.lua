-- ARGV from the fifth on: a channel, the kind (k keys, t tags, n namespace), then the log's members (for tags each followed by its hash).
local LOG, TAGS = 1024, 10000
-- First, and always: a script that has written is not stopped half-way by a full memory.
redis.call('HDEL', KEYS[1], '')
for i = 4, #KEYS do redis.call('UNLINK', KEYS[i]) end
local c, rolled_back = read_clock() -- before it counts: a sequence that was rolled back must not catch up with what was seen
local sequence = redis.call('HINCRBY', KEYS[1], 's', 1)
local kind = ARGV[6]
if redis.call('EXISTS', KEYS[3]) == 0 then redis.call('HSET', KEYS[1], 'g', sequence - 1) end
local step = 1
if kind == 't' then
  step = 2
  if c[5] and redis.call('EXISTS', KEYS[2]) == 0 then -- evicted: any tag may have been removed
    redis.call('HSET', KEYS[1], 'f', sequence)
  end
  redis.call('HSET', KEYS[1], 't', 1)
end
local number = string.format('%016x', sequence) -- a member of its own for each removal: who puts under a lease counts them
for i = 7, #ARGV, step do
  redis.call('ZADD', KEYS[3], sequence, ARGV[i] .. number)
  if kind == 't' then redis.call('ZADD', KEYS[2], sequence, ARGV[i + 1]) end
end
if kind == 'n' then redis.call('HSET', KEYS[1], 'f', sequence) end
-- What no longer fits is forgotten on the safe side: followers behind it start over, entries older than it are invalid.
while redis.call('ZCARD', KEYS[3]) > LOG do
  redis.call('HSET', KEYS[1], 'g', redis.call('ZPOPMIN', KEYS[3])[2])
end
while redis.call('ZCARD', KEYS[2]) > TAGS do
  local version = tonumber(redis.call('ZPOPMIN', KEYS[2])[2])
  if version > tonumber(redis.call('HGET', KEYS[1], 'f')) then redis.call('HSET', KEYS[1], 'f', version) end
end
redis.pcall('PUBLISH', ARGV[5], sequence) -- only hurries others: they look for news in any case
return { { c[1], sequence, rolled_back } }
