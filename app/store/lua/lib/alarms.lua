-- Alarms. `alarms` has each one as it was raised or resolved; `active_alarms` has those that have a state and are not
-- over, by their names, as JSON.
local function write_alarm(alarms_key, kept, alarm, state)
  return redis.call('XADD', alarms_key, 'MAXLEN', '~', kept, '*', 'kind', alarm.kind, 'about', alarm.about,
    'message', alarm.message, 'job', alarm.job, 'request', alarm.request, 'state', state)
end

local function alarm_name(alarm)
  return alarm.about == '' and alarm.kind or alarm.kind .. ' ' .. alarm.about
end

-- Raises an alarm that has a state; false while it is active already and has not become worse: then only its sentence
-- and its job are renewed. `level` says how bad it is.
local function raise_state(alarms_key, active_key, kept, alarm)
  local name = alarm_name(alarm)
  local known = redis.call('HGET', active_key, name)
  local before = known and cjson.decode(known)
  alarm.raised_ms = before and before.raised_ms or now
  local worse = not before or alarm.level > before.level
  alarm.level = worse and alarm.level or before.level
  redis.call('HSET', active_key, name, cjson.encode(alarm))
  if worse then
    write_alarm(alarms_key, kept, alarm, 'raised')
  end
  return worse
end

-- Resolves it; false when it is not active. `message` says why it is over.
local function resolve_state(alarms_key, active_key, kept, name, message)
  local known = redis.call('HGET', active_key, name)
  if not known then
    return false
  end
  redis.call('HDEL', active_key, name)
  local alarm = cjson.decode(known)
  alarm.message = message
  write_alarm(alarms_key, kept, alarm, 'resolved')
  return true
end
