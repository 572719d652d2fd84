#!lua flags=allow-oom
-- Records the outcome of a submission for the breaker and the number of slots.
--
-- 1. accepted, or rejected for its content: fal works; failures in a row are over, an open breaker closes
-- 2. busy (429): the number of slots becomes two thirds of the jobs at fal; grant_slots.lua lets it grow again
-- 3. account (401, 403): open until an administrator closes it
-- 4. failed, or unknown, which weighs double: open for a while after this much weight in a row
--
-- USES clock concurrency
-- KEYS
--   breaker        hash    failures in a row, their weight, the last sentence; until when it is open (ms) and why; the
--                          number of slots for now; when (ms) fal last took one
--   slots          zset    jobs that occupy fal, without the refused one
--   concurrency    hash    the number that the hosts have agreed on
-- ARGV
--   outcome        str     accepted | rejected | busy | account | failed | unknown
--   reason         str     a sentence
--   own_concurrency int    slots that this host was given
--   max_weight     int     the weight in a row that opens it
--   open_ms        int     for how long
--
-- Returns "opened" | "closed" | ""  opened: it was closed, or waits for an administrator now; closed: it was open
local state = redis.call('HMGET', key.breaker, 'until_ms', 'slots')
if arg.outcome == 'accepted' or arg.outcome == 'rejected' then
  redis.call('HSET', key.breaker, 'bought_ms', digits(now))
  redis.call('HDEL', key.breaker, 'failures', 'weight', 'last')
  if state[1] and state[1] ~= 'inf' then
    redis.call('HDEL', key.breaker, 'until_ms', 'reason', 'probe', 'probe_ms')
    return 'closed'
  end
  return ''
end
if arg.outcome == 'busy' then
  local fewer = math.max(1, math.floor(redis.call('ZCARD', key.slots) * 2 / 3))
  local slots = math.min(fewer, tonumber(state[2] or agreed_concurrency(key.concurrency, arg.own_concurrency)))
  redis.call('HSET', key.breaker, 'slots', slots, 'slots_ms', digits(now))
  return ''
end
if arg.outcome == 'account' then
  redis.call('HSET', key.breaker, 'until_ms', 'inf', 'reason', arg.reason)
  return state[1] == 'inf' and '' or 'opened'
end
if redis.call('HINCRBY', key.breaker, 'failures', 1) == 1 then
  redis.call('HDEL', key.breaker, 'weight')  -- a resume deletes the failures, and so their weight
end
redis.call('HSET', key.breaker, 'last', arg.reason)
local weight = redis.call('HINCRBY', key.breaker, 'weight', arg.outcome == 'unknown' and 2 or 1)
if weight < tonumber(arg.max_weight) or state[1] == 'inf' then
  return ''
end
redis.call('HSET', key.breaker, 'until_ms', digits(now + arg.open_ms), 'reason', arg.reason)
return state[1] and '' or 'opened'
