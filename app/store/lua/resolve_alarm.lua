#!lua flags=allow-oom
-- Resolves an active alarm.
--
-- USES clock alarms
-- KEYS
--   alarms         stream  alarms, the newest last
--   active_alarms  hash    those that have a state and are not over
-- ARGV
--   kind           str     its kind
--   about          str     which one of several of this kind, or ""
--   message        str     why it is over, a sentence
--   kept           int     how many alarms are kept
--
-- Returns bool  false when it was not active
local name = alarm_name({kind = arg.kind, about = arg.about})
return resolve_state(key.alarms, key.active_alarms, arg.kept, name, arg.message) and 1 or 0
