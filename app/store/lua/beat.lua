#!lua flags=allow-oom
-- Says that worker processes are alive, and forgets those that have not said so for too long.
--
-- USES clock
-- KEYS
--   workers        zset    `role host:pid` by when (ms) it was last said to be alive
-- ARGV
--   known          "1" for those only that have reported for work before
--   stale_ms       after which one counts as dead
-- REST `role host:pid`, …
--
-- Returns those of them that are alive now
redis.call('ZREMRANGEBYSCORE', key.workers, '-inf', '(' .. whole(now - arg.stale_ms))
local alive = {}
for _, member in ipairs(rest) do
  if arg.known == '' or redis.call('ZSCORE', key.workers, member) then
    redis.call('ZADD', key.workers, whole(now), member)
    alive[#alive + 1] = member
  end
end
redis.call('PEXPIRE', key.workers, arg.stale_ms)
return alive
