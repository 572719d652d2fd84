-- What an event remembers of a job: the whole record but its input and the submission's nonce.
local function snapshot(job_key)
  local flat = redis.call('HGETALL', job_key)
  local record = {}
  for i = 1, #flat, 2 do
    if flat[i] ~= 'input' and flat[i] ~= 'nonce' then
      record[flat[i]] = flat[i + 1]
    end
  end
  return cjson.encode(record)
end

-- Writes the team's event `kind` for the job: returns the event's id, the job's new sequence, and the snapshot.
-- The stream forgets what is older than the retention, and expires when the team falls silent for as long.
local function write_event(job_key, events_key, kind, retention_ms)
  local sequence = redis.call('HINCRBY', job_key, 'sequence', 1)
  local record = snapshot(job_key)
  local id = redis.call('XADD', events_key, 'MINID', '~', whole(now - retention_ms), '*',
    'type', kind, 'job', redis.call('HGET', job_key, 'id'), 'sequence', sequence, 'at', whole(now), 'record', record)
  redis.call('PEXPIRE', events_key, retention_ms)
  return id, sequence, record
end

-- Writes an event of the team that is about no single job; `text` is its JSON. Returns the event's id.
local function write_notice(events_key, kind, text, retention_ms)
  local id = redis.call('XADD', events_key, 'MINID', '~', whole(now - retention_ms), '*',
    'type', kind, 'at', whole(now), 'notice', text)
  redis.call('PEXPIRE', events_key, retention_ms)
  return id
end
