#!lua flags=allow-oom
-- Hands out what is due in one step, and hides it for the visibility timeout: what is lost comes due again.
--
-- USES clock
-- KEYS
--   due            zset    refs by the time (ms) they must be looked at
-- ARGV
--   limit          int     refs at most
--   visibility_ms  int     how long a handed-out ref stays hidden
--
-- Returns {now_ms: int, *refs: str}
local refs = redis.call('ZRANGEBYSCORE', key.due, '-inf', digits(now), 'LIMIT', 0, arg.limit)
for _, ref in ipairs(refs) do
  redis.call('ZADD', key.due, 'XX', digits(now + arg.visibility_ms), ref)
end
table.insert(refs, 1, now)
return refs
