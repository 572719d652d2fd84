#!lua flags=allow-oom
-- Records heartbeats of worker processes, and forgets those without one for too long.
--
-- USES clock
-- KEYS
--   workers        zset    `role host:pid` by its last heartbeat (ms)
-- ARGV
--   only_known     bool    only of processes that have one already
--   alive_ms       int     how long a worker counts as alive after a heartbeat
-- REST str  `role host:pid`, …
--
-- Returns list[str]  those of them that are alive now
redis.call('ZREMRANGEBYSCORE', key.workers, '-inf', '(' .. digits(now - arg.alive_ms))
local alive = {}
for _, member in ipairs(rest) do
  if not arg.only_known or redis.call('ZSCORE', key.workers, member) then
    redis.call('ZADD', key.workers, digits(now), member)
    alive[#alive + 1] = member
  end
end
redis.call('PEXPIRE', key.workers, arg.alive_ms)
return alive
