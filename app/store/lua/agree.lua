#!lua flags=allow-oom
-- How many jobs may be at fal: the least that a host which is alive was given, so that no host needs to be asked.
--
-- 1. write down what this host was given, and forget hosts that have been silent
-- 2. the least of them is the number of all
--
-- USES clock
-- KEYS
--   concurrency    hash    `host` to `number ms`, and `all` to the number of all
-- ARGV
--   host           who says it
--   number         what it was given
--   stale_ms       after which a host counts as gone
--
-- Returns the number of all, and the host that says it
redis.call('HSET', key.concurrency, 'host ' .. arg.host, arg.number .. ' ' .. whole(now))
local least, who
local rows = redis.call('HGETALL', key.concurrency)
for i = 1, #rows, 2 do
  local number, at = rows[i + 1]:match('^(%d+) (%d+)$')
  if number and now - at > tonumber(arg.stale_ms) then
    redis.call('HDEL', key.concurrency, rows[i])
  elseif number and (not least or tonumber(number) < least) then
    least, who = tonumber(number), rows[i]:sub(6)
  end
end
redis.call('HSET', key.concurrency, 'all', least)
redis.call('PEXPIRE', key.concurrency, arg.stale_ms)
return {least, who}
