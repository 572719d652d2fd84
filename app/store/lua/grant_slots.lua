#!lua flags=allow-oom
-- Grants free slots at fal to the team, and in it the user, that was granted the least for its weight.
--
-- 1. jobs whose wait is over join the line again, at their old place
-- 2. take back slots that ran out: a grant that was not claimed goes back in line, a held job waits without a slot
-- 3. after a quiet time one more slot, where fal's 429s took some
-- 4. stop while an administrator has paused all buying, the store has gone back in time, the breaker is open, or too
--    many slots hold unknown outcomes
-- 5. half open: one grant, whose outcome closes the breaker or opens it again
-- 6. while a slot is free: the next team that is not paused, its next user, the first job; its submission is due now
--
-- USES clock line epoch concurrency
-- KEYS
--   line           zset    every job in line
--   later          zset    queued jobs by when (ms) they join the line again
--   slots          zset    jobs that occupy fal, by when (ms) the slot runs out
--   due_submit     zset    submissions by due time (ms)
--   held           zset    jobs whose submission has an unknown outcome
--   pauses         hash    team, or `all`, to an administrator's sentence
--   breaker        hash    until when it is open (ms), the job that probes, the number of slots for now
--   concurrency    hash    the number that the hosts have agreed on
-- ARGV
--   own_concurrency int    slots that this host was given
--   grant_ms       int     how long a grant may wait for its claim
--   quiet_ms       int     without a 429, until one slot is added
--   limit          int     grants at most in one call
--
-- Returns list[list[str | None]]  the granted jobs: ref, user, key, trace id, whether the trace is recorded, and how
--   long (ms) they have waited since their admission
local function rejoin_line(ref, was_granted)
  local job_key = prefix .. 'job:' .. ref
  local job = redis.call('HMGET', job_key, 'status', 'team', 'user', 'quoted_micro', 'line_score')
  if job[1] == 'queued' then
    enter_line(key.line, job[2], job[3], ref, job[5])
    if was_granted then
      redis.call('ZREM', key.due_submit, ref)
      count_grant(job[2], job[3], -tonumber(job[4]))
    end
  end
end
for _, ref in ipairs(redis.call('ZRANGEBYSCORE', key.later, '-inf', digits(now), 'LIMIT', 0, 200)) do
  redis.call('ZREM', key.later, ref)
  rejoin_line(ref, false)
end
for _, ref in ipairs(redis.call('ZRANGEBYSCORE', key.slots, '-inf', digits(now), 'LIMIT', 0, 200)) do
  redis.call('ZREM', key.slots, ref)
  rejoin_line(ref, true)
end
local breaker = redis.call('HMGET', key.breaker, 'until_ms', 'slots', 'slots_ms', 'probe', 'probe_ms')
local max = agreed_concurrency(key.concurrency, arg.own_concurrency)
local slots = tonumber(breaker[2] or max)
if breaker[2] and now - breaker[3] >= tonumber(arg.quiet_ms) then
  slots = slots + 1
  redis.call('HSET', key.breaker, 'slots', slots, 'slots_ms', digits(now))
end
if breaker[2] and slots >= max then
  slots = max
  redis.call('HDEL', key.breaker, 'slots', 'slots_ms')
end
local too_many_unknown = redis.call('ZINTERCARD', 2, key.held, key.slots) * 2 > slots
if too_many_unknown or redis.call('HEXISTS', key.pauses, 'all') == 1 or claims_stopped() or breaker[1] == 'inf' then
  return {}
end
local free = math.min(slots - redis.call('ZCARD', key.slots), tonumber(arg.limit))
if breaker[1] then
  local probe = breaker[4]
  local probing = probe and breaker[5] + arg.grant_ms > now
    and redis.call('ZSCORE', key.slots, probe) and not redis.call('ZSCORE', key.held, probe)
  if probing or tonumber(breaker[1]) > now then
    return {}
  end
  free = math.min(free, 1)
end

-- The waiting team with the lowest virtual time that is not paused, and that time. Paused teams before it move up to
-- it, so that a pause saves up no turns.
local function next_team()
  local paused = {}
  for first = 0, redis.call('ZCARD', TEAMS) - 1 do
    local team = redis.call('ZRANGE', TEAMS, first, first, 'WITHSCORES')
    if redis.call('HEXISTS', key.pauses, team[1]) == 0 then
      for _, name in ipairs(paused) do
        redis.call('ZADD', TEAMS, digits(tonumber(team[2])), name)
      end
      return team
    end
    paused[#paused + 1] = team[1]
  end
end

local granted = {}
while #granted < free do
  local team = next_team()
  if not team then
    break
  end
  local user = redis.call('ZRANGE', users_key(team[1]), 0, 0, 'WITHSCORES')
  local ref = redis.call('ZRANGE', user_line(user[1]), 0, 0)[1]
  redis.call('HSET', VIRTUAL_TIMES, 'now:teams', digits(tonumber(team[2])),
    'now:' .. team[1], digits(tonumber(user[2])))
  local job = redis.call('HMGET', prefix .. 'job:' .. ref, 'status', 'quoted_micro', 'key', 'trace_id',
    'trace_sampled', 'created_ms')
  if job[1] == 'queued' then
    count_grant(team[1], user[1], tonumber(job[2]))
    redis.call('ZADD', key.slots, digits(now + arg.grant_ms), ref)
    redis.call('ZADD', key.due_submit, digits(now), ref)
    granted[#granted + 1] = {ref, user[1], job[3], job[4], job[5], digits(now - job[6])}
    if breaker[1] then
      redis.call('HSET', key.breaker, 'probe', ref, 'probe_ms', digits(now))
    end
  end
  leave_line(key.line, team[1], user[1], ref)
end
return granted
