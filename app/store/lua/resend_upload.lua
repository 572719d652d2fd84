#!lua flags=allow-oom
-- Records where fal reads a file that was sent to it once more.
--
-- USES clock
-- KEYS
--   upload         hash    the upload
-- ARGV
--   url            str     the new URL
--
-- Returns bool  false when the upload has expired
if redis.call('HEXISTS', key.upload, 'user') == 0 then
  return 0
end
redis.call('HSET', key.upload, 'url', arg.url, 'sent_ms', digits(now))
return 1
