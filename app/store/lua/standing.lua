#!lua flags=no-writes
-- How every limit of a caller stands, and which a job of this size would meet. Changes nothing.
--
-- USES clock sums limits
-- KEYS
--   team           hash    the team
-- ARGV
--   prefix         of every key; the owners' limits, sums and places are found by it
--   team           whose limits
--   user           whose limits
--   token          the browser token's id; "" for none
--   zone           time zone that the team's periods were made for
--   starts         beginnings (ms) of the team's and the gateway's periods, by window
--   ends           their ends (ms)
--   amount         micro-dollars that the job takes
--   seconds        of video that it makes
--
-- Returns {"standing", now_ms, limits} | {"clock", now_ms, the team's zone}
local starts, ends = by_window(arg.starts), by_window(arg.ends)
local calendar = redis.call('HMGET', key.team, 'time_zone', 'carried')
local zone = calendar[1] or 'UTC'
if zone ~= arg.zone or not are_now(starts, ends) then
  return {'clock', whole(now), zone}
end
local need = {jobs = 1, usd = tonumber(arg.amount), video_seconds = tonumber(arg.seconds)}
local owners = owners_of(arg.team, arg.user, arg.token)
return {'standing', whole(now), told(look(arg.prefix, owners, starts, ends, need, calendar[2]))}
