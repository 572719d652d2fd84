#!lua
-- Does the store take writes, and how much has room? It changes nothing: the server refuses a script that could
-- write, before it begins, where memory is used up, the disk takes nothing, replicas are missing, or it is a replica.
--
-- KEYS
-- ARGV
--
-- Returns bytes until memory is used up, as the server counts them, or nil where it has no limit
local memory = redis.call('INFO', 'memory')
local function bytes(name)
  return tonumber(string.match(memory, name .. ':(%d+)')) or 0
end
local most = bytes('\nmaxmemory')
return most > 0 and most - bytes('\nused_memory') + bytes('\nmem_not_counted_for_evict') or nil
