-- The line: queued jobs in fair order. Each user has a line of their own; a team's users share the team's turns, and
-- teams share fal by their weights, both in dollars (start-time fair queueing).
--
-- The virtual time of a team or user is what it was granted so far, in micro-dollars divided by its weight; the lowest
-- is served next. A newcomer begins at the virtual time that is being served, so that nobody saves up turns or loses
-- them.
local VIRTUAL_TIMES, TEAMS = prefix .. 'marks', prefix .. 'line:teams'
local function users_key(team) return prefix .. 'line:users:' .. team end
local function user_line(user) return prefix .. 'line:user:' .. user end

-- Adds `name` to those who wait, at its own last virtual time or at the one that is served now, whichever is later.
local function begin_waiting(waiting_key, level, name)
  if redis.call('ZSCORE', waiting_key, name) then
    return
  end
  local times = redis.call('HMGET', VIRTUAL_TIMES, name, 'now:' .. level)
  redis.call('ZADD', waiting_key, digits(math.max(tonumber(times[1] or '0'), tonumber(times[2] or '0'))), name)
end

-- Removes `name` from those who wait, and remembers its virtual time.
local function end_waiting(waiting_key, name)
  local time = redis.call('ZSCORE', waiting_key, name)
  if time then
    redis.call('HSET', VIRTUAL_TIMES, name, digits(tonumber(time)))
    redis.call('ZREM', waiting_key, name)
  end
end

-- Puts a job in line, by its score: its priority and age.
local function enter_line(line_key, team, user, ref, score)
  redis.call('ZADD', line_key, score, ref)
  redis.call('ZADD', user_line(user), score, ref)
  begin_waiting(users_key(team), team, user)
  begin_waiting(TEAMS, 'teams', team)
end

-- Takes a job out of the line.
local function leave_line(line_key, team, user, ref)
  redis.call('ZREM', line_key, ref)
  redis.call('ZREM', user_line(user), ref)
  if redis.call('EXISTS', user_line(user)) == 0 then
    end_waiting(users_key(team), user)
  end
  if redis.call('EXISTS', users_key(team)) == 0 then
    end_waiting(TEAMS, team)
  end
end

-- Adds a grant of so many micro-dollars to the virtual times, for a team the whole part of amount / weight; a negative
-- amount gives a grant back.
local function count_grant(team, user, amount)
  local weight = tonumber(redis.call('HGET', prefix .. 'team:' .. team, 'weight') or '1')
  for _, turn in ipairs({{TEAMS, team, amount / weight}, {users_key(team), user, amount}}) do
    local waiting_key, name, step = turn[1], turn[2], turn[3]
    if redis.call('ZSCORE', waiting_key, name) then
      redis.call('ZINCRBY', waiting_key, digits(step), name)
    else
      redis.call('HINCRBY', VIRTUAL_TIMES, name, digits(step))
    end
  end
end

-- Ends a lane's wait, with one token at most.
local function wake_lane(wake_key)
  if redis.call('PEXPIRE', wake_key, 60000) == 0 then
    redis.call('LPUSH', wake_key, 1)
    redis.call('PEXPIRE', wake_key, 60000)
  end
end
