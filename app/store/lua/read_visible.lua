#!lua flags=no-writes
-- A job, if the caller may know of it. Another's is left unread here, so that it takes as long as none.
--
-- KEYS
--   job            hash    the record
-- ARGV
--   field          str     of the record that decides; "" when the whole team's jobs may be known
--   value          str     that it must have
--
-- Returns list[str]  field, value, …; empty when there is no such job, or it is another's
if arg.field ~= '' and redis.call('HGET', key.job, arg.field) ~= arg.value then
  return {}
end
return redis.call('HGETALL', key.job)
