-- The states of a job that the times in its record do not tell: an attempt after which it was in line again, or held.
-- Most jobs have none, so their records are as short as before.
local LONGEST = 800  -- characters; of more turns the newest are kept

-- Notes a change to `queued` or `held` in the field `turns`: `submitting=1795… queued=1795…/upstream_busy …`.
-- Nothing is noted of any other change.
local function note_turn(job_key, before, status, reason)
  if status ~= 'queued' and status ~= 'held' then
    return
  end
  local job = redis.call('HMGET', job_key, 'turns', 'claimed_ms')
  local turns = job[1] or ''
  if before == 'submitting' and job[2] then
    turns = turns .. ' submitting=' .. job[2]
  end
  turns = turns .. ' ' .. status .. '=' .. digits(now) .. (reason ~= '' and '/' .. reason or '')
  turns = string.gsub(turns, '^ ', '')
  while #turns > LONGEST do
    turns = string.gsub(turns, '^%S+ ', '')
  end
  redis.call('HSET', job_key, 'turns', turns)
end
