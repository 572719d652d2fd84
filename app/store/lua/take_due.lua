#!lua flags=allow-oom
-- Takes what is due in one step, and hides it for the visibility timeout. Lost refs come due again.
--
-- USES clock
-- KEYS
--   due            zset    refs by due time (ms)
-- ARGV
--   limit          int     refs at most
--   visibility_ms  int     how long a taken ref is hidden
--
-- Returns {now_ms: int, *refs: str}
local refs = redis.call('ZRANGEBYSCORE', key.due, '-inf', digits(now), 'LIMIT', 0, arg.limit)
for _, ref in ipairs(refs) do
  redis.call('ZADD', key.due, 'XX', digits(now + arg.visibility_ms), ref)
end
table.insert(refs, 1, now)
return refs
