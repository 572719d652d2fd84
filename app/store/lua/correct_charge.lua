#!lua flags=allow-oom
-- Corrects an ended job's charge to what it really cost. A dispute ends with it; a difference is an entry of its own.
-- What a person has said counts, and is not compared with fal's bill any more: a bill knows nothing of what was given
-- back later.
--
-- USES clock sums money packing
-- KEYS
--   job            hash    the record
--   due_dispute    zset    disputes by when they are decided (ms)
--   due_billing    zset    ended jobs by when they are compared with fal's bill
--   reservations   hash    job id to reserved micro-dollars
--   ledger         stream  every movement of money
-- ARGV
--   ref            str     team/job
--   actual         int     what it cost in micro-dollars
--   reason         str     a sentence for the ledger
--   by             str     person | bill | answer: who says what it cost; answer is fal's result
-- REST str  the job's facts as field, value, …, which may be packed in the record
--
-- Returns {outcome: "gone" | "open" | "below" | "same" | "decided" | "corrected", difference: int}  in micro-dollars
local money = redis.call('HGET', key.job, 'money')
if not money or money == 'reserved' then
  return {money and 'open' or 'gone', 0}
end
if arg.by == 'bill' and not redis.call('ZSCORE', key.due_billing, arg.ref) then
  return {'same', 0}  -- a person was faster
end
local actual = tonumber(arg.actual)
local charged = tonumber(redis.call('HGET', key.job, 'charged_micro') or '0')
if money ~= 'disputed' and charged == actual then
  if arg.by == 'person' then
    redis.call('ZREM', key.due_billing, arg.ref)
  end
  return {'same', 0}
end
local facts = {}
for i = 1, #rest, 2 do
  facts[rest[i]] = rest[i + 1]
end
local job = redis.call('HMGET', key.job, 'user', 'token')
local owners, starts = owners_of(facts.team, job[1], job[2]), by_window(facts.starts or facts.periods)
if money ~= 'disputed' and not can_subtract(owners, starts, 'used:usd', charged - actual) then
  return {'below', 0}
end
restore_facts(key.job, rest)
if arg.by == 'person' then
  redis.call('ZREM', key.due_billing, arg.ref)
end
if money == 'disputed' then
  redis.call('ZREM', key.due_dispute, arg.ref)
  local entry = close_reservation(key.reservations, key.ledger, key.job, actual > 0 and 'spend' or 'release')
  if entry then
    note_entry(key.job, entry)
  end
end
local difference = actual - tonumber(redis.call('HGET', key.job, 'charged_micro'))
if difference == 0 then
  return {'decided', 0}
end
add_to_sums(owners, starts, 'used:usd', difference)
redis.call('HSET', key.job, 'charged_micro', digits(actual), 'money', actual > 0 and 'spent' or 'released')
write_entry(key.ledger, 'correction', key.job, digits(difference), arg.reason)
return {'corrected', difference}
