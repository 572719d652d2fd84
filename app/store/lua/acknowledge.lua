#!lua flags=allow-oom
-- Records that the caller got the answer, or polled the job by its id. After both, the same request is a new job and
-- no retry of one whose answer was lost: what is remembered of the first is deleted.
--
-- USES idempotency
-- KEYS
--   job            hash    the record
--   idempotency    string  what the key derived from the request leads to
--   idempotency_before hash  the same, written by an older version
-- ARGV
--   id             str     the job's id
--   answered       bool    the whole answer was written
--   polled         bool    the caller asked for the job by its id
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
