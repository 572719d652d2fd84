#!lua flags=allow-oom
-- Records that the files of a job were copied, or that they will not be. A job that waits for that goes on.
--
-- 1. refuse when the job is gone, erased, or in a state that has no files: the caller deletes what it has copied
-- 2. it waits for its copies: write its output, and let it end now
-- 3. it has ended: write its output and when it expires, and pack the record again
-- 4. nothing is due for it any more
--
-- USES clock line packing
-- KEYS
--   job            hash    the record
--   due_keep       zset    jobs whose files are to be copied
--   due_finalize   zset    the step that ends a job
--   uncopied       zset    jobs whose files could not be copied several times, by how often
--   wake           list    a token that ends a lane's wait
-- ARGV
--   ref            str     team/job
--   output         str     the output with its copies, JSON
--   expires_ms     int?    when the files expire; nil leaves that as it is
--   packed         bytes   the packed part of an ended record; "" to leave the record as it is
--   packed_names   str     the fields in it, with commas
--   packed_facts   str     the facts in it: lines of name and value
-- REST str  the job's facts as field, value, …, which may be packed in the record
--
-- Returns bool  false when it was refused
local status, erased = unpack(redis.call('HMGET', key.job, 'status', 'erased'))
redis.call('ZREM', key.uncopied, arg.ref)
redis.call('ZREM', key.due_keep, arg.ref)
if erased == '1' or (status ~= 'finalizing' and status ~= 'succeeded') then
  return 0
end
if status == 'finalizing' then
  redis.call('HSET', key.job, 'pending_output', arg.output)
  redis.call('ZADD', key.due_finalize, 'XX', 0, arg.ref)
  wake_lane(key.wake)
  return 1
end
restore_facts(key.job, rest)
redis.call('HSET', key.job, 'output', arg.output)
redis.call('HDEL', key.job, 'copy_failures')
if arg.expires_ms then
  redis.call('HSET', key.job, 'expires_ms', arg.expires_ms)
end
pack_record(key.job, arg.packed_names, arg.packed_facts, arg.packed, redis.call('PTTL', key.job))
return 1
