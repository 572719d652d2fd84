#!lua flags=no-writes
-- How every limit of a caller stands, and which a job of this size would meet. Changes nothing.
--
-- USES clock sums limits
-- KEYS
--   team           hash    the team
-- ARGV
--   team_id        str     whose limits
--   user_id        str     whose limits
--   token_id       str?    the browser token's id; nil for none
--   zone           str     time zone that the team's periods were made for
--   starts         str     beginnings (ms) of the team's and the gateway's periods, by window
--   ends           str     their ends (ms)
--   amount         int     micro-dollars that the job takes
--   seconds        int     of video that it makes
--
-- Returns {"standing", now_ms: int, limits: list[str]} | {"clock", now_ms: int, zone: str}
local starts, ends = by_window(arg.starts), by_window(arg.ends)
local calendar = redis.call('HMGET', key.team, 'time_zone', 'carried')
local zone = calendar[1] or 'UTC'
if zone ~= arg.zone or not are_current(starts, ends) then
  return {'clock', now, zone}
end
local need = {jobs = 1, usd = tonumber(arg.amount), video_seconds = tonumber(arg.seconds)}
local owners = owners_of(arg.team_id, arg.user_id, arg.token_id)
return {'standing', now, encode_states(read_limits(owners, starts, ends, need, calendar[2]))}
