-- What a delivery keeps of a job: the record without its input and nonce. A message must stay the same for as long as
-- it may be sent again, which can be longer than the record is kept.
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

-- Numbers one more event of a job; returns what an event and its deliveries need of the record.
local function next_event(job_key)
  local sequence = redis.call('HINCRBY', job_key, 'sequence', 1)
  local job = redis.call('HMGET', job_key, 'id', 'team', 'model', 'charged_micro', 'held_reason')
  return {id = job[1], team = job[2], model = job[3], charged_micro = job[4], held_reason = job[5], sequence = sequence}
end

-- Writes the event `kind` of a job; returns the event's id. An event holds what the record will not show later;
-- readers take the rest from the record (`records.job_at`). There are five for each job, so words that are always the
-- same are left out, and the time, which is in the id. When the clock has gone back, the id has another time, and the
-- event is written in full.
-- The stream drops what is older than the retention, and expires when the team has no event for as long.
local function write_event(job, events_key, kind, retention_ms)
  local charged, held, oldest = job.charged_micro or '', job.held_reason or '', digits(now - retention_ms)
  local id = redis.pcall('XADD', events_key, 'MINID', '~', oldest, digits(now) .. '-*',
    'type', string.sub(kind, #'job.' + 1), 'job', string.sub(job.id, #'job_' + 1), 'sequence', job.sequence,
    'charged', charged, 'held', held)
  if type(id) ~= 'string' then
    id = redis.call('XADD', events_key, 'MINID', '~', oldest, '*', 'type', kind, 'job', job.id,
      'sequence', job.sequence, 'at', digits(now), 'charged', charged, 'held', held)
  end
  redis.call('PEXPIRE', events_key, retention_ms)
  return id
end

-- Writes a team's event that is about no job; `text` is its JSON. Returns the event's id.
local function write_notice(events_key, kind, text, retention_ms)
  local id = redis.call('XADD', events_key, 'MINID', '~', digits(now - retention_ms), '*',
    'type', kind, 'at', digits(now), 'notice', text)
  redis.call('PEXPIRE', events_key, retention_ms)
  return id
end
