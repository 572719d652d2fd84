#!lua flags=allow-oom
-- Makes a job's charge what it really cost. A dispute ends with it; a difference becomes an entry of its own.
--
-- USES clock sums money packing
-- KEYS
--   job            hash    the record
--   due_dispute    zset    disputes by when they are decided
--   reservations   hash    job id to micro-dollars put aside
--   ledger         stream  every movement of money
-- ARGV
--   ref            str     team/job
--   actual         int     micro-dollars it cost
--   reason         str     a sentence for the ledger
-- REST str  the job's facts as field, value, …, which may be packed
--
-- Returns {outcome: "gone" | "open" | "below" | "same" | "decided" | "corrected", difference: int}  in micro-dollars
local money = redis.call('HGET', key.job, 'money')
if not money or money == 'reserved' then
  return {money and 'open' or 'gone', 0}
end
local actual = tonumber(arg.actual)
local charged = tonumber(redis.call('HGET', key.job, 'charged_micro') or '0')
if money ~= 'disputed' and charged == actual then
  return {'same', 0}
end
local known = {}
for i = 1, #rest, 2 do
  known[rest[i]] = rest[i + 1]
end
local whose = redis.call('HMGET', key.job, 'user', 'token')
local owners, starts = owners_of(known.team, whose[1], whose[2]), by_window(known.starts or known.periods)
if money ~= 'disputed' and not can_subtract(owners, starts, 'used:usd', charged - actual) then
  return {'below', 0}
end
restore_facts(key.job, rest)
if money == 'disputed' then
  redis.call('ZREM', key.due_dispute, arg.ref)
  close_reservation(key.reservations, key.ledger, key.job, actual > 0 and 'spend' or 'release')
end
local difference = actual - tonumber(redis.call('HGET', key.job, 'charged_micro'))
if difference == 0 then
  return {'decided', 0}
end
add_to_sums(owners, starts, 'used:usd', difference)
redis.call('HSET', key.job, 'charged_micro', digits(actual), 'money', actual > 0 and 'spent' or 'released')
write_entry(key.ledger, 'correction', key.job, digits(difference), arg.reason)
return {'corrected', difference}
