#!lua flags=allow-oom
-- Agrees on how many jobs may be at fal: the smallest number that a live host was given.
--
-- 1. write down what this host was given, and forget hosts that have been silent
-- 2. the least of them is the number of all
--
-- USES clock
-- KEYS
--   concurrency    hash    `host` to `number ms`, and `all` to the number of all
-- ARGV
--   host           str     who says it
--   number         int     what it was given
--   alive_ms       int     after which a host counts as gone
--
-- Returns {number: int, host: str}  the number of all, and the host that was given it
redis.call('HSET', key.concurrency, 'host ' .. arg.host, arg.number .. ' ' .. digits(now))
local least, who
local rows = redis.call('HGETALL', key.concurrency)
for i = 1, #rows, 2 do
  local number, at = rows[i + 1]:match('^(%d+) (%d+)$')
  if number and now - at > tonumber(arg.alive_ms) then
    redis.call('HDEL', key.concurrency, rows[i])
  elseif number and (not least or tonumber(number) < least) then
    least, who = tonumber(number), rows[i]:sub(6)
  end
end
redis.call('HSET', key.concurrency, 'all', least)
redis.call('PEXPIRE', key.concurrency, arg.alive_ms)
return {least, who}
