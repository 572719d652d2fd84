#!lua flags=allow-oom
-- Writes down something about a job that does not change its state, and may make one of its steps due sooner.
--
-- 1. refuse when the job is in another state
-- 2. write the fields; 3. move the due time, where one is given and the step is due at all
--
-- USES clock
-- KEYS
--   job            hash    the record
--   due            zset    the step whose due time moves
-- ARGV
--   ref            team/job
--   from           states it may be in, with commas
--   delay_ms       when the step is due, from now; "" to leave it
-- REST field, value, …; a value of "@now" is the store's time
--
-- Returns {"done", now_ms} | {"stale", status or ""}
local status = redis.call('HGET', key.job, 'status')
if not status or not string.find(',' .. arg.from .. ',', ',' .. status .. ',', 1, true) then
  return {'stale', status or ''}
end
for i = 1, #rest, 2 do
  redis.call('HSET', key.job, rest[i], rest[i + 1] == '@now' and whole(now) or rest[i + 1])
end
if arg.delay_ms ~= '' then
  redis.call('ZADD', key.due, 'XX', whole(now + arg.delay_ms), arg.ref)
end
return {'done', whole(now)}
