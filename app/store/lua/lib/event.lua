-- What a delivery remembers of a job: the whole record but its input and the submission's nonce. Its message stays the
-- same for as long as it may be sent again, which can be longer than the record is kept.
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

-- Writes the team's event `kind` for the job: returns the event's id and the job's new sequence. An event has what the
-- record will not say any more when somebody reads it; all else is taken from the record then (`records.job_at`).
-- There are five for each job, so words are left out that are always the same, and the time, which is in the id. Where
-- the clock has gone back the id says another time, and the event is written in full.
-- The stream forgets what is older than the retention, and expires when the team falls silent for as long.
local function write_event(job_key, events_key, kind, retention_ms)
  local sequence = redis.call('HINCRBY', job_key, 'sequence', 1)
  local job = redis.call('HMGET', job_key, 'id', 'charged_micro', 'held_reason')
  local charged, held, oldest = job[2] or '', job[3] or '', digits(now - retention_ms)
  local id = redis.pcall('XADD', events_key, 'MINID', '~', oldest, digits(now) .. '-*', 'type', string.sub(kind, #'job.' + 1),
    'job', string.sub(job[1], #'job_' + 1), 'sequence', sequence, 'charged', charged, 'held', held)
  if type(id) ~= 'string' then
    id = redis.call('XADD', events_key, 'MINID', '~', oldest, '*', 'type', kind, 'job', job[1], 'sequence', sequence,
      'at', digits(now), 'charged', charged, 'held', held)
  end
  redis.call('PEXPIRE', events_key, retention_ms)
  return id, sequence
end

-- Writes an event of the team that is about no single job; `text` is its JSON. Returns the event's id.
local function write_notice(events_key, kind, text, retention_ms)
  local id = redis.call('XADD', events_key, 'MINID', '~', digits(now - retention_ms), '*',
    'type', kind, 'at', digits(now), 'notice', text)
  redis.call('PEXPIRE', events_key, retention_ms)
  return id
end
