#!lua flags=allow-oom
-- Records that an active alarm was told to the receiver.
--
-- USES clock alarms
-- KEYS
--   active_alarms  hash    alarms that have a state and are not over
-- ARGV
--   kind           str     its kind
--   about          str     which one of several of this kind, or ""
--   id             str     its id: an alarm of this name that was raised since is another one
--   level          int     how bad it was said to be
--
-- Returns bool  false when it is over
local name = alarm_name({kind = arg.kind, about = arg.about})
local known = redis.call('HGET', key.active_alarms, name)
local alarm = known and cjson.decode(known)
if not alarm or alarm.id ~= arg.id then
  return 0
end
alarm.sent, alarm.sent_ms, alarm.sent_level = (alarm.sent or 0) + 1, now, tonumber(arg.level)
redis.call('HSET', key.active_alarms, name, cjson.encode(alarm))
return 1
