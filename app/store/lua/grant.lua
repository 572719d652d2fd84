#!lua flags=allow-oom
-- Grants free slots at fal, fairly: to the team, and in it the user, that was granted the least for its weight.
--
-- 1. jobs whose wait is over stand in line again, at their old place
-- 2. take back slots that ran out: a grant nobody claimed goes back in line, a held job keeps waiting without one
-- 3. nothing more while an administrator has paused all, the breaker is open, or too many slots hold unknown outcomes
-- 4. half open: one grant, whose outcome closes the breaker or opens it again
-- 5. while a slot is free: the next team that is not paused, its next user, the first job; its submission is due now
--
-- USES clock line
-- KEYS
--   line           zset    every job in line
--   later          zset    queued jobs that wait until their score (ms)
--   slots          zset    jobs that occupy fal, by when the slot falls free by itself
--   due_submit     zset    submissions, by when they must be looked at
--   held           zset    jobs whose submission has an unknown outcome
--   pauses         hash    team, or `all`, to an administrator's sentence
--   breaker        hash    until when it is open (ms), and the number of slots for now
-- ARGV
--   prefix         of every key; the lines are found by it
--   concurrency    slots in all, unless the breaker says fewer
--   grant_ms       how long a grant waits to be claimed
--   job_prefix     prefix of job keys; the ref follows
--   limit          grants at most in one call
--
-- Returns the number of grants
local function back_in_line(ref, given_back)
  local job_key = arg.job_prefix .. ref
  local job = redis.call('HMGET', job_key, 'status', 'team', 'user', 'quoted_micro')
  if job[1] == 'queued' then
    enter_line(arg.prefix, key.line, job_key, ref)
    if given_back then
      redis.call('ZREM', key.due_submit, ref)
      count_grant(arg.prefix, job[2], job[3], -tonumber(job[4]))
    end
  end
end
for _, ref in ipairs(redis.call('ZRANGEBYSCORE', key.later, '-inf', whole(now), 'LIMIT', 0, 200)) do
  redis.call('ZREM', key.later, ref)
  back_in_line(ref, false)
end
for _, ref in ipairs(redis.call('ZRANGEBYSCORE', key.slots, '-inf', whole(now), 'LIMIT', 0, 200)) do
  redis.call('ZREM', key.slots, ref)
  back_in_line(ref, true)
end
local breaker = redis.call('HMGET', key.breaker, 'until_ms', 'slots', 'probe_ms')
local blind = redis.call('ZINTERCARD', 2, key.held, key.slots) * 2 > tonumber(arg.concurrency)
if blind or redis.call('HEXISTS', key.pauses, 'all') == 1 or breaker[1] == 'inf' then
  return 0
end
local slots = math.min(tonumber(arg.concurrency), tonumber(breaker[2] or arg.concurrency))
local free = math.min(slots - redis.call('ZCARD', key.slots), tonumber(arg.limit))
if breaker[1] then
  if tonumber(breaker[1]) > now or tonumber(breaker[3] or '0') + arg.grant_ms > now then
    return 0
  end
  free = math.min(free, 1)
end

-- The waiting team with the lowest mark that is not paused, and its mark.
local function next_team()
  for first = 0, redis.call('ZCARD', teams_key(arg.prefix)) - 1 do
    local team = redis.call('ZRANGE', teams_key(arg.prefix), first, first, 'WITHSCORES')
    if redis.call('HEXISTS', key.pauses, team[1]) == 0 then
      return team
    end
  end
end

local granted = 0
while granted < free do
  local team = next_team()
  if not team then
    break
  end
  local user = redis.call('ZRANGE', users_key(arg.prefix, team[1]), 0, 0, 'WITHSCORES')
  local ref = redis.call('ZRANGE', user_line(arg.prefix, user[1]), 0, 0)[1]
  redis.call('HSET', marks_key(arg.prefix), 'now:teams', whole(tonumber(team[2])), 'now:' .. team[1], whole(tonumber(user[2])))
  local job = redis.call('HMGET', arg.job_prefix .. ref, 'status', 'quoted_micro')
  if job[1] == 'queued' then
    count_grant(arg.prefix, team[1], user[1], tonumber(job[2]))
    redis.call('ZADD', key.slots, whole(now + arg.grant_ms), ref)
    redis.call('ZADD', key.due_submit, whole(now), ref)
    granted = granted + 1
  end
  leave_line(arg.prefix, key.line, team[1], user[1], ref)
end
if breaker[1] and granted > 0 then
  redis.call('HSET', key.breaker, 'probe_ms', whole(now))
end
return granted
