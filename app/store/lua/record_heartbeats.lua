#!lua flags=allow-oom
-- Says that worker processes are alive, and forgets those that have not said so for too long.
--
-- USES clock
-- KEYS
--   workers        zset    `role host:pid` by when (ms) it was last said to be alive
-- ARGV
--   only_known     bool    for those only that have reported for work before
--   alive_ms       int     after which one counts as dead
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
