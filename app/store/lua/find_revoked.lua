#!lua flags=no-writes
-- Finds which of these keys and browser tokens are revoked or have expired, in one round trip.
--
-- USES clock credential
-- KEYS
-- ARGV
-- REST str  their names in the store
--
-- Returns list[int]  1 for a revoked or expired one, else 0, in the order given
local found = {}
for i, name in ipairs(rest) do
  found[i] = is_valid(name) and 0 or 1
end
return found
