#!lua flags=allow-oom
-- Takes running jobs that are due for a poll, with what a poll reads of each. They are hidden for the visibility
-- timeout, and have the time of this poll, for the next one. A job that does not run any more leaves the step.
--
-- USES clock
-- KEYS
--   due_poll       zset    running jobs by due time (ms)
-- ARGV
--   limit          int     jobs at most
--   visibility_ms  int     how long a taken job is hidden
-- REST str  the fields to read
--
-- Returns {now_ms: int, next_ms: int | None, jobs: list[list[str | None]]}  when the next one is due, None when there is
--   none; of each job that was taken its ref and the values of the fields
local jobs = {}
for _, ref in ipairs(redis.call('ZRANGEBYSCORE', key.due_poll, '-inf', digits(now), 'LIMIT', 0, arg.limit)) do
  local row = redis.call('HMGET', prefix .. 'job:' .. ref, 'status', unpack(rest))
  if row[1] == 'running' then
    row[1] = ref
    jobs[#jobs + 1] = row
    redis.call('ZADD', key.due_poll, digits(now + arg.visibility_ms), ref)
    redis.call('HSET', prefix .. 'job:' .. ref, 'polled_ms', digits(now))
  else
    redis.call('ZREM', key.due_poll, ref)
  end
end
local first = redis.call('ZRANGE', key.due_poll, 0, 0, 'WITHSCORES')
return {now, first[2] and tonumber(first[2]) or false, jobs}
