-- Registers one part of an upload before it is written to disk. All parts together stay below the limit and are in one
-- host's folder; a team, and all teams together, may have only so many unfinished uploads with parts.
--
-- 1. refuse when the upload is gone, complete, in another host's folder, or would be too large
-- 2. the first part counts the upload as unfinished, after expired uploads are dropped
-- 3. write the part
--
-- USES clock
-- KEYS
--   upload         hash    the upload
--   team_parts     zset    the team's unfinished uploads with parts, by when (ms) they expire
--   parts          zset    the same of all teams
-- ARGV
--   ref            str     team/upload
--   number         int     of the part; a part that is sent again replaces the first
--   etag           str     of its bytes
--   size           int     of its bytes
--   folder         str     where it is about to be written
--   max_bytes      int     of all parts together
--   team_max       int     unfinished uploads with parts of one team
--   all_max        int     of all teams together
--
-- Returns "taken" | "too_large" | "finished" | "missing" | "elsewhere" | "too_many" | "full"
if redis.call('HEXISTS', key.upload, 'user') == 0 then
  return 'missing'
end
if redis.call('HEXISTS', key.upload, 'url') == 1 then
  return 'finished'
end
local folder = redis.call('HGET', key.upload, 'place')
if folder and folder ~= arg.folder then
  return 'elsewhere'
end
local bytes = tonumber(arg.size)
local fields = redis.call('HGETALL', key.upload)
for i = 1, #fields, 2 do
  local number = string.match(fields[i], '^part:(%d+)$')
  if number and number ~= arg.number then
    bytes = bytes + tonumber(string.match(fields[i + 1], '^(%d+) '))
  end
end
if bytes > tonumber(arg.max_bytes) then
  return 'too_large'
end
if not redis.call('ZSCORE', key.team_parts, arg.ref) then
  redis.call('ZREMRANGEBYSCORE', key.team_parts, '-inf', digits(now))
  redis.call('ZREMRANGEBYSCORE', key.parts, '-inf', digits(now))
  if redis.call('ZCARD', key.team_parts) >= tonumber(arg.team_max) then
    return 'too_many'
  end
  if redis.call('ZCARD', key.parts) >= tonumber(arg.all_max) then
    return 'full'
  end
  local ttl_ms = redis.call('PTTL', key.upload)
  for _, set in ipairs({key.team_parts, key.parts}) do
    redis.call('ZADD', set, digits(now + ttl_ms), arg.ref)
    if redis.call('PTTL', set) < ttl_ms then
      redis.call('PEXPIRE', set, ttl_ms)
    end
  end
end
redis.call('HSET', key.upload, 'place', arg.folder, 'part:' .. arg.number, arg.size .. ' ' .. arg.etag)
return 'taken'
