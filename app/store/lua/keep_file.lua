#!lua flags=allow-oom
-- Records that a file is in the storage, and keeps it for its team's retention.
--
-- USES clock retention kept
-- KEYS
-- ARGV
--   file           str     its name
--   team_id        str     the team's id
--   size           int     in bytes, as it was written
--   retention_ms   int     how long the gateway keeps files; a team may have its own days
--   longer_ms      int     how much longer than a job of the same age
--
-- Returns int  how long (ms) it stays; 0 when it was dropped meanwhile, or its time was over: it is deleted
local before = file_state(arg.file)
if not before or before == 'gone' then
  return 0
end
set_file_state(arg.file, 'used', arg.size)
local stays_ms = retention_of(arg.team_id, arg.retention_ms) + arg.longer_ms
redis.call('ZADD', KEPT, digits(now + stays_ms), arg.file)
return stays_ms
