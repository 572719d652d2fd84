#!lua flags=allow-oom
-- Changes who runs a lane, if it is still who the caller thinks; a slice that goes on is seen to be at work.
--
-- USES clock
-- KEYS
--   lane           string  the token of the slice that runs the lane, or "rung"
--   active         string  when (ms) a lane was last seen at work
-- ARGV
--   expected       str     who must have it now
--   new_token      str     who has it from now on
--   lease_ms       int     for how long
--
-- Returns bool  false when another process had it
if redis.call('GET', key.lane) ~= arg.expected then
  return 0
end
redis.call('SET', key.lane, arg.new_token, 'PX', arg.lease_ms)
if arg.new_token ~= 'rung' then
  redis.call('SET', key.active, digits(now), 'PX', 30 * 86400000)
end
return 1
