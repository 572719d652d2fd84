#!lua flags=allow-oom
-- Records that a process of a host is alive, its settings, and how far its clock is from the store's. Whoever
-- reports is not gone: that another replaced it is forgotten.
--
-- USES clock
-- KEYS
--   hosts          hash    `role host:pid` to what it reported, as JSON
-- ARGV
--   name           str     `role host:pid`
--   wall_ms        int     the host's own time
--   settings       str     the settings on which all hosts must agree, as JSON
--   kept_ms        int     how long the hash is kept without any host
--
-- Returns int  the store's time (ms)
local known = redis.call('HGET', key.hosts, arg.name)
local began = known and cjson.decode(known).began_ms or now
local record = {at_ms = now, began_ms = began, clock_ms = tonumber(arg.wall_ms) - now, settings = arg.settings}
redis.call('HSET', key.hosts, arg.name, cjson.encode(record))
redis.call('PEXPIRE', key.hosts, arg.kept_ms)
return now
