-- Alarms. `alarms` has each one as it was raised or resolved; `active_alarms` has those that have a state and are not
-- over, by their names, as JSON, with what was told of them. `alerts` is the outbox of messages about what has no state,
-- or is over; it is written while some process sends (`alerts_wanted`).
local MAX_ALERTS, ALERTS_KEPT_MS = 1000, 3 * 86400000

local function write_alarm(alarms_key, kept, alarm, state)
  return redis.call('XADD', alarms_key, 'MAXLEN', '~', kept, '*', 'kind', alarm.kind, 'about', alarm.about,
    'message', alarm.message, 'job', alarm.job, 'request', alarm.request, 'state', state)
end

local function queue_alert(alarm, state)
  if redis.call('EXISTS', prefix .. 'alerts:wanted') == 0 then
    return
  end
  alarm.state, alarm.at_ms = state, now
  redis.call('RPUSH', prefix .. 'alerts', cjson.encode(alarm))
  redis.call('LTRIM', prefix .. 'alerts', -MAX_ALERTS, -1)
  redis.call('PEXPIRE', prefix .. 'alerts', ALERTS_KEPT_MS)
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
  local worse = not before or alarm.level > before.level
  local id = worse and write_alarm(alarms_key, kept, alarm, 'raised')
  if before then
    alarm.level = math.max(alarm.level, before.level)
    for _, field in ipairs({'id', 'raised_ms', 'sent', 'sent_ms', 'sent_level'}) do
      alarm[field] = before[field]
    end
  else
    alarm.id, alarm.raised_ms, alarm.sent = id, now, 0
  end
  redis.call('HSET', active_key, name, cjson.encode(alarm))
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
  queue_alert(alarm, 'resolved')
  return true
end

-- An alarm without a state.
local function raise_event(alarms_key, kept, alarm)
  alarm.id, alarm.raised_ms, alarm.sent = write_alarm(alarms_key, kept, alarm, 'raised'), now, 0
  queue_alert(alarm, 'raised')
end
