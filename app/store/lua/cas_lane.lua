#!lua flags=allow-oom
-- Gives a lane to another token, if the expected one has it; a slice that runs is recorded as activity.
--
-- USES clock
-- KEYS
--   lane           string  the token of the slice that runs the lane, or "rung" for an enqueued one
--   last_lane      string  when (ms) a lane last ran
-- ARGV
--   expected       str     the token that must have it
--   new_token      str     the token that has it from now on
--   lease_ms       int     for how long
--
-- Returns bool  false when another token has it
if redis.call('GET', key.lane) ~= arg.expected then
  return 0
end
redis.call('SET', key.lane, arg.new_token, 'PX', arg.lease_ms)
if arg.new_token ~= 'rung' then
  redis.call('SET', key.last_lane, digits(now), 'PX', 30 * 86400000)
end
return 1
