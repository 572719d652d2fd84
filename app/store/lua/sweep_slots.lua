#!lua flags=allow-oom
-- Compares the slots with the jobs' states, and repairs what does not fit. Only a fault in our code leaves any.
--
-- 1. take back a slot whose job is gone, has ended, or is in finalizing; one of a queued job without a grant runs out
--    now, so that the job joins the line again
-- 2. give a slot to a job that runs at fal without one: fal never gets more than it takes
-- 3. a job that runs in a slot, and is neither due for a poll nor in quarantine, is due now
-- 4. every job at fal, in quarantine too, has a time when it is given up
--
-- USES clock
-- KEYS
--   slots          zset    jobs that occupy fal, by when (ms) the slot runs out, or +inf
--   due_poll       zset    running jobs by due time (ms)
--   due_finalize   zset    jobs whose result is to be read, by due time (ms)
--   due_expire     zset    jobs by when (ms) they are given up
--   quarantine     hash    steps in quarantine
-- ARGV
--   give_up_ms     int     after its deadline, a job at fal is given up
--
-- Returns {freed: list[str], granted: list[str], rescheduled: list[str]}  refs
local freed, granted, rescheduled = {}, {}, {}
local function add_give_up_time(ref)
  local job = redis.call('HMGET', prefix .. 'job:' .. ref, 'status', 'deadline_ms', 'submitted_ms')
  if job[1] == 'running' or job[1] == 'finalizing' then
    local deadline = math.max(tonumber(job[2]), tonumber(job[3] or '0'))
    redis.call('ZADD', key.due_expire, 'NX', digits(deadline + arg.give_up_ms), ref)
  end
  return job[1]
end
local slots = redis.call('ZRANGE', key.slots, 0, -1, 'WITHSCORES')
for i = 1, #slots, 2 do
  local ref, at_fal = slots[i], slots[i + 1] == 'inf'
  local status = redis.call('HGET', prefix .. 'job:' .. ref, 'status')
  if status == 'queued' and at_fal then
    redis.call('ZADD', key.slots, digits(now), ref)
    freed[#freed + 1] = ref
  elseif status ~= 'queued' and status ~= 'submitting' and status ~= 'running' and status ~= 'held' then
    redis.call('ZREM', key.slots, ref)
    freed[#freed + 1] = ref
  elseif status == 'running' and redis.call('HEXISTS', key.quarantine, 'poll ' .. ref) == 0 then
    if redis.call('ZADD', key.due_poll, 'NX', digits(now), ref) == 1 then
      rescheduled[#rescheduled + 1] = ref
    end
  end
end
for _, ref in ipairs(redis.call('ZRANGE', key.due_poll, 0, -1)) do
  if add_give_up_time(ref) == 'running' and redis.call('ZADD', key.slots, 'NX', '+inf', ref) == 1 then
    granted[#granted + 1] = ref
  end
end
for _, ref in ipairs(redis.call('ZRANGE', key.due_finalize, 0, -1)) do
  add_give_up_time(ref)
end
for _, step in ipairs(redis.call('HKEYS', key.quarantine)) do
  add_give_up_time(string.match(step, ' (.*)$'))
end
return {freed, granted, rescheduled}
