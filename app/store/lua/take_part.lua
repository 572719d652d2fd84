-- Notes one part of an upload before it is written to disk, so that all parts together never pass the limit.
--
-- KEYS
--   upload         hash    the upload
-- ARGV
--   number         of the part; one that comes again replaces the first
--   etag           of its bytes
--   size           of its bytes
--   limit          bytes that all parts may have together
--
-- Returns "taken" | "too_large" | "finished" | "missing"
if redis.call('HEXISTS', key.upload, 'user') == 0 then
  return 'missing'
end
if redis.call('HEXISTS', key.upload, 'url') == 1 then
  return 'finished'
end
local together = tonumber(arg.size)
local fields = redis.call('HGETALL', key.upload)
for i = 1, #fields, 2 do
  local number = string.match(fields[i], '^part:(%d+)$')
  if number and number ~= arg.number then
    together = together + tonumber(string.match(fields[i + 1], '^(%d+) '))
  end
end
if together > tonumber(arg.limit) then
  return 'too_large'
end
redis.call('HSET', key.upload, 'part:' .. arg.number, arg.size .. ' ' .. arg.etag)
return 'taken'
