#!lua flags=allow-oom
-- Sets when taken refs, which are hidden, are due next. A ref whose due time has changed since it was taken keeps it:
-- a webhook or a cancellation made it due at once, another process took it after its visibility, or it left the step.
--
-- KEYS
--   due            zset    refs by due time (ms)
-- ARGV
-- REST str  ref, until when it was hidden (ms), when it is due next (ms), …
--
-- Returns int  how many were set
local count = 0
for i = 1, #rest, 3 do
  if tonumber(redis.call('ZSCORE', key.due, rest[i]) or '-1') == tonumber(rest[i + 1]) then
    redis.call('ZADD', key.due, rest[i + 2], rest[i])
    count = count + 1
  end
end
return count
