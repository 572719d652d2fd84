#!lua flags=allow-oom
-- Commits one administrative act: its conditions, its writes and its line in the audit log, all or nothing.
--
-- 1. the log has grown since the caller made its line: refuse, because a line is chained to the one before
-- 2. a condition does not hold: refuse and name it
-- 3. write, notify the team, append the line
--
-- USES clock event outbox
-- KEYS
--   audit          stream  who did what, for ever
--   audit_head     hash    number and hash of the last line
-- ARGV
--   previous       str     hash of the line before; "" for the first
--   number         int     of this line
--   hash           str     of this line
--   entry          str     this line, as JSON
--   conditions     str     JSON list: ["not_deleted", key] | ["absent", key] | ["no_field", key, field]
--                          | ["at_least", key, field, n] | ["at_most", key, field, n]
--                          | ["size", set, n] | ["before", ms] | ["same", key, field, value] | ["fewer", hash, n]
--   writes         str     JSON list of commands
--   notice         str?    an event about a webhook endpoint, JSON: {team, type, text, endpoint, url, retention_ms};
--                          with an id it is no event, and one delivery to this endpoint
--
-- CONFIRMED by the replicas that are expected
-- Returns {"done"} | {"moved"} | {"unmet", index: int}  unmet: the index of the condition
if (redis.call('HGET', key.audit_head, 'hash') or '') ~= arg.previous then
  return {'moved'}
end
local function number(name, field) return tonumber(redis.call('HGET', name, field) or '0') end
local conditions = {
  not_deleted = function(name)
    return redis.call('EXISTS', name) == 1 and redis.call('HEXISTS', name, 'deleted_ms') == 0
  end,
  absent = function(name) return redis.call('EXISTS', name) == 0 end,
  no_field = function(name, field) return redis.call('HEXISTS', name, field) == 0 end,
  at_least = function(name, field, min) return number(name, field) >= tonumber(min) end,
  at_most = function(name, field, max) return number(name, field) <= tonumber(max) end,
  size = function(name, count) return redis.call('SCARD', name) == tonumber(count) end,
  same = function(name, field, value) return redis.call('HGET', name, field) == value end,
  fewer = function(name, count) return redis.call('HLEN', name) < tonumber(count) end,
  before = function(moment) return now < tonumber(moment) end,
}
for i, condition in ipairs(cjson.decode(arg.conditions)) do
  if not conditions[condition[1]](condition[2], condition[3], condition[4]) then
    return {'unmet', i - 1}
  end
end
for _, command in ipairs(cjson.decode(arg.writes)) do
  redis.call(unpack(command))
end
if arg.notice then
  local event = cjson.decode(arg.notice)
  if event.id then
    local fields = {'url', event.url, 'event_id', '', 'type', event.type, 'at', digits(now), 'notice', event.text}
    write_delivery(event.team, event.id, event.team .. '/' .. event.endpoint, fields, event.retention_ms)
  else
    local events_key = prefix .. 'events:' .. event.team
    publish_notice(event.team, events_key, event.type, event.text, event.retention_ms)
  end
end
redis.call('XADD', key.audit, '*', 'number', arg.number, 'hash', arg.hash, 'entry', arg.entry)
redis.call('HSET', key.audit_head, 'number', arg.number, 'hash', arg.hash)
return {'done'}
