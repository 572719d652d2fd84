-- The line: queued jobs, served fairly. Each user has a line of their own; a team's users share the team's turns, and
-- teams share fal by their weights, both in dollars (start-time fair queueing).
--
-- A team's (or user's) mark is what it was granted so far, in micro-dollars divided by its weight; the lowest mark is
-- served next. Who comes anew begins at the mark that is being served, so that nobody saves up turns or loses them.
local VIRTUAL_TIMES, TEAMS = prefix .. 'marks', prefix .. 'line:teams'
local function users_key(team) return prefix .. 'line:users:' .. team end
local function user_line(user) return prefix .. 'line:user:' .. user end

-- Puts `name` among those who wait, at its own last mark or at the one that is served now.
local function begin_waiting(waiting_key, level, name)
  if redis.call('ZSCORE', waiting_key, name) then
    return
  end
  local marks = redis.call('HMGET', VIRTUAL_TIMES, name, 'now:' .. level)
  redis.call('ZADD', waiting_key, digits(math.max(tonumber(marks[1] or '0'), tonumber(marks[2] or '0'))), name)
end

-- Takes `name` out of those who wait, and remembers its mark.
local function end_waiting(waiting_key, name)
  local mark = redis.call('ZSCORE', waiting_key, name)
  if mark then
    redis.call('HSET', VIRTUAL_TIMES, name, digits(tonumber(mark)))
    redis.call('ZREM', waiting_key, name)
  end
end

-- The job stands in line, at the place that its priority and its age give it.
local function enter_line(line_key, job_key, ref)
  local job = redis.call('HMGET', job_key, 'team', 'user', 'line_score')
  redis.call('ZADD', line_key, job[3], ref)
  redis.call('ZADD', user_line(job[2]), job[3], ref)
  begin_waiting(users_key(job[1]), job[1], job[2])
  begin_waiting(TEAMS, 'teams', job[1])
end

-- The job stands in line no more.
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

-- Counts a grant of so many micro-dollars; what is given back, a negative amount, is counted off again.
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

-- Ends a lane's wait.
local function wake_lane(wake_key)
  redis.call('LPUSH', wake_key, 1)
  redis.call('LTRIM', wake_key, 0, 0)
  redis.call('PEXPIRE', wake_key, 60000)
end
