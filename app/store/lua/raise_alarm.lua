#!lua flags=allow-oom
-- Writes an alarm, even when memory is used up: that may be its subject.
--
-- KEYS
--   alarms         stream  alarms, the newest last
--   raised         string  exists while this alarm is not repeated
-- ARGV
--   kind           str     a stable word
--   message        str     a sentence
--   job            str     its id, or ""
--   request        str     fal's request id, or ""
--   kept           int     how many alarms are kept
--   quiet_ms       int     for how long it is not repeated; 0: each one is written
--
-- Returns bool  false when it is not repeated
if tonumber(arg.quiet_ms) > 0 and not redis.call('SET', key.raised, '1', 'NX', 'PX', arg.quiet_ms) then
  return 0
end
redis.call('XADD', key.alarms, 'MAXLEN', '~', arg.kept, '*',
  'kind', arg.kind, 'message', arg.message, 'job', arg.job, 'request', arg.request)
return 1
