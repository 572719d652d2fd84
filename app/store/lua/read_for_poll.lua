#!lua flags=no-writes
-- Reads a job for a poll, if the caller may see it: the record, its rank in its user's line, the time. A job that the
-- caller may not see is not read, so the answer takes as long as for no job.
--
-- USES clock line
-- KEYS
--   job            hash    the record
-- ARGV
--   ref            str     team/job
--   field          str     of the record that decides; "" when the whole team's jobs may be known
--   value          str     that it must have
--
-- Returns {now_ms: int, rank: int | None, record: list[str]}  the rank is that in the user's own line; the record is
--   field, value, …, and empty when there is no such job, or it is another's
if arg.field ~= '' and redis.call('HGET', key.job, arg.field) ~= arg.value then
  return {now, false, {}}
end
local whose = redis.call('HMGET', key.job, 'status', 'user')
local rank = false
if whose[1] == 'queued' then
  rank = redis.call('ZRANK', user_line(whose[2]), arg.ref)
end
return {now, rank, redis.call('HGETALL', key.job)}
