#!lua flags=allow-oom
-- Erases what an ended job held of its caller: prompt, images, clip, logs, fal's words in its error, which may repeat
-- the prompt, and its events' and deliveries' copies.
-- The record stays as an empty shell until it expires, so that lists and idempotency keys keep their answer.
--
-- USES clock
-- KEYS
--   job            hash    the record
--   events         stream  the team's events
--   deliveries     list    ids of this job's deliveries
-- ARGV
--   id             the job's id
--   team           the team's id
--   prefix         of every key; the deliveries, and where they wait, are found by it
--   error          the error without fal's words, JSON; "" where there is none
--
-- Returns {"done"} | {"stale", status or ""}
local job = redis.call('HMGET', key.job, 'status', 'created_ms', 'completed_ms')
if job[1] ~= 'succeeded' and job[1] ~= 'failed' and job[1] ~= 'canceled' then
  return {'stale', job[1] or ''}
end
redis.call('HDEL', key.job, 'input', 'images', 'output', 'logs', 'metadata', 'webhook_url')
redis.call('HSET', key.job, 'erased', '1')
if arg.error ~= '' then
  redis.call('HSET', key.job, 'error', arg.error)
end
local from, to = job[2], whole(job[3] + 1000)
repeat
  local page = redis.call('XRANGE', key.events, from, to, 'COUNT', 500)
  for _, entry in ipairs(page) do
    if entry[2][4] == arg.id then
      redis.call('XDEL', key.events, entry[1])
    end
    from = '(' .. entry[1]
  end
until #page < 500
for _, delivery in ipairs(redis.call('LRANGE', key.deliveries, 0, -1)) do
  local ref = arg.team .. '/' .. delivery
  local destination = redis.call('HGET', arg.prefix .. 'delivery:' .. ref, 'destination')
  redis.call('DEL', arg.prefix .. 'delivery:' .. ref)
  redis.call('ZREM', arg.prefix .. 'dead:' .. arg.team, delivery)
  redis.call('ZREM', arg.prefix .. 'outbox:' .. arg.team, delivery)
  if destination then
    redis.call('ZREM', arg.prefix .. 'outbox:' .. destination, delivery)
    redis.call('ZREM', arg.prefix .. 'waiting:' .. destination, ref)
  end
end
redis.call('DEL', key.deliveries)
return {'done'}
