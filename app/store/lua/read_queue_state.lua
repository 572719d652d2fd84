#!lua flags=no-writes
-- Reads the line's teams and users, from which a job's position is computed.
--
-- USES clock line
-- KEYS
--   line           zset    every job in line
--   pauses         hash    team, or `all`, to an administrator's sentence
-- ARGV
--
-- Returns {length: int, *teams: list[Any]}  a team is {id, weight, virtual time, 1 when paused, users}, where users is
--   {id, virtual time, jobs in line, …}
local found = {redis.call('ZCARD', key.line)}
local teams = redis.call('ZRANGE', TEAMS, 0, -1, 'WITHSCORES')
for i = 1, #teams, 2 do
  local users = redis.call('ZRANGE', users_key(teams[i]), 0, -1, 'WITHSCORES')
  local waiting = {}
  for j = 1, #users, 2 do
    waiting[#waiting + 1] = users[j]
    waiting[#waiting + 1] = users[j + 1]
    waiting[#waiting + 1] = redis.call('ZCARD', user_line(users[j]))
  end
  local weight = redis.call('HGET', prefix .. 'team:' .. teams[i], 'weight') or '1'
  found[#found + 1] = {teams[i], weight, teams[i + 1], redis.call('HEXISTS', key.pauses, teams[i]), waiting}
end
return found
