-- Counts one more of what a key may have outstanding, until it is used up or expires.
--
-- USES clock
-- KEYS
--   outstanding    zset    what the key has, by when (ms) each expires
-- ARGV
--   member         str     what is new
--   lifetime_ms    int     of it
--   max            int     that the key may have
--
-- Returns int  -1 when it is counted, else the milliseconds until the first of the others expires
redis.call('ZREMRANGEBYSCORE', key.outstanding, '-inf', now)
if redis.call('ZCARD', key.outstanding) >= tonumber(arg.max) then
  return redis.call('ZRANGE', key.outstanding, 0, 0, 'WITHSCORES')[2] - now
end
redis.call('ZADD', key.outstanding, digits(now + arg.lifetime_ms), arg.member)
redis.call('PEXPIREAT', key.outstanding, redis.call('ZRANGE', key.outstanding, -1, -1, 'WITHSCORES')[2])
return -1
