-- Registers one part of an upload before it is written to disk. All parts together stay below the limit and are in one
-- host's folder; a team, and all teams together, may have only so many unfinished uploads with parts.
--
-- KEYS
--   upload         hash    the upload
--   team           zset    the team's unfinished uploads with parts, by when (ms) they end
--   all            zset    everybody's
-- ARGV
--   ref            str     of the upload: team and id
--   number         int     of the part; one that comes again replaces the first
--   etag           str     of its bytes
--   size           int     of its bytes
--   folder         str     the folder it is about to be written to
--   max_bytes      int     bytes that all parts may have together
--   team_max       int     uploads with parts that a team may have unfinished
--   all_max        int     and that everybody together may
--
-- Returns "taken" | "too_large" | "finished" | "missing" | "elsewhere" | "too_many" | "full"
--
-- USES clock
--
-- 1. what the upload itself says: gone, complete, begun in another host's folder, too large together
-- 2. the first part takes a place among the unfinished, once those that ended by themselves have left
-- 3. the part
if redis.call('HEXISTS', key.upload, 'user') == 0 then
  return 'missing'
end
if redis.call('HEXISTS', key.upload, 'url') == 1 then
  return 'finished'
end
local place = redis.call('HGET', key.upload, 'place')
if place and place ~= arg.folder then
  return 'elsewhere'
end
local together = tonumber(arg.size)
local fields = redis.call('HGETALL', key.upload)
for i = 1, #fields, 2 do
  local number = string.match(fields[i], '^part:(%d+)$')
  if number and number ~= arg.number then
    together = together + tonumber(string.match(fields[i + 1], '^(%d+) '))
  end
end
if together > tonumber(arg.max_bytes) then
  return 'too_large'
end
if not redis.call('ZSCORE', key.team, arg.ref) then
  redis.call('ZREMRANGEBYSCORE', key.team, '-inf', digits(now))
  redis.call('ZREMRANGEBYSCORE', key.all, '-inf', digits(now))
  if redis.call('ZCARD', key.team) >= tonumber(arg.team_max) then
    return 'too_many'
  end
  if redis.call('ZCARD', key.all) >= tonumber(arg.all_max) then
    return 'full'
  end
  local left = redis.call('PTTL', key.upload)
  for _, set in ipairs({key.team, key.all}) do
    redis.call('ZADD', set, digits(now + left), arg.ref)
    if redis.call('PTTL', set) < left then
      redis.call('PEXPIRE', set, left)
    end
  end
end
redis.call('HSET', key.upload, 'place', arg.folder, 'part:' .. arg.number, arg.size .. ' ' .. arg.etag)
return 'taken'
