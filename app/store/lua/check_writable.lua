#!lua
-- Asks how much memory the store has left, as a script that may write. The server refuses such a script before it
-- starts when memory is used up, the disk takes nothing, replicas are missing, or it is a replica.
--
-- KEYS
-- ARGV
--
-- Returns int | None  bytes until memory is used up, as the server counts them; nil where it has no limit
local memory = redis.call('INFO', 'memory')
local function bytes(name)
  return tonumber(string.match(memory, name .. ':(%d+)')) or 0
end
local most = bytes('\nmaxmemory')
return most > 0 and most - bytes('\nused_memory') + bytes('\nmem_not_counted_for_evict') or nil
