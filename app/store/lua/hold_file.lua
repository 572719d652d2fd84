-- Counts a file before it is written to the storage: there is no object that the store does not know.
--
-- 1. refuse when the team's storage limit is reached; a file of this name that is there already counts as replaced
-- 2. hold its bytes, unless it is only asked; when nothing more is heard of it, it is deleted at its time
--
-- USES clock kept
-- KEYS
--   team           hash    the team
-- ARGV
--   file           str     its name
--   team_id        str     the team's id
--   size           int     in bytes
--   lifetime_ms    int     until it is deleted, unless it is kept
--   only_ask       bool    change nothing
--
-- Returns {"held" | "over", used: str, held: str, limit: str | None}  the team's bytes before, and its limit
local used = tonumber(redis.call('HGET', KEPT_BYTES, arg.team_id .. ' used') or '0')
local held = tonumber(redis.call('HGET', KEPT_BYTES, arg.team_id .. ' held') or '0')
local limit = tonumber(redis.call('HGET', key.team, 'storage_bytes') or '-1')
local before, bytes = file_state(arg.file)
local replaced = before and before ~= 'gone' and tonumber(bytes) or 0
local outcome = 'held'
if limit >= 0 and used + held - replaced + tonumber(arg.size) > limit then
  outcome = 'over'
elseif not arg.only_ask then
  set_file_state(arg.file, 'held', arg.size)
  redis.call('ZADD', KEPT, digits(now + arg.lifetime_ms), arg.file)
end
return {outcome, digits(used), digits(held), limit >= 0 and digits(limit) or false}
