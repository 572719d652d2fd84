#!lua flags=allow-oom
-- Writes an alarm, also where memory is used up: that is what one may be about.
--
-- KEYS
--   alarms         stream  alarms, the newest last
--   raised         string  there while an alarm of this kind is not to be repeated
-- ARGV
--   kind           str     a stable word
--   message        str     a sentence
--   job            str     its id, or ''
--   request        str     fal's request id, or ''
--   kept           int     how many are remembered
--   quiet_ms       int     for how long none of the same name is rung again; 0: each is
--
-- Returns bool  false when it has just been rung
if tonumber(arg.quiet_ms) > 0 and not redis.call('SET', key.raised, '1', 'NX', 'PX', arg.quiet_ms) then
  return 0
end
redis.call('XADD', key.alarms, 'MAXLEN', '~', arg.kept, '*',
  'kind', arg.kind, 'message', arg.message, 'job', arg.job, 'request', arg.request)
return 1
