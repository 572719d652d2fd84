#!lua flags=no-writes
-- Reads a key or a browser token, its parent and what is the team's, in one round trip.
--
-- USES clock
-- KEYS
--   credential     hash    the key or the token
-- ARGV
--
-- Returns {now_ms: int, record: list[str], parent: list[str], zone: str | None,
--   reposts: str | None}  each record is field, value, …
local record = redis.call('HGETALL', key.credential)
local parent = redis.call('HGET', key.credential, 'parent')
local team = redis.call('HGET', key.credential, 'team')
local of_team = team and redis.call('HMGET', prefix .. 'team:' .. team, 'time_zone', 'reposts') or {false, false}
return {
  now,
  record,
  parent and redis.call('HGETALL', prefix .. 'key:' .. parent) or {},
  of_team[1],
  of_team[2],
}
