#!lua flags=no-writes
-- Reads what metrics show of money and the line: the gateway's sums, and those of each team with its queue.
--
-- A team's oldest job is the oldest of those that are next in its users' lines.
--
-- USES clock line
-- KEYS
--   teams          set     every team, deleted ones too
-- ARGV
--
-- Returns {now_ms: int, reserved: str, spent: str, *teams: list[Any]}  a team is {id, reserved, spent, jobs in line,
--   when its oldest was admitted (ms), 0 without one}; money is micro-dollars
local function sums(owner)
  local found = redis.call('HMGET', prefix .. 'total:' .. owner, 'held:usd', 'used:usd')
  return found[1] or '0', found[2] or '0'
end

local function oldest_of(team)
  local oldest = 0
  for _, user in ipairs(redis.call('ZRANGE', users_key(team), 0, -1)) do
    local first = redis.call('ZRANGE', user_line(user), 0, 0)[1]
    local created = first and tonumber(redis.call('HGET', prefix .. 'job:' .. first, 'created_ms') or '0') or 0
    if created > 0 and (oldest == 0 or created < oldest) then
      oldest = created
    end
  end
  return oldest
end

local reserved, spent = sums('gateway')
local found = {now, reserved, spent}
for _, team in ipairs(redis.call('SMEMBERS', key.teams)) do
  local held, used = sums(team)
  local queued = redis.call('SCARD', prefix .. 'queued:' .. team)
  found[#found + 1] = {team, held, used, queued, queued > 0 and oldest_of(team) or 0}
end
return found
