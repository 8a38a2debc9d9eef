-- Begins every script. KEYS: clock, tags, log, then what the script is about. ARGV: a unique text, the epoch and the sequence that who asks has
-- seen ('' and -1: none), 1 to ask for the run id in any case and 2 in none, then the script's own.
-- A key's hash, each field followed by a schema: v frame, h header (when it was born by the sequence, end of its freshness in ms, of its grace, length of the epoch, of
-- the hashes of its tags; then these, and the tags' names); l lease token, d its deadline, g when it was given.
-- The clock's hash: e epoch, s sequence, f floor, g up to where the log is forgotten, t whether tags were removed, r run id.
local HEADER, HEADER_BYTES = '>I8I8I8I4I4', 32

-- Who may not run INFO does not know the run id.
local function run_id()
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and string.match(info, 'run_id:(%w+)')
end

-- A replica takes no writes. (Elsewhere this is one: a script that has written is not stopped half-way by a full memory.)
local function is_replica()
  local refused = redis.pcall('HDEL', KEYS[1], '')
  return type(refused) == 'table' and string.find(refused.err or '', 'READONLY', 1, true) and true or false
end

-- The clock's fields, and 1 if it got another epoch here. A server that was started again from a file, or took over from another, has old
-- values under the same epoch: it has another run id, or a sequence behind one that was seen. Who has seen the epoch compares sequences,
-- who has not asks for the run id. Of a replica neither says anything; whoever asked sees how far it is.
local function read_clock()
  local c = redis.call('HMGET', KEYS[1], 'e', 's', 'f', 'g', 't', 'r')
  local run = ARGV[4] ~= '2' and (ARGV[4] == '1' or c[1] ~= ARGV[2]) and run_id()
  local behind = c[1] == ARGV[2] and tonumber(c[2]) < tonumber(ARGV[3])
  if c[1] and not behind and not (run and c[6] ~= run) then return c, 0 end
  if is_replica() then return c[1] and c or { '', '0', '0', '0' }, 0 end
  local rolled_back = c[1] and 1 or 0
  if not c[1] then
    redis.call('UNLINK', KEYS[2], KEYS[3]) -- left by a clock that is lost
    redis.call('HSET', KEYS[1], 's', 0, 'f', 0, 'g', 0)
    c = { false, '0', '0', '0' }
  end
  c[1] = ARGV[1]
  redis.call('HSET', KEYS[1], 'e', c[1])
  if run then redis.call('HSET', KEYS[1], 'r', run) end
  return c, rolled_back
end

