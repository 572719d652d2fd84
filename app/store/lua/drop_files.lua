#!lua flags=allow-oom
-- Makes files due for deletion: their bytes count no longer. One that is not counted may still be on its way.
--
-- USES clock kept
-- KEYS
-- ARGV
-- REST str  the names
--
-- Returns int  how many were counted
local count = 0
for _, file in ipairs(rest) do
  count = count + (drop_file(file) and 1 or 0)
end
return count
