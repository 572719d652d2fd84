#!lua flags=allow-oom
-- Notes that a caller was told of its job, or has asked for it by its id. Once both are so, the same request sent
-- again is a new wish, and no repeat of one whose answer was lost: the record of the first is deleted.
--
-- USES idempotency
-- KEYS
--   job            hash    the record
--   idempotency    string  what the request's derived key leads to
--   idempotency_before hash    the same, as an older version wrote it
-- ARGV
--   id             str     the job's id
--   answered       bool    when the whole answer was written
--   polled         bool    when the caller has asked for the job by its id
--
-- Returns None
local job = redis.call('HMGET', key.job, 'repost', 'repost_answered', 'repost_polled')
if not job[1] then
  return
end
local answered, polled = job[2] or arg.answered, job[3] or arg.polled
if not (answered and polled) then
  redis.call('HSET', key.job, answered and 'repost_answered' or 'repost_polled', '1')
  return
end
local found, first = find_idempotent(key.idempotency, key.idempotency_before)
if first == arg.id then
  redis.call('DEL', found)
end
redis.call('HDEL', key.job, 'repost', 'repost_answered', 'repost_polled')
