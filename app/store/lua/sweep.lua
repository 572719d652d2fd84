#!lua flags=allow-oom
-- Compares the slots with the jobs' states, and puts right what does not fit. Only a fault of ours leaves any.
--
-- 1. a slot whose job is gone, has ended, or is with the results, is taken back; one for a queued job that no grant
--    gave runs out now, so that the job stands in line again
-- 2. a job that runs at fal without a slot gets one: fal is never given more than it takes
--
-- USES clock
-- KEYS
--   slots          zset    jobs that occupy fal, by when the slot falls free by itself (ms), or +inf
--   due_poll       zset    running jobs, by when they must be looked at
-- ARGV
--   job_prefix     prefix of job keys; the ref follows
--
-- Returns {refs whose slot was taken back, refs that were given one}
local taken, given = {}, {}
local slots = redis.call('ZRANGE', key.slots, 0, -1, 'WITHSCORES')
for i = 1, #slots, 2 do
  local ref, at_fal = slots[i], slots[i + 1] == 'inf'
  local status = redis.call('HGET', arg.job_prefix .. ref, 'status')
  if status == 'queued' and at_fal then
    redis.call('ZADD', key.slots, whole(now), ref)
    taken[#taken + 1] = ref
  elseif status ~= 'queued' and status ~= 'submitting' and status ~= 'running' and status ~= 'held' then
    redis.call('ZREM', key.slots, ref)
    taken[#taken + 1] = ref
  end
end
for _, ref in ipairs(redis.call('ZRANGE', key.due_poll, 0, -1)) do
  if redis.call('HGET', arg.job_prefix .. ref, 'status') == 'running' then
    if redis.call('ZADD', key.slots, 'NX', '+inf', ref) == 1 then
      given[#given + 1] = ref
    end
  end
end
return {taken, given}
