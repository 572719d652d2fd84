#!lua flags=no-writes
-- Finds which of these keys and browser tokens are revoked or have expired, in one round trip.
--
-- USES clock credential
-- KEYS
-- ARGV
-- REST str  names of keys and tokens
--
-- Returns list[int]  1 where it opens nothing, else 0, in the order given
local found = {}
for i, name in ipairs(rest) do
  found[i] = is_valid(name) and 0 or 1
end
return found
