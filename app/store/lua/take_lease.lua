#!lua flags=allow-oom
-- Gives a lease to this process, or takes it back, unless another one has it.
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
if arg.lease_ms == '0' then
  redis.call('DEL', key.lease)
else
  redis.call('SET', key.lease, arg.token, 'PX', arg.lease_ms)
end
return 1
