-- Writes a job that is admitted now into these indexes, and drops expired jobs from the old end of each.
local function index_job(indexes, id, job_key, retention_ms)
  local oldest = digits(now - retention_ms)  -- younger ones have not expired
  for _, index_key in ipairs(indexes) do
    redis.call('ZADD', index_key, digits(now), id)
    for _, old in ipairs(redis.call('ZRANGE', index_key, '-inf', oldest, 'BYSCORE', 'LIMIT', 0, 2)) do
      if redis.call('EXISTS', string.sub(job_key, 1, -1 - #id) .. old) == 0 then
        redis.call('ZREM', index_key, old)
      end
    end
  end
end
