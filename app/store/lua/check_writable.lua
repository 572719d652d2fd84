#!lua
-- Asks how much memory the store has left, as a script that may write. The server refuses such a script before it
-- starts when memory is used up, the disk takes nothing, replicas are missing, or it is a replica.
--
-- KEYS
-- ARGV
--
-- Returns int | None  bytes left, as the server counts them; nil where memory has no limit
local memory = redis.call('INFO', 'memory')
local function bytes(name)
  return tonumber(string.match(memory, name .. ':(%d+)')) or 0
end
local max = bytes('\nmaxmemory')
return max > 0 and max - bytes('\nused_memory') + bytes('\nmem_not_counted_for_evict') or nil
