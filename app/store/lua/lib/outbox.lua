-- Deliveries: one event for one destination. A destination is `team/ep_…`, a webhook endpoint of the team, or
-- `team/host:authority#path`, an address that a job names: without its query, its path as a hash.
-- Each has a set of waiting deliveries by due time; `due:deliver` holds the destinations by due time.
local function destination_of(team, url)
  local authority, path = string.match(url, '^%a[%w+.-]*://([^/?#]*)([^?#]*)')
  local hash = string.sub(redis.sha1hex(path or ''), 1, 16)
  return team .. '/host:' .. string.lower(authority or '') .. '#' .. hash
end

-- What all addresses of one team at one host share, `team/host:authority`; nil for an endpoint.
local function host_of(destination)
  return string.match(destination, '^([^/]*/host:[^#]*)#')
end

-- Lets a delivery wait at its destination until it is due; what was never taken leaves after the retention.
local function queue_delivery(destination, ref, due_ms, kept_ms)
  local waiting = prefix .. 'waiting:' .. destination
  redis.call('ZREMRANGEBYSCORE', waiting, '-inf', '(' .. digits(now - kept_ms))
  redis.call('ZADD', waiting, digits(due_ms), ref)
  redis.call('PEXPIRE', waiting, digits(kept_ms))
  redis.call('ZADD', prefix .. 'due:deliver', 'LT', digits(due_ms), destination)
end

-- Writes a delivery, due now, and lists it for the team and its endpoint; `fields` is its event.
local function write_delivery(team, id, destination, fields, retention_ms)
  local ref = team .. '/' .. id
  redis.call('HSET', prefix .. 'delivery:' .. ref, 'id', id, 'destination', destination, 'status', 'due',
    'attempts', 0, 'created_ms', digits(now), unpack(fields))
  redis.call('PEXPIRE', prefix .. 'delivery:' .. ref, retention_ms)
  for _, owner in ipairs(host_of(destination) and {team} or {team, destination}) do
    local outbox = prefix .. 'outbox:' .. owner
    redis.call('ZREMRANGEBYSCORE', outbox, '-inf', '(' .. digits(now - retention_ms))
    redis.call('ZADD', outbox, digits(now), id)
    redis.call('PEXPIRE', outbox, retention_ms)
  end
  queue_delivery(destination, ref, now, retention_ms)
end

local function contains(list, wanted)
  for _, item in ipairs(list) do
    if item == wanted then
      return true
    end
  end
  return false
end

-- Writes a delivery to each of the team's endpoints that takes this event; returns their ids. `event` is unique to the
-- event, so that each delivery has an id of its own; `model` is nil when it is about no job.
local function deliver_to_endpoints(team, kind, model, event, fields, retention_ms)
  local ids = {}
  local flat = redis.call('HGETALL', prefix .. 'endpoints:' .. team)
  for i = 1, #flat, 2 do
    local endpoint = cjson.decode(flat[i + 1])
    local takes_model = not model or not endpoint.models or contains(endpoint.models, model)
    if takes_model and not endpoint.disabled_ms and contains(endpoint.events, kind) then
      local id = 'msg_' .. string.sub(redis.sha1hex(event .. ' ' .. flat[i]), 1, 32)
      write_delivery(team, id, team .. '/' .. flat[i], {'url', endpoint.url, unpack(fields)}, retention_ms)
      ids[#ids + 1] = id
    end
  end
  return ids
end

-- Writes a job's event and its deliveries: to the team's endpoints and, with `own`, `{delivery id, url, style}`, to the
-- job's own address; returns whether there is any. `job` has what `next_event` returns.
local function publish_job_event(job, job_key, ref, events_key, kind, own, retention_ms)
  local event_id = write_event(job, events_key, kind, retention_ms)
  if not own and redis.call('EXISTS', prefix .. 'endpoints:' .. job.team) == 0 then
    return false
  end
  local fields = {'job', job.id, 'event_id', event_id, 'type', kind, 'sequence', job.sequence, 'at', digits(now),
    'record', snapshot(job_key)}
  local ids = deliver_to_endpoints(job.team, kind, job.model, events_key .. event_id, fields, retention_ms)
  if own then
    write_delivery(job.team, own[1], destination_of(job.team, own[2]),
      {'url', own[2], 'style', own[3] or '', unpack(fields)}, retention_ms)
    ids[#ids + 1] = own[1]
  end
  if #ids > 0 then
    redis.call('RPUSH', prefix .. 'deliveries:' .. ref, unpack(ids))
    redis.call('PEXPIRE', prefix .. 'deliveries:' .. ref, retention_ms)
  end
  return #ids > 0
end

-- Writes an event that is about no job, and its deliveries; `text` is its JSON.
local function publish_notice(team, events_key, kind, text, retention_ms)
  local event_id = write_notice(events_key, kind, text, retention_ms)
  local fields = {'event_id', event_id, 'type', kind, 'at', digits(now), 'notice', text}
  deliver_to_endpoints(team, kind, nil, events_key .. event_id, fields, retention_ms)
end

-- Ends a delivery without success: it is kept for a while, in the team's list of dead letters.
local function mark_dead(team, delivery_key, id, dead_ms)
  redis.call('HSET', delivery_key, 'status', 'dead', 'died_ms', digits(now))
  if redis.call('PTTL', delivery_key) < tonumber(dead_ms) then
    redis.call('PEXPIRE', delivery_key, dead_ms)
  end
  local dead = prefix .. 'dead:' .. team
  redis.call('ZREMRANGEBYSCORE', dead, '-inf', '(' .. digits(now - dead_ms))
  redis.call('ZADD', dead, digits(now), id)
  redis.call('PEXPIRE', dead, dead_ms)
end

-- Sets when a destination is due: with its earliest delivery, but not before `not_before`.
local function reschedule_destination(due_key, destination, not_before)
  local first = redis.call('ZRANGE', prefix .. 'waiting:' .. destination, 0, 0, 'WITHSCORES')
  if first[1] then
    redis.call('ZADD', due_key, digits(math.max(tonumber(first[2]), not_before)), destination)
  else
    redis.call('ZREM', due_key, destination)
  end
end
