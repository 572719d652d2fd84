#!lua flags=allow-oom
-- Writes the record of an ended job in the present form, if it is still as it was read. Its expiry stays.
--
-- USES clock packing
-- KEYS
--   job            hash    the record
-- ARGV
--   digest         str     SHA-1 of the record as it was read: names and values, each with a zero byte behind it
--   packed         bytes   the packed part of the record
-- REST str  field, value, … of the fields that are not packed
--
-- Returns bool  false when it has changed, or has expired
local flat = redis.call('HGETALL', key.job)
if #flat == 0 or redis.sha1hex(table.concat(flat, '\0') .. '\0') ~= arg.digest then
  return 0
end
local left_ms = redis.call('PTTL', key.job)
add_pieces(rest, arg.packed)
redis.call('DEL', key.job)
redis.call('HSET', key.job, unpack(rest))
if left_ms > 0 then
  redis.call('PEXPIRE', key.job, left_ms)
end
return 1
