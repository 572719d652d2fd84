-- Admits one job: idempotency, limits, money, record, place in line, event. All or nothing, in one round trip.
-- It runs without `allow-oom`: when memory is short, admission stops first.
--
-- 1. refuse when the key was revoked a moment ago, or when the periods are not those of the store's clock
-- 2. a known idempotency key, or an equal submission whose answer was lost: answer with its job; refuse another request
-- 3. check every limit of the gateway, the team, the user and the token; refuse when one is exceeded, consume the rates
-- 4. write the record, with times by the store's clock; its periods never change
-- 5. reserve the money: the reservation, the sums of every owner, the ledger
-- 6. index the job, and drop expired ones from the old end of each index
-- 7. put it in line, and let its start deadline come due
-- 8. count the admission for witnesses; write the event, the alerts of money limits that are nearly used up, and their
--    deliveries; remember the idempotency key; wake a lane
--
-- USES clock retention event outbox sums limits money budget credential line epoch idempotency answers indexes
-- KEYS
--   idempotency    string  job and request of an earlier submission with the same key
--   idempotency_before hash  the same, written by an older version
--   answers        hash    the answers to equal submissions that may be lost
--   credential     hash    the caller's key or browser token
--   team           hash    the team
--   job            hash    the new record
--   team_jobs      zset    the team's jobs by admission time
--   user_jobs      zset    the user's jobs by admission time
--   line           zset    every job in line
--   due_expire     zset    queued jobs by the time they must have started
--   reservations   hash    job id to reserved micro-dollars
--   ledger         stream  every movement of money
--   events         stream  the team's events
--   wake           list    a token that ends a lane's wait
-- ARGV
--   ref            str     team/job
--   id             str     the job's id
--   team_id        str     whose limits apply
--   user_id        str     whose limits apply
--   token_id       str?    the browser token's id
--   zone           str     the time zone of the periods
--   starts         str     when the team's and the gateway's periods began (ms), by window
--   ends           str     when they end (ms)
--   idempotent     bool    an idempotency key was given
--   fingerprint    str     SHA-256 of the request
--   tag            str     its first twelve characters in base64
--   idempotency_ms int     how long the idempotency key is remembered
--   answer         str?    the id of the answer, where equal submissions are told apart by their answers
--   equal          str     what this process knows of those to equal submissions (`lib/answers.lua`)
--   amount         int     the job's price in micro-dollars
--   seconds        int     its seconds of video
--   deadline_ms    int     from now
--   start_ms       int?    start deadline, from now
--   priority_ms    int     how much older (below 0) or younger the job counts in its user's line
--   retention_ms   int     how long the gateway keeps ended jobs and events; a team may have its own days
--   kept           str     how long the sums of a period are kept after its end (ms), by window
--   meta_count     int     how many metadata pairs lead the rest
-- REST str  metadata pairs as name=value, then the record as field, value, …
--
-- CONFIRMED by the replicas that are expected
-- Returns {"admitted", now_ms: int, limits: list[str], rank: int | None, alarms: list[str],
--   written: list[str]}  written is field, value, … of the record, as far as the script made it
--   | {"refused", now_ms: int, limits: list[str]}
--   | {"repeated", now_ms: int, limits: list[str], job_id: str}
--   | {"reused", now_ms: int, job_id: str}
--   | {"answering", now_ms: int}  an equal submission, by another process; ask again
--   | {"gone", now_ms: int}
--   | {"clock", now_ms: int, zone: str}
local starts, ends = by_window(arg.starts), by_window(arg.ends)
if not is_valid(key.credential) then
  return {'gone', now}
end
local team = redis.call('HMGET', key.team, 'time_zone', 'carried')
local zone = team[1] or 'UTC'
if zone ~= arg.zone or not are_current(starts, ends) then
  return {'clock', now, zone}
end

local owners = owners_of(arg.team_id, arg.user_id, arg.token_id)
local need = {jobs = 1, usd = tonumber(arg.amount), video_seconds = tonumber(arg.seconds)}
local states = read_limits(owners, starts, ends, need, team[2])
if arg.idempotent then
  local found, first, same = find_idempotent(key.idempotency, key.idempotency_before, arg.tag, arg.fingerprint)
  if first and not same then
    return {'reused', now, first}
  elseif first then
    -- A write, so that a confirmation of it covers the first one.
    redis.call('PEXPIRE', found, math.max(1, redis.call('PTTL', found)))
    return {'repeated', now, encode_states(states), first}
  end
end
local lost_job, others_job = replace_lost_answer(key.answers, arg.answer, arg.equal, arg.idempotency_ms)
if lost_job then
  return {'repeated', now, encode_states(states), lost_job}
elseif others_job then
  mark_asked(string.sub(key.job, 1, -1 - #arg.id) .. others_job)
  return {'answering', now}
end
local over = not consume_rates(states)
for _, state in ipairs(states) do
  over = over or state.over
end
if over then
  return {'refused', now, encode_states(states)}
end

local pairs_given = tonumber(arg.meta_count)
local job, flat = {team = arg.team_id, user = arg.user_id}, {}
local function set(name, value)
  job[name] = value
  flat[#flat + 1] = name
  flat[#flat + 1] = value
end
for i = pairs_given + 1, #rest, 2 do
  set(rest[i], rest[i + 1])
end
local given, must_start = #flat, now + arg.deadline_ms
set('status', 'queued')
set('money', 'reserved')
set('attempt', '0')
set('sequence', '1')  -- of its first event, below
set('created_ms', digits(now))
set('deadline_ms', digits(must_start))
if arg.start_ms then
  set('start_deadline_ms', digits(now + arg.start_ms))
  must_start = math.min(must_start, now + arg.start_ms)
end
local written = {unpack(flat, given + 1)}
set('line_score', digits(now + arg.priority_ms))
set('starts', arg.starts)
set('periods', unnamed(starts))
set('reserve_entry', write_reserve(key.ledger, job, arg.amount))
redis.call('HSET', key.job, unpack(flat))

redis.call('HSET', key.reservations, arg.id, arg.amount)
hold_sums(owners, starts, ends, arg.kept, need)
for i = 1, 3 do
  redis.call('SADD', prefix .. 'live:' .. owners[i].id, arg.id)
  redis.call('SADD', prefix .. 'queued:' .. owners[i].id, arg.id)
end
for _, state in ipairs(states) do
  if not state.rate_key then
    state.held = state.held + state.need
  end
end

local indexes = {key.team_jobs, key.user_jobs}
for i = 1, pairs_given do
  indexes[2 + i] = prefix .. 'jobs:' .. arg.team_id .. ':meta:' .. rest[i]
end
local kept_ms = retention_of(arg.team_id, arg.retention_ms)
index_job(indexes, arg.id, key.job, kept_ms)
enter_line(key.line, arg.team_id, arg.user_id, arg.ref, job.line_score)
redis.call('ZADD', key.due_expire, digits(must_start), arg.ref)
publish_job_event(job, key.job, arg.ref, key.events, 'job.queued', nil, kept_ms)
local alarms = publish_thresholds(states, key.events, arg.team_id, arg.user_id, kept_ms)
remember_entry('admissions', arg.id)
if arg.answer then
  owe_answer(key.answers, arg.answer, digits(now), arg.id, 'open', arg.idempotency_ms)
elseif arg.idempotent then
  remember_idempotent(key.idempotency, arg.tag, arg.id, arg.idempotency_ms)
end
wake_lane(key.wake)
return {'admitted', now, encode_states(states), redis.call('ZRANK', user_line(arg.user_id), arg.ref), alarms,
  written}
