#!lua flags=allow-oom
-- Counts a step that failed on a job in a way that nobody foresaw. After too many of them the step is set aside:
-- nobody takes it up, the job's slot is free for others, and its state, its money and its deadline stay.
--
-- 1. nothing when the job has moved on meanwhile
-- 2. below the limit: the step is due again after a pause
-- 3. at it: out of the due set and out of its slot, and among those that wait for a person
--
-- USES clock
-- KEYS
--   job            hash    the record
--   due            zset    the step's refs, by when they must be looked at (ms)
--   failures       string  how often the step has failed lately
--   quarantine     hash    steps that nobody takes up any more, by when (ms)
--   slots          zset    jobs that occupy fal
-- ARGV
--   ref            str     team/job
--   field          str     its name in the hash: the step and the ref
--   status         str     the state in which this step works on a job
--   max_failures   int     so many failures set it aside
--   remembered_ms  int     how long a failure is remembered
--   pause_ms       int     until the next try
--
-- Returns bool  it was set aside just now
if redis.call('HGET', key.job, 'status') ~= arg.status then
  return 0
end
local failures = redis.call('INCR', key.failures)
redis.call('PEXPIRE', key.failures, arg.remembered_ms)
if failures < tonumber(arg.max_failures) then
  redis.call('ZADD', key.due, 'XX', digits(now + arg.pause_ms), arg.ref)
  return 0
end
redis.call('DEL', key.failures)
redis.call('ZREM', key.due, arg.ref)
redis.call('ZREM', key.slots, arg.ref)
redis.call('HSET', key.quarantine, arg.field, digits(now))
return 1
