-- Makes deliveries due again: the same messages under the same ids, with the schedule from its beginning.
--
-- 1. leave out what is forgotten, and what is being sent in this moment
-- 2. move its attempts to the earlier ones and note the replay; of both the oldest are dropped
-- 3. it is no dead letter any more nor in quarantine, and is kept for as long as a new one
-- 4. due now or, with many to one destination, one after the other
--
-- USES clock event outbox
-- KEYS
--   dead           zset    the team's dead letters
-- ARGV
--   team           str     the team's id
--   user           str     the user who asks
--   spacing_ms     int     from one to the next at the same destination; 0: all now
--   retention_ms   int     how long they are kept from now on, at least
--   attempts_kept  int     how many earlier attempts are kept
--   replays_kept   int     how many notes of replays are kept
-- REST str  ids of deliveries
--
-- Returns list[str]  the ids of those that are due again
local due = {}

-- Drops the fields `name:from` … `name:to`.
local function drop(hash, name, from, to)
  for i = math.max(1, from), to do
    redis.call('HDEL', hash, name .. ':' .. i)
  end
end

local function archive_attempts(hash)
  local record = redis.call('HMGET', hash, 'attempts', 'earlier', 'replays', 'status')
  local count, before, replays = tonumber(record[1]), tonumber(record[2] or '0'), tonumber(record[3] or '0') + 1
  for i = 1, count do
    redis.call('HSET', hash, 'earlier:' .. before + i, redis.call('HGET', hash, 'attempt:' .. i))
    redis.call('HDEL', hash, 'attempt:' .. i)
  end
  drop(hash, 'earlier', before - arg.attempts_kept + 1, before + count - arg.attempts_kept)
  drop(hash, 'replay', replays - arg.replays_kept, replays - arg.replays_kept)
  redis.call('HSET', hash, 'attempts', 0, 'earlier', before + count, 'replays', replays,
    'replay:' .. replays, digits(now) .. ' ' .. arg.user .. ' ' .. record[4], 'status', 'due')
  redis.call('HDEL', hash, 'died_ms')
end

-- When the next replay to this destination is due.
local function next_due(destination)
  if tonumber(arg.spacing_ms) == 0 then
    return now
  end
  local pace = prefix .. 'rate:' .. destination .. ':replay'
  local at = math.max(now, tonumber(redis.call('GET', pace) or '0'))
  redis.call('SET', pace, digits(at + arg.spacing_ms), 'PX', digits(at + arg.spacing_ms - now))
  return at
end

for _, id in ipairs(rest) do
  local ref = arg.team .. '/' .. id
  local hash = prefix .. 'delivery:' .. ref
  local destination = redis.call('HGET', hash, 'destination')
  local sent_until = destination and redis.call('ZSCORE', prefix .. 'flying:' .. destination, ref)
  if destination and not (sent_until and tonumber(sent_until) > now) then
    archive_attempts(hash)
    redis.call('ZREM', key.dead, id)
    redis.call('HDEL', prefix .. 'aside', 'deliver ' .. ref)
    redis.call('DEL', prefix .. 'suspect:deliver:' .. ref)
    redis.call('PEXPIRE', hash, digits(math.max(redis.call('PTTL', hash), tonumber(arg.retention_ms))))
    queue_delivery(destination, ref, next_due(destination), arg.retention_ms)
    due[#due + 1] = id
  end
end
return due
