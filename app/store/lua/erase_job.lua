#!lua flags=allow-oom
-- Erases the caller's data of an ended job: prompt, images, clip, logs, deliveries. In its error, fal's words go too:
-- they may repeat the prompt. Events have no copies.
-- Its files in the storage become due for deletion: they go also when the storage does not answer now. None is copied.
-- The record stays without them until it expires, so that lists and idempotency keys keep their answer.
--
-- USES clock packing kept
-- KEYS
--   job            hash    the record
--   deliveries     list    ids of the job's deliveries
-- ARGV
--   team           str     the team's id
--   personal_fields str    the fields with the caller's data, with spaces
--   error          str     the error without fal's words, JSON; "" where there is none
--   files          str     names of its files in the storage, with spaces
-- REST str  the job's facts as field, value, …, which may be packed in the record
--
-- Returns bool  false when the job has not ended
local status = redis.call('HGET', key.job, 'status')
if status ~= 'succeeded' and status ~= 'failed' and status ~= 'canceled' then
  return 0
end
restore_facts(key.job, rest)
for name in string.gmatch(arg.personal_fields, '%S+') do
  redis.call('HDEL', key.job, name)
end
for _, name in ipairs(redis.call('HKEYS', key.job)) do
  if string.find(name, '^z%d+$') then
    redis.call('HDEL', key.job, name)  -- everything else that is packed is the caller's data
  end
end
redis.call('HSET', key.job, 'erased', '1')
if arg.error ~= '' then
  redis.call('HSET', key.job, 'error', arg.error)
end
for file in string.gmatch(arg.files, '%S+') do
  drop_file(file)
end
local ref = string.sub(key.job, #prefix + #'job:' + 1)
redis.call('ZREM', prefix .. 'due:keep', ref)
redis.call('ZREM', prefix .. 'uncopied', ref)
for _, delivery in ipairs(redis.call('LRANGE', key.deliveries, 0, -1)) do
  local sent = arg.team .. '/' .. delivery
  local destination = redis.call('HGET', prefix .. 'delivery:' .. sent, 'destination')
  redis.call('DEL', prefix .. 'delivery:' .. sent)
  redis.call('ZREM', prefix .. 'dead:' .. arg.team, delivery)
  redis.call('ZREM', prefix .. 'outbox:' .. arg.team, delivery)
  if destination then
    redis.call('ZREM', prefix .. 'outbox:' .. destination, delivery)
    redis.call('ZREM', prefix .. 'waiting:' .. destination, sent)
  end
end
redis.call('DEL', key.deliveries)
return 1
