#!lua flags=allow-oom
-- Writes down one attempt to deliver a webhook, and when the next is due.
--
-- 1. nothing when the delivery is gone or has ended
-- 2. write the attempt; 3. end the delivery, or let it come due again
--
-- USES clock
-- KEYS
--   delivery       hash    the delivery
--   due_deliver    zset    deliveries by when they must be looked at
-- ARGV
--   ref            team/delivery
--   status         delivered | dead | due
--   delay_ms       until the next attempt, when it stays due
--   attempt        the attempt as JSON
--
-- Returns the number of attempts so far, 0 when there was nothing to write
if redis.call('HGET', key.delivery, 'status') ~= 'due' then
  redis.call('ZREM', key.due_deliver, arg.ref)
  return 0
end
local count = redis.call('HINCRBY', key.delivery, 'attempts', 1)
redis.call('HSET', key.delivery, 'attempt:' .. count, arg.attempt, 'status', arg.status)
if arg.status == 'due' then
  redis.call('ZADD', key.due_deliver, whole(now + arg.delay_ms), arg.ref)
else
  redis.call('ZREM', key.due_deliver, arg.ref)
end
return count
