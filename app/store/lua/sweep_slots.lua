#!lua flags=allow-oom
-- Compares the slots with the jobs' states, and repairs what does not fit. Only a fault in our code leaves any, or the
-- store's clock, when it was set back.
--
-- 1. take back a slot whose job is gone, has ended, or is in finalizing; one of a queued job without a grant runs out
--    now, so that the job joins the line again
-- 2. give a slot to a job that runs at fal without one: fal never gets more than it takes
-- 3. a job that runs in a slot, and is neither due for a poll nor in quarantine, is due now
-- 4. every job at fal, in quarantine too, has a time when it is given up
-- 5. what is due later than any step is ever put off is due now: the clock was ahead when it was written
--
-- USES clock
-- KEYS
--   slots          zset    jobs that occupy fal, by when (ms) the slot runs out, or +inf
--   due_submit     zset    claimed jobs by when their worker counts as lost (ms)
--   due_poll       zset    running jobs by due time (ms)
--   due_finalize   zset    jobs whose result is to be read, by due time (ms)
--   due_expire     zset    jobs by when (ms) they are given up
--   quarantine     hash    steps in quarantine
-- ARGV
--   give_up_ms     int     after its deadline, a job at fal is given up
--   far_ms         int     nothing that is polled, submitted or finalized is due later than this from now
--
-- Returns {freed: list[str], granted: list[str], rescheduled: list[str]}  refs
local freed, granted, rescheduled = {}, {}, {}
-- The refs of a due set; those that are due much too late are due now.
local function swept(due)
  local refs, rows = {}, redis.call('ZRANGE', due, 0, -1, 'WITHSCORES')
  for i = 1, #rows, 2 do
    refs[#refs + 1] = rows[i]
    if tonumber(rows[i + 1]) > now + arg.far_ms then
      redis.call('ZADD', due, digits(now), rows[i])
      rescheduled[#rescheduled + 1] = rows[i]
    end
  end
  return refs
end
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
swept(key.due_submit)
for _, ref in ipairs(swept(key.due_poll)) do
  if add_give_up_time(ref) == 'running' and redis.call('ZADD', key.slots, 'NX', '+inf', ref) == 1 then
    granted[#granted + 1] = ref
  end
end
for _, ref in ipairs(swept(key.due_finalize)) do
  add_give_up_time(ref)
end
for _, step in ipairs(redis.call('HKEYS', key.quarantine)) do
  add_give_up_time(string.match(step, ' (.*)$'))
end
return {freed, granted, rescheduled}
