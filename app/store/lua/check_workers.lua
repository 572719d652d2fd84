#!lua flags=allow-oom
-- Raises an alarm when a kind of worker is missing although there is work; resolves it when all are back. Each is done
-- once, however many processes check.
--
-- USES clock alarms
-- KEYS
--   workers        zset    `role host:pid` by its last heartbeat (ms)
--   workers_silent string  since when (ms) a role has no worker; expires without a check
--   alarms         stream  alarms, the newest last
--   active_alarms  hash    those that have a state and are not over
--   line           zset    jobs in line
--   later          zset    jobs that wait to join the line
--   slots          zset    jobs at fal
--   due_deliver    zset    destinations of webhooks
-- ARGV
--   expected       bool    raise it even when there is no work
--   alive_ms       int     how long a worker counts as alive after a heartbeat
--   grace_ms       int     how long a role may be missing
--   forget_ms      int     how long `workers_silent` is kept between two checks
--   kept           int     how many alarms are kept
-- REST str  the roles that there must be
--
-- Returns {raised: "silent" | "back" | "", missing: str}  the alarm of this call, and the missing roles with commas
local alive, missing = {}, {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', key.workers, '(' .. digits(now - arg.alive_ms), '+inf')) do
  alive[string.match(member, '^%S+')] = true
end
for _, role in ipairs(rest) do
  if not alive[role] then missing[#missing + 1] = role end
end

-- 1. all roles have a worker: resolve the alarm
if #missing == 0 then
  redis.call('DEL', key.workers_silent)
  local over = 'All kinds of workers are at work again.'
  local back = resolve_state(key.alarms, key.active_alarms, arg.kept, 'workers_silent', over)
  return {back and 'back' or '', ''}
end

-- 2. some have none: for how long?
local names = table.concat(missing, ', ')
local since = redis.call('GET', key.workers_silent) or digits(now)
redis.call('SET', key.workers_silent, since, 'PX', arg.forget_ms)
if now - since < tonumber(arg.grace_ms) then return {'', names} end

-- 3. for too long: an alarm, if anything waits for them
local work = redis.call('ZCARD', key.line) + redis.call('ZCARD', key.later)
  + redis.call('ZCARD', key.slots) + redis.call('ZCARD', key.due_deliver)
if not arg.expected and work == 0 then return {'', names} end
local message = 'No worker of these kinds has been seen for ' .. digits((now - since) / 1000)
  .. ' s: ' .. names .. '. What they do waits; start `filmgate worker`, or look at its log.'
local alarm = {kind = 'workers_silent', about = '', message = message, job = '', request = '', level = #missing}
return {raise_state(key.alarms, key.active_alarms, arg.kept, alarm) and 'silent' or '', names}
