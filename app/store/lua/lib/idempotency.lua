-- Idempotency keys. One is a string: MARK characters that tell another body, and the job's id without `job_`. It is that
-- short because there is one for each job. Older versions have written a hash under a longer name.
local MARK = 12

-- Of what is remembered the name, the job, and whether the request was the same; nothing where nothing is.
local function find_idempotent(idem_key, before_key, mark, fingerprint)
  local text = redis.call('GET', idem_key)
  if text then
    return idem_key, 'job_' .. string.sub(text, MARK + 1), string.sub(text, 1, MARK) == mark
  end
  local before = redis.call('HMGET', before_key, 'job', 'fingerprint')
  if before[1] then
    return before_key, before[1], before[2] == fingerprint
  end
end

local function remember_idempotent(idem_key, mark, job, kept_ms)
  redis.call('SET', idem_key, mark .. string.sub(job, #'job_' + 1), 'PX', kept_ms)
end
