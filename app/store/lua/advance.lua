#!lua flags=allow-oom
-- Moves one job to its next state: status, money, slot, due times, event and outbox change together.
-- It runs when memory is short, because what was bought must be written down.
--
-- 1. refuse when the job is gone, in another state, or has another attempt's nonce: another process was faster.
--    Refuse a claim that comes too late (nobody waits for the reply), one without a slot (its task was enqueued before
--    the slot was taken back), and one that buying does not allow any more: its slot runs out, and the job is in line
-- 2. back in line, but its caller wants it canceled: end it instead, free of charge. Write the fields and the status
-- 3. apply what the new state means: slot, line, the sets of live and queued jobs, due times
-- 4. an end: close or dispute the reservation, start the record's expiry
-- 5. write the event and its deliveries: to each of the team's endpoints that takes it, and with `notify` to the job's
--    own address, which in fal's style gets ends only
-- 6. an end: write the record in its small form. Wake a lane, unless it would find nothing to do
--
-- USES clock retention event outbox sums money line epoch packing history
-- KEYS
--   job            hash    the record
--   line           zset    every job in line
--   later          zset    queued jobs by when (ms) they join the line again
--   slots          zset    jobs that occupy fal, by when (ms) the slot runs out, or +inf
--   held           zset    jobs whose submission has an unknown outcome, since when (ms)
--   quarantine     hash    steps in quarantine
--   due_submit     zset    refs by due time (ms), for each step
--   due_poll       zset
--   due_finalize   zset
--   due_expire     zset
--   due_dispute    zset
--   due_keep       zset    jobs whose files are to be copied
--   due_billing    zset    ended jobs by when they are compared with fal's bill
--   reservations   hash    job id to reserved micro-dollars
--   ledger         stream  every movement of money
--   events         stream  the team's events
--   durations      list    how long this model's generations took (ms)
--   wake           list    a token that ends a lane's wait
-- ARGV
--   ref            str     team/job
--   from_states    str     states that it may come from, with commas
--   nonce          str     the fence; "" where no attempt is involved
--   status         str     the new state
--   charge         str     keep | spend | release | dispute
--   until_ms       int?    refuse after this time
--   delay_ms       int     submitting: lease; queued: wait before the line; running: first poll; dispute: until decided
--   give_up_ms     int     after its deadline, a job at fal is given up, whatever fal says
--   billing_ms     int?    from an end until the comparison with fal's bill; nil when nothing compares
--   keep_ms        int?    from an end until its files are copied; nil when nothing is
--   retention_ms   int     how long the gateway keeps an ended job; a team may have its own days
--   delivery_id    str     id of the delivery to the job's own address
--   cancel_error   str     the error of a job that its caller canceled, JSON
--   notify         bool    the job's own address gets this event
--   reason         str     why it is in line again, or held: a word for its history
--   packed         bytes   the packed part of an ended record; "" to leave the record as it is
--   packed_names   str     the fields in it, with commas
--   packed_facts   str     the facts in it: lines of name and value
-- REST str  field, value, …; a value of "@now" is the store's time, "@until" when an ended record is deleted
--
-- Returns str | None  the state now: `status`, `canceled` (2.), or `told_failed`: succeeded, though fal's webhook says failed
local before = redis.call('HMGET', key.job, 'status', 'nonce', 'webhook_url', 'webhook_style', 'id',
  'cancel_requested_ms', 'told_failed')
local status, id = before[1], before[5]
if not status or not string.find(',' .. arg.from_states .. ',', ',' .. status .. ',', 1, true) then
  return nil
end
if (arg.nonce ~= '' and before[2] ~= arg.nonce) or (arg.until_ms and now > tonumber(arg.until_ms)) then return nil end
local owner = redis.call('HMGET', key.job, 'team', 'user', 'quoted_micro', 'deadline_ms', 'line_score')
arg.retention_ms = retention_of(owner[1], arg.retention_ms)
if arg.status == 'submitting'
  and (not redis.call('ZSCORE', key.slots, arg.ref) or not may_claim(owner[1], arg.ref)) then
  redis.call('ZADD', key.slots, 'XX', digits(now), arg.ref)
  return nil
end
if arg.status == 'queued' and before[6] then
  count_grant(owner[1], owner[2], -tonumber(owner[3]))
  redis.call('HSET', key.job, 'error', arg.cancel_error)
  arg.status, arg.charge, arg.notify = 'canceled', 'release', true
end

note_turn(key.job, status, arg.status, arg.reason)
local times = {['@now'] = digits(now), ['@until'] = digits(now + arg.retention_ms)}
for i = 2, #rest, 2 do rest[i] = times[rest[i]] or rest[i] end
redis.call('HSET', key.job, 'status', arg.status, unpack(rest))

for _, set in ipairs({key.due_submit, key.due_poll, key.due_finalize, key.held}) do
  redis.call('ZREM', set, arg.ref)
end
local ended = false
if arg.status == 'queued' or status == 'queued' then
  change_queued_sets(owner[1], owner[2], id, arg.status == 'queued' and 'SADD' or 'SREM')
end
if arg.status == 'submitting' then
  redis.call('HINCRBY', key.job, 'attempt', 1)
  remember_entry('claims', redis.call('HGET', key.job, 'nonce'))
  redis.call('HSET', key.job, 'claimed_ms', digits(now), 'lease_ms', digits(now + arg.delay_ms))
  redis.call('ZADD', key.slots, '+inf', arg.ref)
  redis.call('ZADD', key.due_submit, digits(now + arg.delay_ms), arg.ref)
elseif arg.status == 'queued' then
  redis.call('HDEL', key.job, 'nonce', 'lease_ms', 'held_reason')
  redis.call('ZREM', key.slots, arg.ref)
  count_grant(owner[1], owner[2], -tonumber(owner[3]))  -- fal did not accept it: its turn is given back
  local deadlines = redis.call('HMGET', key.job, 'deadline_ms', 'start_deadline_ms')
  local must_start = math.min(deadlines[1], deadlines[2] or deadlines[1])
  redis.call('ZADD', key.due_expire, 'NX', digits(must_start), arg.ref)
  if tonumber(arg.delay_ms) > 0 then
    redis.call('ZADD', key.later, digits(now + arg.delay_ms), arg.ref)
  else
    enter_line(key.line, owner[1], owner[2], arg.ref, owner[5])
  end
elseif arg.status == 'held' then
  redis.call('ZADD', key.slots, digits(now + arg.delay_ms), arg.ref)
  redis.call('ZADD', key.held, digits(now), arg.ref)
  redis.call('ZREM', key.due_expire, arg.ref)
elseif arg.status == 'running' then
  if status == 'queued' then
    leave_line(key.line, owner[1], owner[2], arg.ref)
    redis.call('ZREM', key.later, arg.ref)
    redis.call('HINCRBY', key.job, 'attempt', 1)
  end
  redis.call('HDEL', key.job, 'lease_ms', 'held_reason')
  redis.call('HSET', key.job, 'submitted_ms', digits(now))
  redis.call('ZADD', key.slots, '+inf', arg.ref)
  redis.call('ZADD', key.due_poll, digits(now + arg.delay_ms), arg.ref)
  redis.call('ZADD', key.due_expire, digits(math.max(now, owner[4]) + arg.give_up_ms), arg.ref)
elseif arg.status == 'finalizing' then
  redis.call('HSET', key.job, 'upstream_done_ms', digits(now))
  redis.call('ZREM', key.slots, arg.ref)
  redis.call('ZADD', key.due_finalize, digits(now), arg.ref)
else
  ended = true
  redis.call('HDEL', key.job, 'held_reason', 'lease_ms', 'pending_output')
  redis.call('HSET', key.job, 'completed_ms', digits(now))
  if arg.keep_ms then redis.call('ZADD', key.due_keep, 'NX', digits(now + arg.keep_ms), arg.ref) end
  leave_line(key.line, owner[1], owner[2], arg.ref)
  for _, set in ipairs({key.later, key.slots, key.due_expire}) do redis.call('ZREM', set, arg.ref) end
  for _, step in ipairs({'submit ', 'poll ', 'finalize ', 'resolve '}) do
    redis.call('HDEL', key.quarantine, step .. arg.ref)
  end
  leave_live_sets(owner[1], owner[2], id)
end

if arg.charge == 'spend' or arg.charge == 'release' then
  close_reservation(key.reservations, key.ledger, key.job, arg.charge)
elseif arg.charge == 'dispute' then
  redis.call('HSET', key.job, 'money', 'disputed')
  redis.call('ZADD', key.due_dispute, digits(now + arg.delay_ms), arg.ref)
  write_entry(key.ledger, 'dispute', key.job, redis.call('HGET', key.reservations, id))
end
if ended then
  if arg.billing_ms and redis.call('HGET', key.job, 'upstream_request_id') then
    redis.call('ZADD', key.due_billing, digits(now + arg.billing_ms), arg.ref)
  end
  redis.call('PEXPIRE', key.job, arg.retention_ms)
  record_duration(key.job, key.durations, arg.retention_ms)
end

local own = arg.notify and (ended or before[4] ~= 'fal') and before[3] and before[3] ~= ''
  and {arg.delivery_id, before[3], before[4]} or nil
if publish_job_event(next_event(key.job), key.job, arg.ref, key.events, 'job.' .. arg.status, own, arg.retention_ms)
  or (arg.status ~= 'submitting' and arg.status ~= 'running') then
  wake_lane(key.wake)
end
pack_record(key.job, arg.packed_names, arg.packed_facts, arg.packed, arg.retention_ms)
return arg.status == 'succeeded' and before[7] == '1' and 'told_failed' or arg.status
