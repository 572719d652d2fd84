#!lua flags=no-writes
-- Who holds a key or a browser token, in one round trip: its record, its parent's, and the team's time zone.
--
-- USES clock
-- KEYS
--   credential     hash    the key or the token
-- ARGV
--   prefix         of every key; the parent and the team are found by it
--
-- Returns {now_ms, {field, value, …}, {the parent's}, the team's zone or ""}
local record = redis.call('HGETALL', key.credential)
local parent = redis.call('HGET', key.credential, 'parent')
local team = redis.call('HGET', key.credential, 'team')
return {
  whole(now),
  record,
  parent and redis.call('HGETALL', arg.prefix .. 'key:' .. parent) or {},
  team and redis.call('HGET', arg.prefix .. 'team:' .. team, 'time_zone') or '',
}
