#!lua flags=allow-oom
-- Forgets files that were deleted from the storage; one that is on its way there again stays.
--
-- USES clock kept
-- KEYS
-- ARGV
-- REST str  the names
--
-- Returns int  how many were forgotten
local count = 0
for _, file in ipairs(rest) do
  local state = file_state(file)
  if not state or state == 'gone' then
    count = count + redis.call('ZREM', KEPT, file)
    redis.call('HDEL', KEPT_SIZES, file)
  end
end
return count
