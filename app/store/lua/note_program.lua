#!lua flags=allow-oom
-- Records that a process is alive, with its version and its data format; and forgets those that are gone.
--
-- USES clock
-- KEYS
--   programs       zset    `format version role host:pid` of each process by when (ms) it was seen
--   data_format    hash    the number of the store's data format
-- ARGV
--   program        str     `format version role host:pid`
--   alive_ms       int     how long a process counts as alive
--
-- Returns str  the number of the store's data format; "" where it has none
redis.call('ZREMRANGEBYSCORE', key.programs, '-inf', '(' .. digits(now - arg.alive_ms))
redis.call('ZADD', key.programs, digits(now), arg.program)
redis.call('PEXPIRE', key.programs, arg.alive_ms)
return redis.call('HGET', key.data_format, 'number') or ''
