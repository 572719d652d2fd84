#!lua flags=allow-oom
-- Grants free slots at fal to the first jobs in line.
--
-- 1. nothing while buying is paused
-- 2. jobs whose wait is over stand in line again, at their old place
-- 3. take back slots that ran out: a grant nobody claimed goes back in line, a held job keeps waiting without one
-- 4. while a slot is free: the first in line gets it, and its submission is due now
--
-- USES clock
-- KEYS
--   line           zset    queued jobs, in the order they are served
--   later          zset    queued jobs that wait until their score (ms)
--   slots          zset    jobs that occupy fal, by when the slot falls free by itself
--   due_submit     zset    submissions, by when they must be looked at
--   pause          string  exists while buying is paused; the value says why
-- ARGV
--   concurrency    slots in all
--   grant_ms       how long a grant waits to be claimed
--   job_prefix     prefix of job keys; the ref follows
--   limit          grants at most in one call
--
-- Returns the number of grants
for _, ref in ipairs(redis.call('ZRANGEBYSCORE', key.later, '-inf', whole(now), 'LIMIT', 0, 200)) do
  redis.call('ZREM', key.later, ref)
  local job = redis.call('HMGET', arg.job_prefix .. ref, 'status', 'line_score')
  if job[1] == 'queued' then
    redis.call('ZADD', key.line, job[2], ref)
  end
end
for _, ref in ipairs(redis.call('ZRANGEBYSCORE', key.slots, '-inf', whole(now), 'LIMIT', 0, 200)) do
  redis.call('ZREM', key.slots, ref)
  local job = redis.call('HMGET', arg.job_prefix .. ref, 'status', 'line_score')
  if job[1] == 'queued' then
    redis.call('ZREM', key.due_submit, ref)
    redis.call('ZADD', key.line, job[2], ref)
  end
end
if redis.call('EXISTS', key.pause) == 1 then
  return 0
end
local granted = 0
local free = math.min(arg.concurrency - redis.call('ZCARD', key.slots), tonumber(arg.limit))
while granted < free do
  local ref = redis.call('ZPOPMIN', key.line)[1]
  if not ref then
    break
  end
  if redis.call('HGET', arg.job_prefix .. ref, 'status') == 'queued' then
    redis.call('ZADD', key.slots, whole(now + arg.grant_ms), ref)
    redis.call('ZADD', key.due_submit, whole(now), ref)
    granted = granted + 1
  end
end
return granted
