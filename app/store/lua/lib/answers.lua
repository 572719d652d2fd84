-- Answers to submissions of fal's clients that are not known to have reached their callers: a hash for all equal ones,
-- from an answer's id (its process, a dot, a number) to `since job state`. The state is `open`; `lost`; or a time (ms),
-- when its process last confirmed that the caller was still connected.
local function owe_answer(answers_key, answer, since, job, state, kept_ms)
  redis.call('HSET', answers_key, answer, since .. ' ' .. job .. ' ' .. state)
  redis.call('PEXPIRE', answers_key, kept_ms)
end

-- `equal` is what the process of a new answer knows: when (ms) it first asked about equal ones, 0 for now; 1 while it
-- waits for other processes; the ids of those that it is giving itself.
--
-- 1. an answer that its process is still giving, or confirms to be open since the question, was not lost
-- 2. the oldest one that was lost: its id and its job
-- 3. else the job of one of which only another process knows; without patience, that one counts as lost
local function find_lost_answer(answers_key, own, equal, kept_ms)
  local process, in_progress = string.match(own, '^[^.]+%.'), {}
  local asked, patient, open = string.match(equal, '^(%d+) (%d)(.*)$')
  local asked_ms = asked == '0' and now or tonumber(asked)
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
      if state == 'lost' or string.sub(id, 1, #process) == process or patient == '0' then
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

-- The job of a lost answer, which the new one replaces; else, as a second value, the job of one of which only another
-- process knows.
local function replace_lost_answer(answers_key, answer, equal, kept_ms)
  if not answer then
    return
  end
  local lost, job, unknown = find_lost_answer(answers_key, answer, equal, tonumber(kept_ms))
  if lost then
    redis.call('HDEL', answers_key, lost)
    owe_answer(answers_key, answer, digits(now), job, 'open', kept_ms)
  end
  return job, unknown
end

-- Asks, by a mark on the job, whether a held call still waits for it.
local function mark_asked(job_key)
  if redis.call('EXISTS', job_key) == 1 then
    redis.call('HSET', job_key, 'repost_asked_ms', digits(now))
  end
end
