#!lua flags=allow-oom
-- Ends a dispute: the reservation of a job whose charge could not be proven is spent or released.
--
-- USES clock sums money
-- KEYS
--   job            hash    the record
--   due_dispute    zset    disputes by when they are decided (ms)
--   reservations   hash    job id to reserved micro-dollars
--   ledger         stream  every movement of money
-- ARGV
--   ref            str     team/job
--   verb           str     spend | release
--
-- Returns bool  false when it was decided before
redis.call('ZREM', key.due_dispute, arg.ref)
if redis.call('HGET', key.job, 'money') ~= 'disputed' then
  return 0
end
local entry = close_reservation(key.reservations, key.ledger, key.job, arg.verb)
if entry then
  note_entry(key.job, entry)
end
return 1
