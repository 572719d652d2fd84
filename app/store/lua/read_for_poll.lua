#!lua flags=no-writes
-- Reads a job for a poll, if the caller may see it: the record, its rank in its user's line, the time.
-- A job that the caller may not see is not read, so the answer takes as long as for no job.
--
-- USES clock line
-- KEYS
--   job            hash    the record
-- ARGV
--   ref            str     team/job
--   field          str     the field that decides; "" when all jobs of the team may be seen
--   value          str     the value that it must have
--
-- Returns {now_ms: int, rank: int | None, record: list[str]}  the record is field, value, …; empty when there is
--   no job that the caller may see
if arg.field ~= '' and redis.call('HGET', key.job, arg.field) ~= arg.value then
  return {now, false, {}}
end
local job = redis.call('HMGET', key.job, 'status', 'user')
local rank = job[1] == 'queued' and redis.call('ZRANK', user_line(job[2]), arg.ref)
return {now, rank, redis.call('HGETALL', key.job)}
