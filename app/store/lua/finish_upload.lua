-- Writes down where an upload's bytes are stored; who comes second learns what the first wrote.
--
-- KEYS
--   upload         hash    the upload
--   team           zset    the team's unfinished uploads with parts
--   all            zset    everybody's
-- ARGV
--   ref            str     of the upload: team and id
--   url            str     where fal reads it
--   sha256         str     of the bytes
--   lifetime_ms    int     how long the address is good for, from now
--
-- Returns {url: str, sha256: str} | {}  as they stand now; empty when there is no such upload
if redis.call('HEXISTS', key.upload, 'user') == 0 then
  return {}
end
redis.call('ZREM', key.team, arg.ref)
redis.call('ZREM', key.all, arg.ref)
if redis.call('HSETNX', key.upload, 'url', arg.url) == 1 then
  redis.call('HSET', key.upload, 'sha256', arg.sha256)
  redis.call('PEXPIRE', key.upload, arg.lifetime_ms)
end
return redis.call('HMGET', key.upload, 'url', 'sha256')
