-- Consumes one turn of a rate (GCRA): `burst` at once, then one every `step_ms`. A refusal consumes nothing.
--
-- USES clock
-- KEYS
--   rate           string  when the next turn is due at an even pace (ms)
-- ARGV
--   step_ms        int     from one turn to the next at an even pace
--   burst          int     turns at once
--
-- Returns int  0, or how long to wait for a turn (ms)
local due = math.max(now, tonumber(redis.call('GET', key.rate) or '0'))
local wait = due + arg.step_ms - arg.burst * arg.step_ms - now
if wait > 0 then
  return math.ceil(wait)
end
redis.call('SET', key.rate, digits(due + arg.step_ms), 'PX', digits(due + arg.step_ms - now))
return 0
