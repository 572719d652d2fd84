#!lua flags=allow-oom
-- Writes fields of a job without a change of state, and may move the due time of one step.
--
-- USES clock line
-- KEYS
--   job            hash    the record
--   due            zset    the step whose due time moves, if the job is due in it
--   wake           list    a token that ends a lane's wait
-- ARGV
--   ref            str     team/job
--   from_states    str     states that it may be in, with commas
--   delay_ms       int?    due so long from now; 0: at once, before all others; nil to leave it
-- REST str  field, value, …; a value of "@now" is the store's time
--
-- Returns bool  false when the job is in another state
local status = redis.call('HGET', key.job, 'status')
if not status or not string.find(',' .. arg.from_states .. ',', ',' .. status .. ',', 1, true) then
  return 0
end
for i = 1, #rest, 2 do
  redis.call('HSET', key.job, rest[i], rest[i + 1] == '@now' and digits(now) or rest[i + 1])
end
if arg.delay_ms == '0' then
  redis.call('ZADD', key.due, 'XX', 0, arg.ref)
  wake_lane(key.wake)
elseif arg.delay_ms then
  redis.call('ZADD', key.due, 'XX', digits(now + arg.delay_ms), arg.ref)
end
return 1
