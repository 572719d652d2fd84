-- Admits one job: idempotency, reservation, record, place in line, event. All or nothing, in one round trip.
-- It runs without `allow-oom`: when memory is short, admission stops first.
--
-- 1. an idempotency key seen before: answer with its job, or say that the body differs
-- 2. write the record, with times by the store's clock
-- 3. put the money aside: an entry in the set, the sum, the ledger
-- 4. index the job, and drop what has expired from the old end of each index
-- 5. place it in line, and let its start deadline come due
-- 6. write the event, remember the idempotency key, wake a lane
--
-- USES clock event money
-- KEYS
--   idem           hash    job and fingerprint of an earlier submission with the same key ("" name: no key given)
--   job            hash    the record to be written
--   team_jobs      zset    the team's jobs by admission time
--   user_jobs      zset    the user's jobs by admission time
--   line           zset    queued jobs, in the order they are served
--   due_expire     zset    queued jobs by the time they must have started
--   reservations   hash    job id to micro-dollars put aside
--   balance        hash    sums
--   ledger         stream  every movement of money
--   events         stream  the team's events
--   wake           list    a token that ends a lane's wait
-- ARGV
--   ref            team/job
--   id             the job's id
--   idempotent     "1" when an idempotency key was given
--   fingerprint    SHA-256 of the request
--   idem_ms        how long the idempotency key is remembered
--   amount         micro-dollars to put aside
--   deadline_ms    from now
--   start_ms       from now; "" for none
--   band           0 high, 1 normal, 2 low
--   retention_ms   how long events are kept
--   meta_prefix    key prefix of the metadata indexes
--   meta_count     how many metadata pairs lead the rest
-- REST metadata pairs as name=value, then the record as field, value, …
--
-- Returns {"admitted", now_ms, position} | {"repeated", job id} | {"reused", job id}
if arg.idempotent == '1' then
  local first = redis.call('HMGET', key.idem, 'job', 'fingerprint')
  if first[1] then
    return {first[2] == arg.fingerprint and 'repeated' or 'reused', first[1]}
  end
end

local pairs_given = tonumber(arg.meta_count)
redis.call('HSET', key.job, unpack(rest, pairs_given + 1))
local deadline = now + arg.deadline_ms
local score = arg.band * 1e13 + now
redis.call('HSET', key.job, 'status', 'queued', 'money', 'reserved', 'attempt', 0, 'sequence', 0,
  'created_ms', whole(now), 'deadline_ms', whole(deadline), 'line_score', whole(score))
local must_start = deadline
if arg.start_ms ~= '' then
  must_start = math.min(deadline, now + arg.start_ms)
  redis.call('HSET', key.job, 'start_deadline_ms', whole(now + arg.start_ms))
end

redis.call('HSET', key.reservations, arg.id, arg.amount)
redis.call('HINCRBY', key.balance, 'reserved', arg.amount)
ledger_entry(key.ledger, 'reserve', key.job, arg.amount)

local function index(index_key)
  redis.call('ZADD', index_key, whole(now), arg.id)
  for _, old in ipairs(redis.call('ZRANGE', index_key, 0, 1)) do
    if redis.call('EXISTS', string.sub(key.job, 1, -1 - #arg.id) .. old) == 0 then
      redis.call('ZREM', index_key, old)
    end
  end
end
index(key.team_jobs)
index(key.user_jobs)
for i = 1, pairs_given do
  index(arg.meta_prefix .. rest[i])
end

redis.call('ZADD', key.line, whole(score), arg.ref)
redis.call('ZADD', key.due_expire, whole(must_start), arg.ref)
write_event(key.job, key.events, 'job.queued', arg.retention_ms)
if arg.idempotent == '1' then
  redis.call('HSET', key.idem, 'job', arg.id, 'fingerprint', arg.fingerprint)
  redis.call('PEXPIRE', key.idem, arg.idem_ms)
end
redis.call('LPUSH', key.wake, 1)
redis.call('LTRIM', key.wake, 0, 0)
redis.call('PEXPIRE', key.wake, 60000)
return {'admitted', whole(now), redis.call('ZRANK', key.line, arg.ref)}
