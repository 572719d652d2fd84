#!lua flags=allow-oom
-- Records one attempt to deliver a webhook, when the next is due, and the health of its destination.
--
-- 1. nothing when the delivery is gone or has ended
-- 2. write the attempt, and end the delivery or let it come due again; a dead one is kept for a while
-- 3. the destination answered well, or failed once more; this many failures in a row open its breaker for a pause
-- 4. it has room for one more: it is due with its next delivery
--
-- USES clock event outbox
-- KEYS
--   delivery       hash    the delivery
--   due_deliver    zset    destinations by due time (ms)
-- ARGV
--   ref            str     team/delivery
--   status         str     delivered | dead | due
--   delay_ms       int     until the next attempt, when it stays due
--   attempt        str     the attempt as JSON
--   health         str     what it says of the destination: good | slow | failed, or "" for nothing
--   failures       int     in a row that open the breaker
--   pause_ms       int     how long it stays open until a probe
--   endpoint_memory_ms int  how long the health of an endpoint is remembered
--   address_memory_ms int  the same of an address that a job names: each job may name another
--   dead_ms        int     how long dead letters are kept
--
-- Returns {attempts: int, failures: int, since_ms: int, now_ms: int}  attempts so far, and failures of the destination
--   in a row; zeros where nothing was written
local record = redis.call('HMGET', key.delivery, 'status', 'destination', 'id')
if record[1] ~= 'due' then
  return {0, 0, 0, now}
end
local destination = record[2]
local state_key = prefix .. 'destination:' .. destination
local waiting = prefix .. 'waiting:' .. destination
local count = redis.call('HINCRBY', key.delivery, 'attempts', 1)
redis.call('HSET', key.delivery, 'attempt:' .. count, arg.attempt, 'status', arg.status)
redis.call('ZREM', prefix .. 'flying:' .. destination, arg.ref)
local host = host_of(destination)
if host then
  redis.call('ZREM', prefix .. 'flying:' .. host, arg.ref)
end
if arg.status == 'due' then
  redis.call('ZADD', waiting, digits(now + arg.delay_ms), arg.ref)
  redis.call('PEXPIRE', waiting, math.max(redis.call('PTTL', waiting), redis.call('PTTL', key.delivery)))
else
  redis.call('ZREM', waiting, arg.ref)
end
if arg.status == 'dead' then
  mark_dead(string.match(arg.ref, '^([^/]*)/'), key.delivery, record[3], arg.dead_ms)
end

local failures, since, not_before = 0, 0, 0
if arg.health == 'failed' then
  failures = redis.call('HINCRBY', state_key, 'failures', 1)
  redis.call('HSETNX', state_key, 'since_ms', digits(now))
  since = redis.call('HGET', state_key, 'since_ms')
  if failures >= tonumber(arg.failures) then
    not_before = now + arg.pause_ms
    redis.call('HSET', state_key, 'open_until', digits(not_before))
  end
elseif arg.health ~= '' then
  redis.call('DEL', state_key)
  redis.call('HSET', state_key, arg.health, 1)
end
if redis.call('EXISTS', state_key) == 1 then
  redis.call('PEXPIRE', state_key, host and arg.address_memory_ms or arg.endpoint_memory_ms)
end
reschedule_destination(key.due_deliver, destination, not_before)
return {count, failures, tonumber(since), now}
