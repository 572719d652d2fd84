#!lua flags=allow-oom
-- Raises an alarm, even when memory is used up: that may be its subject.
--
-- USES clock alarms
-- KEYS
--   alarms         stream  alarms, the newest last
--   active_alarms  hash    those that have a state and are not over
--   raised         string  exists while this alarm is not repeated
-- ARGV
--   kind           str     a stable word
--   about          str     which one of several of this kind, or ""
--   message        str     a sentence
--   job            str     its id, or ""
--   request        str     fal's request id, or ""
--   has_state      bool    it is active until it is resolved
--   level          int     with a state: how bad it is
--   kept           int     how many alarms are kept
--   quiet_ms       int     without a state: for how long it is not repeated; 0: each one is written
--
-- Returns bool  false when it is not repeated, or active already and not worse
local alarm = {kind = arg.kind, about = arg.about, message = arg.message, job = arg.job, request = arg.request}
if arg.has_state then
  alarm.level = tonumber(arg.level)
  return raise_state(key.alarms, key.active_alarms, arg.kept, alarm) and 1 or 0
end
if tonumber(arg.quiet_ms) > 0 and not redis.call('SET', key.raised, '1', 'NX', 'PX', arg.quiet_ms) then
  return 0
end
raise_event(key.alarms, arg.kept, alarm)
return 1
