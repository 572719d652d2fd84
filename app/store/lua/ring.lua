#!lua flags=allow-oom
-- Writes an alarm, also where memory is used up: that is what one may be about.
--
-- KEYS
--   alarms         stream  alarms, the newest last
--   said           string  there while an alarm of this kind is not to be repeated
-- ARGV
--   kind           a stable word
--   message        a sentence
--   job            its id, or ''
--   request        fal's request id, or ''
--   most           how many are remembered
--   quiet_ms       for how long none of the same name is rung again; 0: each is
--
-- Returns 1, or 0 when it has just been rung
if tonumber(arg.quiet_ms) > 0 and not redis.call('SET', key.said, '1', 'NX', 'PX', arg.quiet_ms) then
  return 0
end
redis.call('XADD', key.alarms, 'MAXLEN', '~', arg.most, '*',
  'kind', arg.kind, 'message', arg.message, 'job', arg.job, 'request', arg.request)
return 1
