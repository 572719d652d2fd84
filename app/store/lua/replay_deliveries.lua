-- Lets deliveries be sent again: the same messages under the same ids, with the schedule from its beginning.
--
-- 1. leave out what is forgotten, and what is on its way in this moment
-- 2. put its attempts by, so that the schedule begins anew, and note the replay; of both the oldest are dropped
-- 3. it is no dead letter any more nor set aside, and is remembered for as long as a new one
-- 4. due now or, of many to one destination, each a little after the one before
--
-- USES clock event outbox
-- KEYS
--   dead           zset    the team's dead letters
-- ARGV
--   team           str     whose deliveries they are
--   user           str     the user who asks
--   spacing_ms     int     from one to the next at the same destination; 0 for now
--   retention_ms   int     how long they are remembered from now on, at least
--   attempts_kept  int     how many earlier attempts are kept
--   replays_kept   int     how many replays are noted
-- REST str  ids of deliveries
--
-- Returns list[str]  the ids of those that are due again
local out = {}

-- Drops the entries `name:from` … `name:to` of a numbered list in a hash.
local function drop(hash, name, from, to)
  for i = math.max(1, from), to do
    redis.call('HDEL', hash, name .. ':' .. i)
  end
end

local function put_by(hash)
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
local function turn(destination)
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
  local flies = destination and redis.call('ZSCORE', prefix .. 'flying:' .. destination, ref)
  if destination and not (flies and tonumber(flies) > now) then
    put_by(hash)
    redis.call('ZREM', key.dead, id)
    redis.call('HDEL', prefix .. 'aside', 'deliver ' .. ref)
    redis.call('DEL', prefix .. 'suspect:deliver:' .. ref)
    redis.call('PEXPIRE', hash, digits(math.max(redis.call('PTTL', hash), tonumber(arg.retention_ms))))
    queue_delivery(destination, ref, turn(destination), arg.retention_ms)
    out[#out + 1] = id
  end
end
return out
