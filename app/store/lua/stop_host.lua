#!lua flags=allow-oom
-- Forgets a process that stops in order; the one that it replaced, if still gone, stays replaced.
--
-- KEYS
--   hosts          hash    `role host:pid` to what it reported, as JSON
-- ARGV
--   name           str     `role host:pid`
--   gone           str     the one that it replaced, or ""
--   at_ms          int     when that one reported last
--
-- Returns bool  whether it left a note
redis.call('HDEL', key.hosts, arg.name)
local known = redis.call('HGET', key.hosts, arg.gone)
local record = known and cjson.decode(known)
if not record or record.at_ms ~= tonumber(arg.at_ms) then
  return 0
end
record.replaced_by = arg.name
redis.call('HSET', key.hosts, arg.gone, cjson.encode(record))
return 1
