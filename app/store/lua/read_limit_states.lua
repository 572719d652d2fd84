#!lua flags=no-writes
-- Reads every limit of a caller with what is used of it, and whether a job of this size is over it.
--
-- USES clock sums limits
-- KEYS
--   team           hash    the team
-- ARGV
--   team_id        str     whose limits
--   user_id        str     whose limits
--   token_id       str?    the browser token's id
--   zone           str     the time zone of the periods
--   starts         str     when the team's and the gateway's periods began (ms), by window
--   ends           str     when they end (ms)
--   amount         int     the job's price in micro-dollars
--   seconds        int     its seconds of video
--
-- Returns {"states", now_ms: int, limits: list[str]} | {"clock", now_ms: int, zone: str}  clock: the
--   periods are not those of the store's clock
local starts, ends = by_window(arg.starts), by_window(arg.ends)
local team = redis.call('HMGET', key.team, 'time_zone', 'carried')
local zone = team[1] or 'UTC'
if zone ~= arg.zone or not are_current(starts, ends) then
  return {'clock', now, zone}
end
local need = {jobs = 1, usd = tonumber(arg.amount), video_seconds = tonumber(arg.seconds)}
local owners = owners_of(arg.team_id, arg.user_id, arg.token_id)
return {'states', now, encode_states(read_limits(owners, starts, ends, need, team[2]))}
