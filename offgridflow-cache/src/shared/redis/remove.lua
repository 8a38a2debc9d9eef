-- KEYS: clock, log, tags, then the keys to remove. ARGV: a unique text, a channel, the kind (k keys, t tags, n namespace),
-- then the log's members (for tags each followed by its hash).
local LOG, TAGS = 1024, 10000
-- First, and always: a script that has written is not stopped half-way by a full memory.
redis.call('HDEL', KEYS[1], '')
for i = 4, #KEYS do redis.call('UNLINK', KEYS[i]) end
if redis.call('HSETNX', KEYS[1], 'e', ARGV[1]) == 1 then
  redis.call('UNLINK', KEYS[2], KEYS[3]) -- left by a clock that is lost
  redis.call('HSET', KEYS[1], 's', 0, 'f', 0, 'g', 0)
end
local sequence = redis.call('HINCRBY', KEYS[1], 's', 1)
local kind = ARGV[3]
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('HSET', KEYS[1], 'g', sequence - 1) end
local step = 1
if kind == 't' then
  step = 2
  if redis.call('HGET', KEYS[1], 't') and redis.call('EXISTS', KEYS[3]) == 0 then -- evicted: any tag may have been removed
    redis.call('HSET', KEYS[1], 'f', sequence)
  end
  redis.call('HSET', KEYS[1], 't', 1)
end
local number = string.format('%016x', sequence) -- a member of its own for each removal: who puts under a lease counts them
for i = 4, #ARGV, step do
  redis.call('ZADD', KEYS[2], sequence, ARGV[i] .. number)
  if kind == 't' then redis.call('ZADD', KEYS[3], sequence, ARGV[i + 1]) end
end
if kind == 'n' then redis.call('HSET', KEYS[1], 'f', sequence) end
-- What no longer fits is forgotten on the safe side: followers behind it start over, entries older than it are invalid.
while redis.call('ZCARD', KEYS[2]) > LOG do
  redis.call('HSET', KEYS[1], 'g', redis.call('ZPOPMIN', KEYS[2])[2])
end
while redis.call('ZCARD', KEYS[3]) > TAGS do
  local version = tonumber(redis.call('ZPOPMIN', KEYS[3])[2])
  if version > tonumber(redis.call('HGET', KEYS[1], 'f')) then redis.call('HSET', KEYS[1], 'f', version) end
end
redis.pcall('PUBLISH', ARGV[2], sequence) -- only hurries others: they look for news in any case
return { sequence }
