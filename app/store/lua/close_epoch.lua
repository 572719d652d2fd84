#!lua flags=allow-oom
-- Ends the stop of an epoch, once it is known what was bought before it began.
--
-- KEYS
--   epoch          hash    the store's id, and what is known of its epochs
--   pauses         hash    the field `epoch` stops all buying
-- ARGV
--   id             str     of the epoch that was looked into
--
-- Returns bool  false when there is no stop, or another epoch has begun since
if redis.call('HGET', key.epoch, 'id') ~= arg.id then
  return 0
end
return redis.call('HDEL', key.pauses, 'epoch')
