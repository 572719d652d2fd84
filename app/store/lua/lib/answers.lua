-- Answers to submissions of fal's clients that are not known to have reached their callers: a hash for all equal ones,
-- from an answer's id (its process, a dot, a number) to `since job state`. The state is `open`; `lost`; or a time (ms),
-- when its process last confirmed that the caller was still connected.
local function owe_answer(answers_key, answer, since, job, state, kept_ms)
  redis.call('HSET', answers_key, answer, since .. ' ' .. job .. ' ' .. state)
  redis.call('PEXPIRE', answers_key, kept_ms)
end

-- 1. an answer that its process is still giving, or confirms to be open since the question, was not lost
-- 2. the oldest one that was lost: its id and its job
-- 3. else the job of one of which only another process knows; without patience, that one counts as lost
local function find_lost_answer(answers_key, own, open, asked_ms, patient, kept_ms)
  local process, in_progress = string.match(own, '^[^.]+%.'), {}
  for id in string.gmatch(open, '%S+') do
    in_progress[id] = true
  end
  local lost, lost_job, lost_since, unknown
  local owed = redis.call('HGETALL', answers_key)
  for i = 1, #owed, 2 do
    local id = owed[i]
    local since_text, job, state = string.match(owed[i + 1], '^(%d+) (%S+) (%S+)$')
    local since, confirmed = tonumber(since_text), tonumber(state)
    if since + kept_ms <= now then
      redis.call('HDEL', answers_key, id)
    elseif not (in_progress[id] or since > asked_ms or (confirmed and confirmed >= asked_ms)) then
      if state == 'lost' or string.sub(id, 1, #process) == process or not patient then
        if not lost or since < lost_since then
          lost, lost_job, lost_since = id, job, since
        end
      else
        unknown = job
      end
    end
  end
  return lost, lost_job, unknown
end
