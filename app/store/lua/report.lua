#!lua flags=allow-oom
-- What fal's answer to a submission says about buying on: the breaker and the number of slots follow it.
--
-- 1. accepted: failures in a row are over, a half-open breaker closes; after a quiet while one slot more
-- 2. busy (429): the number of slots shrinks to two thirds of what is at fal now
-- 3. account (401, 403): open until a person closes it
-- 4. failed, or unknown, which counts twice: open for a while after so many in a row
--
-- USES clock
-- KEYS
--   breaker        hash    failures in a row, until when it is open (ms), why; the number of slots for now
--   slots          zset    jobs that occupy fal
-- ARGV
--   outcome        accepted | busy | account | failed | unknown
--   reason         a sentence
--   concurrency    slots in all
--   failures       in a row, until it opens
--   open_ms        for how long
--   quiet_ms       without a 429, until one slot is added
--
-- Returns "opened", "closed", or ""
local state = redis.call('HMGET', key.breaker, 'failures', 'until_ms', 'slots', 'slots_ms')
redis.call('HDEL', key.breaker, 'probe_ms')
local failures, slots = tonumber(state[1] or '0'), tonumber(state[3] or arg.concurrency)
if arg.outcome == 'accepted' then
  redis.call('HDEL', key.breaker, 'failures')
  if slots < tonumber(arg.concurrency) and now - tonumber(state[4] or '0') >= tonumber(arg.quiet_ms) then
    redis.call('HSET', key.breaker, 'slots', slots + 1, 'slots_ms', whole(now))
  end
  if state[2] and state[2] ~= 'inf' then
    redis.call('HDEL', key.breaker, 'until_ms', 'reason')
    return 'closed'
  end
  return ''
end
if arg.outcome == 'busy' then
  local at_fal = math.min(slots, redis.call('ZCARD', key.slots) + 1)
  redis.call('HSET', key.breaker, 'slots', math.max(1, math.floor(at_fal * 2 / 3)), 'slots_ms', whole(now))
  return ''
end
if arg.outcome == 'account' then
  redis.call('HSET', key.breaker, 'until_ms', 'inf', 'reason', arg.reason)
  return state[2] == 'inf' and '' or 'opened'
end
failures = redis.call('HINCRBY', key.breaker, 'failures', arg.outcome == 'unknown' and 2 or 1)
if failures < tonumber(arg.failures) or state[2] == 'inf' then
  return ''
end
local was_open = state[2] and tonumber(state[2]) > now
redis.call('HSET', key.breaker, 'until_ms', whole(now + arg.open_ms), 'reason', arg.reason)
return was_open and '' or 'opened'
