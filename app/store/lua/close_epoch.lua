#!lua flags=allow-oom
-- Ends the stop of an epoch, once it is known what was bought before the epoch began.
--
-- KEYS
--   epoch          hash    the store's id and its epochs
--   pauses         hash    the field `epoch` stops all buying
-- ARGV
--   id             str     the epoch that was examined
--
-- Returns bool  false when there is no stop, or another epoch has begun since
if redis.call('HGET', key.epoch, 'id') ~= arg.id then
  return 0
end
return redis.call('HDEL', key.pauses, 'epoch')
