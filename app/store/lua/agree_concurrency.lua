#!lua flags=allow-oom
-- Agrees on how many jobs may be at fal: the smallest number that a live host was given.
--
-- USES clock
-- KEYS
--   concurrency    hash    `host NAME` to `number ms`, and `all` to the agreed number
-- ARGV
--   host           str     this host
--   number         int     what it was given
--   alive_ms       int     a host that has not called for so long is forgotten
--
-- Returns {number: int, host: str}  the agreed number, and the host that was given it
redis.call('HSET', key.concurrency, 'host ' .. arg.host, arg.number .. ' ' .. digits(now))
local least, host
local rows = redis.call('HGETALL', key.concurrency)
for i = 1, #rows, 2 do
  local number, at = rows[i + 1]:match('^(%d+) (%d+)$')
  if number and now - at > tonumber(arg.alive_ms) then
    redis.call('HDEL', key.concurrency, rows[i])
  elseif number and (not least or tonumber(number) < least) then
    least, host = tonumber(number), rows[i]:sub(6)
  end
end
redis.call('HSET', key.concurrency, 'all', least)
redis.call('PEXPIRE', key.concurrency, arg.alive_ms)
return {least, host}
