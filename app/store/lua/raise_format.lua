#!lua flags=allow-oom
-- Raises the number of the store's data format at the end of a migration, once.
--
-- USES clock
-- KEYS
--   data_format    hash    number, raised_ms, version; to, team, before_ms, before_id, changed of a migration
-- ARGV
--   unnumbered     int     the number of a store without one
--   before         int     the number before
--   to             int     the number from now on
--   version        str     the version whose program did it
--
-- Returns bool  false when the number is another one
local number = redis.call('HGET', key.data_format, 'number') or arg.unnumbered
if number ~= arg.before then
  return 0
end
redis.call('HDEL', key.data_format, 'to', 'team', 'before_ms', 'before_id', 'changed')
redis.call('HSET', key.data_format, 'number', arg.to, 'raised_ms', digits(now), 'version', arg.version)
return 1
