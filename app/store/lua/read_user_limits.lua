#!lua flags=no-writes
-- Reads every limit of some users of one team, with what is used of it.
--
-- USES clock sums limits
-- KEYS
--   team           hash    the team
-- ARGV
--   zone           str     the time zone of the periods
--   starts         str     when the team's and the gateway's periods began (ms), by window
--   ends           str     when they end (ms)
-- REST str  the users' ids
--
-- Returns {"states", now_ms: int, users: list[list[str]]} | {"clock", now_ms: int, zone: str}  users: the limits of
--   each, in the order given; clock: the periods are not those of the store's clock
local starts, ends = by_window(arg.starts), by_window(arg.ends)
local team = redis.call('HMGET', key.team, 'time_zone', 'carried')
local zone = team[1] or 'UTC'
if zone ~= arg.zone or not are_current(starts, ends) then
  return {'clock', now, zone}
end
local found = {}
for i, id in ipairs(rest) do
  found[i] = encode_states(read_limits({{kind = 'user', id = id}}, starts, ends, {}, team[2]))
end
return {'states', now, found}
