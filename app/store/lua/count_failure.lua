#!lua flags=allow-oom
-- Counts an unexpected failure of a step on a job. After too many the step is in quarantine: no worker takes it, and
-- the slot is free for other jobs. The job's state, money and deadline stay.
--
-- USES clock
-- KEYS
--   job            hash    the record
--   due            zset    the step's refs by due time (ms)
--   failures       string  recent failures of the step
--   quarantine     hash    steps in quarantine, by since when (ms)
--   slots          zset    jobs that occupy fal
-- ARGV
--   ref            str     team/job
--   field          str     its field in the quarantine: step and ref
--   status         str     the state in which the step works on a job; in another one nothing happens
--   max_failures   int     this many end in quarantine
--   remembered_ms  int     how long a failure is remembered
--   pause_ms       int     until the next try
--
-- Returns bool  it is in quarantine now
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
