#!lua flags=allow-oom
-- Gives a lease to this process, or takes it back, unless another one has it.
--
-- Most ask every second: a lease of which more than two thirds are left is not written again, to spare the disk.
--
-- KEYS
--   lease          string  the token of the process that has it
-- ARGV
--   token          str     this process's
--   lease_ms       int     for how long from now on; 0 ends it
--
-- Returns bool  false when another process has it
local holder = redis.call('GET', key.lease)
if holder and holder ~= arg.token then
  return 0
end
local is_fresh = holder and redis.call('PTTL', key.lease) * 3 > tonumber(arg.lease_ms) * 2
if arg.lease_ms == '0' then
  redis.call('DEL', key.lease)
elseif not is_fresh then
  redis.call('SET', key.lease, arg.token, 'PX', arg.lease_ms)
end
return 1
