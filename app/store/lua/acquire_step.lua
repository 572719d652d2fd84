#!lua flags=allow-oom
-- Acquires one ref that was handed out, for as long as its step may take.
-- A task may be enqueued twice or start late. By then another process may have acquired the ref or put it off: both
-- move its due time further away than handing out does.
--
-- 1. refuse when another process has it, when it was put off, or when it is not due at all
-- 2. quarantine it after so many leases without an end, for their workers crashed or failed; a delivery becomes a dead
--    letter with an attempt that says so, visible to its team
-- 3. count the lease, and hide the ref for as long as the step may take
--
-- USES clock event outbox
-- KEYS
--   due            zset    refs by due time (ms)
--   open_leases    string  leases of this step that have not ended
--   quarantine     hash    steps in quarantine, by since when (ms)
--   delivery       hash    the delivery, where the ref is one
-- ARGV
--   ref            str     team/job or team/delivery
--   field          str     its field in the quarantine: step and ref
--   max_crashes    int     this many end in quarantine
--   remembered_ms  int     how long a lease without an end is remembered
--   handed_out_ms  int     how far away handing out puts a ref
--   hidden_ms      int     how long the step may take
--   dead_ms        int     how long dead letters are kept
--
-- Returns int  now_ms; 0 when refused, -1 when it is in quarantine now
local function give_up_delivery()
  local record = redis.call('HMGET', key.delivery, 'status', 'destination', 'id')
  if record[1] ~= 'due' then
    return
  end
  local count = redis.call('HINCRBY', key.delivery, 'attempts', 1)
  redis.call('HSET', key.delivery, 'attempt:' .. count, cjson.encode({at_ms = now, status = cjson.null,
    duration_ms = 0, outcome = 'worker_died', error = 'worker_died', answer = ''}))
  mark_dead(string.match(arg.ref, '^([^/]*)/'), key.delivery, record[3], arg.dead_ms)
  redis.call('ZREM', prefix .. 'flying:' .. record[2], arg.ref)
  reschedule_destination(prefix .. 'due:deliver', record[2], 0)
end

local due_ms = redis.call('ZSCORE', key.due, arg.ref)
if not due_ms or due_ms - now > tonumber(arg.handed_out_ms) then
  return 0
end
if tonumber(redis.call('GET', key.open_leases) or '0') >= tonumber(arg.max_crashes) then
  redis.call('ZREM', key.due, arg.ref)
  redis.call('DEL', key.open_leases)
  redis.call('HSET', key.quarantine, arg.field, digits(now))
  give_up_delivery()
  return -1
end
redis.call('INCR', key.open_leases)
redis.call('PEXPIRE', key.open_leases, arg.remembered_ms)
redis.call('ZADD', key.due, digits(now + arg.hidden_ms), arg.ref)
return now
