#!lua flags=no-writes
-- A job as a poll asks for it: the record if the caller may know of it, its place in its user's line, and the time.
-- Another's is left unread here, so that it takes as long as none.
--
-- USES clock line
-- KEYS
--   job            hash    the record
-- ARGV
--   prefix         of every key; the user's line is found by it
--   ref            team/job
--   field          of the record that decides; "" when the whole team's jobs may be known
--   value          that it must have
--
-- Returns {now_ms, place in the user's own line or "", {field, value, …}}; without fields when there is no such
--   job, or it is another's
if arg.field ~= '' and redis.call('HGET', key.job, arg.field) ~= arg.value then
  return {whole(now), '', {}}
end
local whose = redis.call('HMGET', key.job, 'status', 'user')
local place = ''
if whose[1] == 'queued' then
  place = redis.call('ZRANK', user_line(arg.prefix, whose[2]), arg.ref) or ''
end
return {whole(now), place, redis.call('HGETALL', key.job)}
