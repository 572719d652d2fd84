#!lua flags=no-writes
-- Reads a key or a browser token, its parent and the team's time zone, in one round trip.
--
-- USES clock
-- KEYS
--   credential     hash    the key or the token
-- ARGV
--
-- Returns {now_ms: int, record: list[str], parent: list[str], zone: str}  each record is field, value, …
local record = redis.call('HGETALL', key.credential)
local parent = redis.call('HGET', key.credential, 'parent')
local team = redis.call('HGET', key.credential, 'team')
return {
  now,
  record,
  parent and redis.call('HGETALL', prefix .. 'key:' .. parent) or {},
  team and redis.call('HGET', prefix .. 'team:' .. team, 'time_zone') or '',
}
