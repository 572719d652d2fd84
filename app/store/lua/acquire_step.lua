#!lua flags=allow-oom
-- Takes up one ref that was handed out, for as long as its step may last.
-- A task may be rung twice, or start late: by then somebody else may have the ref in hand, or have put it off.
-- Both have moved its time further away than handing out does.
--
-- 1. refuse when it is in other hands, put off, or not due at all
-- 2. set it aside when workers had it in hand that often and none gave it back: they died or failed; a delivery is
--    then a dead letter with an attempt that says so, so that its team sees it, and its place is free
-- 3. write down that it is in hand, and hide it for as long as the step may last
--
-- USES clock event outbox
-- KEYS
--   due            zset    refs by the time (ms) they must be looked at
--   crashes        string  how often it was taken up and has not been given back
--   quarantine     hash    refs that nobody takes up any more, by when (ms)
--   delivery       hash    the delivery, where the ref is one; nothing is there for a job
-- ARGV
--   ref            str     what is taken up
--   field          str     its name in the hash: the step and the ref
--   max_crashes    int     so many make it a poison
--   remembered_ms  int     how long a death is remembered
--   handed_out_ms  int     how far away handing out puts a ref
--   hidden_ms      int     how long the step may last
--   dead_ms        int     how long dead letters are kept
--
-- Returns int  now_ms; 0 when it is not to be taken up, or -1 when it was set aside just now
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

local score = redis.call('ZSCORE', key.due, arg.ref)
if not score or score - now > tonumber(arg.handed_out_ms) then
  return 0
end
if tonumber(redis.call('GET', key.crashes) or '0') >= tonumber(arg.max_crashes) then
  redis.call('ZREM', key.due, arg.ref)
  redis.call('DEL', key.crashes)
  redis.call('HSET', key.quarantine, arg.field, digits(now))
  give_up_delivery()
  return -1
end
redis.call('INCR', key.crashes)
redis.call('PEXPIRE', key.crashes, arg.remembered_ms)
redis.call('ZADD', key.due, digits(now + arg.hidden_ms), arg.ref)
return now
