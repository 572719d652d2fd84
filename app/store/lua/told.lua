#!lua flags=allow-oom
-- Notes that a caller was told of its job, or has asked for it by its id. Once both are so, the same request sent
-- again is a new wish, and no repeat of one whose answer was lost: the record of the first is deleted.
--
-- USES clock idem
-- KEYS
--   job            hash    the record
--   idem           string  what the request's derived key leads to
--   idem_before    hash    the same, as an older version wrote it
-- ARGV
--   id             the job's id
--   answered       "1" when the whole answer was written
--   polled         "1" when the caller has asked for the job by its id
--
-- Returns {"done", now_ms} once the record is gone | {"waits", now_ms} for the other of the two | {"stale", now_ms}
local job = redis.call('HMGET', key.job, 'repost', 'repost_answered', 'repost_polled')
if not job[1] then
  return {'stale', whole(now)}
end
local answered, polled = job[2] or arg.answered == '1', job[3] or arg.polled == '1'
if not (answered and polled) then
  redis.call('HSET', key.job, answered and 'repost_answered' or 'repost_polled', '1')
  return {'waits', whole(now)}
end
local found, first = idem_found(key.idem, key.idem_before)
if first == arg.id then
  redis.call('DEL', found)
end
redis.call('HDEL', key.job, 'repost', 'repost_answered', 'repost_polled')
return {'done', whole(now)}
