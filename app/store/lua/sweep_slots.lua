#!lua flags=allow-oom
-- Compares the slots with the jobs' states, and puts right what does not fit. Only a fault of ours, or a version that
-- did less, leaves any.
--
-- 1. a slot whose job is gone, has ended, or is with the results, is taken back; one for a queued job that no grant
--    gave runs out now, so that the job stands in line again
-- 2. a job that runs at fal without a slot gets one: fal is never given more than it takes
-- 3. one that runs in a slot, and that nobody looks at or has set aside, is looked at now
-- 4. every job that fal has, also one that is set aside, has a time when it is given up
--
-- USES clock
-- KEYS
--   slots          zset    jobs that occupy fal, by when the slot falls free by itself (ms), or +inf
--   due_poll       zset    running jobs, by when they must be looked at
--   due_finalize   zset    jobs whose result is to be read
--   due_expire     zset    jobs by when they have waited too long (ms)
--   quarantine     hash    steps that nobody takes up any more
-- ARGV
--   give_up_ms     int     from the deadline until a job that fal has is given up
--
-- Returns {taken: list[str], given: list[str], again: list[str]}  refs
local taken, given, again = {}, {}, {}
local function must_end(ref)
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
    taken[#taken + 1] = ref
  elseif status ~= 'queued' and status ~= 'submitting' and status ~= 'running' and status ~= 'held' then
    redis.call('ZREM', key.slots, ref)
    taken[#taken + 1] = ref
  elseif status == 'running' and redis.call('HEXISTS', key.quarantine, 'poll ' .. ref) == 0 then
    if redis.call('ZADD', key.due_poll, 'NX', digits(now), ref) == 1 then
      again[#again + 1] = ref
    end
  end
end
for _, ref in ipairs(redis.call('ZRANGE', key.due_poll, 0, -1)) do
  if must_end(ref) == 'running' and redis.call('ZADD', key.slots, 'NX', '+inf', ref) == 1 then
    given[#given + 1] = ref
  end
end
for _, ref in ipairs(redis.call('ZRANGE', key.due_finalize, 0, -1)) do
  must_end(ref)
end
for _, mark in ipairs(redis.call('HKEYS', key.quarantine)) do
  must_end(string.match(mark, ' (.*)$'))
end
return {taken, given, again}
