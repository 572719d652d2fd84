#!lua flags=allow-oom
-- Counts files on their way with no bytes: what they are joined to is counted instead. They stay until their time.
--
-- USES clock kept
-- KEYS
-- ARGV
-- REST str  the names
--
-- Returns int  how many
local count = 0
for _, file in ipairs(rest) do
  if file_state(file) == 'held' then
    set_file_state(file, 'held', '0')
    count = count + 1
  end
end
return count
