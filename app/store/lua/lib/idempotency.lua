-- Idempotency keys. Each is a string: TAG characters of the request's fingerprint, and the job's id without `job_`.
-- Every job leaves one, so it is short. Older versions wrote a hash under a longer name.
local TAG = 12

-- The name under which it is remembered, the job, and whether the request is the same; nothing for an unused key.
local function find_idempotent(idempotency_key, before_key, tag, fingerprint)
  local text = redis.call('GET', idempotency_key)
  if text then
    return idempotency_key, 'job_' .. string.sub(text, TAG + 1), string.sub(text, 1, TAG) == tag
  end
  local before = redis.call('HMGET', before_key, 'job', 'fingerprint')
  if before[1] then
    return before_key, before[1], before[2] == fingerprint
  end
end

local function remember_idempotent(idempotency_key, tag, job, kept_ms)
  redis.call('SET', idempotency_key, tag .. string.sub(job, #'job_' + 1), 'PX', kept_ms)
end
