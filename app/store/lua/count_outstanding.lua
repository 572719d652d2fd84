-- Counts one more browser token or promised upload of a key, until it is used or expires.
--
-- USES clock
-- KEYS
--   outstanding    zset    what the key has outstanding, by when (ms) each expires
-- ARGV
--   member         str     the new one
--   lifetime_ms    int     its lifetime
--   max            int     how many a key may have
--
-- Returns int  -1 when it is counted, else how long (ms) until the first of the others expires
redis.call('ZREMRANGEBYSCORE', key.outstanding, '-inf', now)
if redis.call('ZCARD', key.outstanding) >= tonumber(arg.max) then
  return redis.call('ZRANGE', key.outstanding, 0, 0, 'WITHSCORES')[2] - now
end
redis.call('ZADD', key.outstanding, digits(now + arg.lifetime_ms), arg.member)
redis.call('PEXPIREAT', key.outstanding, redis.call('ZRANGE', key.outstanding, -1, -1, 'WITHSCORES')[2])
return -1
