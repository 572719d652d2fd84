#!lua flags=allow-oom
-- Raises an alarm when a kind of worker is missing although there is work, and one when all are back. Each is raised
-- once, however many processes ask.
--
-- USES clock
-- KEYS
--   workers        zset    `role host:pid` by when (ms) it was last said to be alive
--   missing_since  string  since when (ms) no worker of some role is heard; forgotten when nobody listens
--   raised         string  there from the alarm until all are back
--   alarms         stream  alarms, the newest last
--   line           zset    jobs in line
--   later          zset    jobs that wait to stand in line
--   slots          zset    jobs at fal
--   due_deliver    zset    destinations of webhooks
-- ARGV
--   expected       bool    where workers are missed although there is no work
--   alive_ms       int     after which a worker is not heard any more
--   grace_ms       int     for how long they may be silent
--   forget_ms      int     after which a silence that nobody listens to is forgotten
--   kept           int     how many alarms are remembered
-- REST str  the roles that there must be
--
-- Returns {rung: "silent" | "back" | "", missing: str}  what was rung, and the roles that are not heard, with commas
local heard, missing = {}, {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', key.workers, '(' .. digits(now - arg.alive_ms), '+inf')) do
  heard[string.match(member, '^%S+')] = true
end
for _, role in ipairs(rest) do
  if not heard[role] then missing[#missing + 1] = role end
end
local function ring(kind, message)
  redis.call('XADD', key.alarms, 'MAXLEN', '~', arg.kept, '*',
    'kind', kind, 'message', message, 'job', '', 'request', '')
end

-- 1. all are there: the silence has ended, and whoever was told of it is told so
if #missing == 0 then
  redis.call('DEL', key.missing_since)
  if redis.call('DEL', key.raised) == 0 then return {'', ''} end
  ring('workers_back', 'All kinds of workers are at work again.')
  return {'back', ''}
end

-- 2. some are not: since when, as those who listened without a pause know it
local names = table.concat(missing, ', ')
local since = redis.call('GET', key.missing_since) or digits(now)
redis.call('SET', key.missing_since, since, 'PX', arg.forget_ms)
if now - since < tonumber(arg.grace_ms) then return {'', names} end

-- 3. for too long: an alarm, if anything waits for them
local work = redis.call('ZCARD', key.line) + redis.call('ZCARD', key.later)
  + redis.call('ZCARD', key.slots) + redis.call('ZCARD', key.due_deliver)
if not arg.expected and work == 0 then return {'', names} end
if not redis.call('SET', key.raised, '1', 'NX', 'PX', 30 * 86400000) then return {'', names} end
ring('workers_silent', 'No worker of these kinds has been seen for ' .. digits((now - since) / 1000)
  .. ' s: ' .. names .. '. What they do waits; start `filmgate worker`, or look at its log.')
return {'silent', names}
