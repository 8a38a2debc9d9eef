-- KEYS: clock, log, tags, then the keys to remove. ARGV: a unique text, the kind (k keys, t tags, n namespace), then
-- the log's members (for tags each followed by its hash).
local LOG, TAGS = 1024, 10000
redis.call('HSETNX', KEYS[1], 'e', ARGV[1])
redis.call('HSETNX', KEYS[1], 'f', 0)
redis.call('HSETNX', KEYS[1], 'g', 0)
for i = 4, #KEYS do redis.call('UNLINK', KEYS[i]) end
local sequence = redis.call('HINCRBY', KEYS[1], 's', 1)
local kind = ARGV[2]
local step = 1
if kind == 't' then step = 2 end
for i = 3, #ARGV, step do
  redis.call('ZADD', KEYS[2], sequence, ARGV[i])
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
return { sequence }
