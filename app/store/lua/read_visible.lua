#!lua flags=no-writes
-- Reads a job or an upload, if the caller may see it.
-- One that the caller may not see is not read, so the answer takes as long as for none.
--
-- KEYS
--   record         hash    the job's or upload's record
-- ARGV
--   field          str     the field that decides; "" when all of the team may be seen
--   value          str     the value that it must have
--
-- Returns list[str]  field, value, …; empty when there is none that the caller may see
if arg.field ~= '' and redis.call('HGET', key.record, arg.field) ~= arg.value then
  return {}
end
return redis.call('HGETALL', key.record)
