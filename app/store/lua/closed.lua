#!lua flags=no-writes
-- Which of these keys and browser tokens open nothing any more, in one round trip for all that a process looks after.
--
-- USES clock credential
-- KEYS
-- ARGV
--   prefix         of every key; a token's parent is found by it
-- REST names of keys and tokens
--
-- Returns {1 where it opens nothing, else 0, …} in the order given
local found = {}
for i, name in ipairs(rest) do
  found[i] = is_valid(arg.prefix, name) and 0 or 1
end
return found
