-- Changes who runs a lane, if it is still who the caller thinks.
--
-- KEYS
--   lane           string  the token of the slice that runs the lane, or "rung"
-- ARGV
--   mine           who must have it now
--   next           who has it from now on
--   lease_ms       for how long
--
-- Returns 1, or 0 when somebody else had it
if redis.call('GET', key.lane) ~= arg.mine then
  return 0
end
redis.call('SET', key.lane, arg.next, 'PX', arg.lease_ms)
return 1
