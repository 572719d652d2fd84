#!lua flags=allow-oom
-- Takes files whose time is over, for deletion; what is not confirmed as deleted is taken again later.
--
-- 1. a clip that a job still shows stays until the job's record goes
-- 2. the bytes of the others count no longer; they are hidden for as long as a deletion may take
--
-- USES clock kept
-- KEYS
-- ARGV
--   limit          int     files at most
--   hidden_ms      int     until they are taken again
--   live_ms        int     until a clip is looked at again whose job has no expiry yet
--
-- Returns list[str]
local found = {}
for _, file in ipairs(redis.call('ZRANGEBYSCORE', KEPT, '-inf', digits(now), 'LIMIT', 0, arg.limit)) do
  local ref = string.match(file, '^clips/([^/]+/[^/]+)/')
  local job = ref and prefix .. 'job:' .. ref
  if job and redis.call('EXISTS', job) == 1 and redis.call('HEXISTS', job, 'erased') == 0
    and file_state(file) ~= 'gone' then
    local left = redis.call('PTTL', job)
    redis.call('ZADD', KEPT, digits(now + (left > 0 and left or arg.live_ms) + 1), file)
  else
    set_file_state(file, 'gone')
    redis.call('ZADD', KEPT, digits(now + arg.hidden_ms), file)
    found[#found + 1] = file
  end
end
return found
