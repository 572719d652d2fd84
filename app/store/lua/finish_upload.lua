-- Records where an upload's bytes are stored; the second of two processes gets what the first recorded.
--
-- USES clock
-- KEYS
--   upload         hash    the upload
--   team_parts     zset    the team's unfinished uploads with parts
--   parts          zset    the same of all teams
-- ARGV
--   ref            str     team/upload
--   url            str     where fal reads it
--   sha256         str     of the bytes
--   lifetime_ms    int     how long the URL works
--   kept           bool    the file is in the storage, and can be sent again
--
-- Returns {url: str, sha256: str} | {}  as recorded; empty when there is no such upload
if redis.call('HEXISTS', key.upload, 'user') == 0 then
  return {}
end
redis.call('ZREM', key.team_parts, arg.ref)
redis.call('ZREM', key.parts, arg.ref)
if redis.call('HSETNX', key.upload, 'url', arg.url) == 1 then
  redis.call('HSET', key.upload, 'sha256', arg.sha256)
  redis.call('PEXPIRE', key.upload, arg.lifetime_ms)
  if arg.kept then
    redis.call('HSET', key.upload, 'sent_ms', digits(now))
  end
end
return redis.call('HMGET', key.upload, 'url', 'sha256')
