#!lua flags=allow-oom
-- Takes up one ref that was handed out, for as long as its step may last.
-- A task may be rung twice, or start late: by then somebody else may have the ref in hand, or have put it off.
-- Both have moved its time further away than handing out does.
--
-- USES clock
-- KEYS
--   due            zset    refs by the time (ms) they must be looked at
-- ARGV
--   ref            what is taken up
--   window_ms      how far away handing out puts a ref
--   hidden_ms      how long the step may last
--
-- Returns now_ms, or 0 when it is not to be taken up
local score = redis.call('ZSCORE', key.due, arg.ref)
if not score or score - now > tonumber(arg.window_ms) then
  return 0
end
redis.call('ZADD', key.due, whole(now + arg.hidden_ms), arg.ref)
return whole(now)
