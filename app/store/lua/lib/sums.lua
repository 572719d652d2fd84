-- Sums: what each owner (the gateway, a team, a user, a browser token) has used and holds, in total and in every
-- calendar period. A job counts in the periods of its admission until its end. Which windows there are is decided at
-- admission (app/domain/limits.py) and written with the job.
local UNNAMED = {'minute', 'hour', 'day', 'month'}
local TOKEN_KEPT = 3456000000  -- how long a browser token's sums are kept after its last admission (ms)
local COUNTED = {'jobs', 'usd', 'video_seconds'}
local CLOSED = {'held:jobs', 'used:jobs', 'held:usd', 'used:usd', 'held:video_seconds', 'used:video_seconds'}

local function split(text)
  local parts = {}
  for part in string.gmatch(text, '%S+') do
    parts[#parts + 1] = part
  end
  return parts
end

-- Reads `minute=1795… day=1795…/1795…`: by window, the team's number and the gateway's. Older versions wrote numbers
-- without names, the team's and then the gateway's; or only the team's, where the gateway's are the same.
local function by_window(text)
  local found = {}
  for window, team, gateway in string.gmatch(text, '(%w+)=(%d+)/?(%d*)') do
    found[window] = {team = team, gateway = gateway ~= '' and gateway or team}
  end
  if not string.find(text, '=', 1, true) then
    local numbers = split(text)
    for i = 1, math.min(#numbers, #UNNAMED) do
      found[UNNAMED[i]] = {team = numbers[i], gateway = numbers[i + #UNNAMED] or numbers[i]}
    end
  end
  return found
end

-- The same in the form that older versions read, so that a job may end under one of them.
local function unnamed(starts)
  local team, gateway = {}, {}
  for i, window in ipairs(UNNAMED) do
    team[i], gateway[i] = starts[window].team, starts[window].gateway
  end
  return table.concat(team, ' ') .. ' ' .. table.concat(gateway, ' ')
end

-- The owner's number of a window: the team and its users follow the team's time zone.
local function of_owner(owner, numbers)
  return owner.kind == 'gateway' and numbers.gateway or numbers.team
end

-- True when the store's clock is in all of these periods.
local function are_current(starts, ends)
  for window, start in pairs(starts) do
    local stop = ends[window]
    if now < math.max(start.team, start.gateway) or now >= math.min(stop.team, stop.gateway) then
      return false
    end
  end
  return true
end

-- `{kind, id}` of every owner whose limits apply to a job.
local function owners_of(team, user, token)
  local owners = {{kind = 'gateway', id = 'gateway'}, {kind = 'team', id = team}, {kind = 'user', id = user}}
  if token and token ~= '' then
    owners[4] = {kind = 'token', id = token}
  end
  return owners
end

local function total_key(owner)
  return prefix .. 'total:' .. owner.id
end

-- The key of the owner's sums in the period of a calendar window that began then.
local function period_key(owner, window, start)
  return prefix .. 'period:' .. window .. ':' .. start .. ':' .. owner.id
end

-- Every key of the owner's sums in these periods; a token has only a total, because it lives for minutes.
local function sum_keys(owner, starts)
  local names = {total_key(owner)}
  if owner.kind ~= 'token' then
    for window, start in pairs(starts) do
      names[#names + 1] = period_key(owner, window, of_owner(owner, start))
    end
  end
  return names
end

-- Adds the job to one owner's sums, as held; true when they held no other. Two commands are cheaper than three.
local function hold_sum(name, need)
  local held = redis.call('HMGET', name, 'held:jobs', 'held:usd', 'held:video_seconds')
  redis.call('HSET', name, 'held:jobs', digits((held[1] or 0) + need.jobs),
    'held:usd', digits((held[2] or 0) + need.usd), 'held:video_seconds', digits((held[3] or 0) + need.video_seconds))
  return not held[1] or held[1] == '0'
end

-- Adds the job to the sums of all its owners. `kept` says how long (ms) those of a period are kept after its end.
local function hold_sums(owners, starts, ends, kept, need)
  for _, owner in ipairs(owners) do
    hold_sum(total_key(owner), need)
    if owner.kind == 'token' then
      redis.call('PEXPIRE', total_key(owner), digits(TOKEN_KEPT))
    else
      for window, start in pairs(starts) do
        local name = period_key(owner, window, of_owner(owner, start))
        if hold_sum(name, need) then  -- sums that hold a job have their expiry
          redis.call('PEXPIREAT', name, digits(of_owner(owner, ends[window]) + by_window(kept)[window].team))
        end
      end
    end
  end
end

-- Removes the job from what one owner's sums hold, if they still exist; `spend` counts it as used.
local function close_sum(name, need, spend)
  local sums, changed = redis.call('HMGET', name, unpack(CLOSED)), {}
  if not sums[1] and redis.call('EXISTS', name) == 0 then
    return
  end
  for i, unit in ipairs(COUNTED) do
    changed[#changed + 1] = CLOSED[2 * i - 1]
    changed[#changed + 1] = digits((sums[2 * i - 1] or 0) - need[unit])
    if spend then
      changed[#changed + 1] = CLOSED[2 * i]
      changed[#changed + 1] = digits((sums[2 * i] or 0) + need[unit])
    end
  end
  redis.call('HSET', name, unpack(changed))
end

-- Removes the job from what is held by the sums of all its owners; `spend` counts it as used.
local function close_sums(owners, starts, need, spend)
  for _, owner in ipairs(owners) do
    for _, name in ipairs(sum_keys(owner, starts)) do
      close_sum(name, need, spend)
    end
  end
end

-- False when one of the existing sums would fall below zero by this amount.
local function can_subtract(owners, starts, field, amount)
  for _, owner in ipairs(owners) do
    for _, name in ipairs(sum_keys(owner, starts)) do
      if redis.call('EXISTS', name) == 1 and tonumber(redis.call('HGET', name, field) or '0') < amount then
        return false
      end
    end
  end
  return true
end

-- Adds micro-dollars, which may be negative, to a field of the existing sums.
local function add_to_sums(owners, starts, field, amount)
  for _, owner in ipairs(owners) do
    for _, name in ipairs(sum_keys(owner, starts)) do
      if redis.call('EXISTS', name) == 1 then
        redis.call('HINCRBY', name, field, digits(amount))
      end
    end
  end
end

-- The job's periods as text. A packed record has a field for each window; one that an older version packed has one for
-- the team's and one for the gateway's.
local function starts_of(job_key)
  local found = redis.call('HMGET', job_key, 'starts', 'periods', 'gateway_periods')
  if found[1] or found[2] then
    return found[1] or found[2] .. ' ' .. (found[3] or '')
  end
  local flat, words = redis.call('HGETALL', job_key), {}
  for i = 1, #flat, 2 do
    local window = string.match(flat[i], '^start:(%w+)$')
    words[#words + 1] = window and window .. '=' .. flat[i + 1]
  end
  return table.concat(words, ' ')
end

-- A job's owners, its periods, and its seconds of video.
local function owners_and_periods(job_key)
  local job = redis.call('HMGET', job_key, 'team', 'user', 'token', 'seconds')
  return owners_of(job[1], job[2], job[3]), by_window(starts_of(job_key)), tonumber(job[4])
end

-- Takes an ended job out of its owners' sets of live and queued jobs.
local function leave_live_sets(team, user, id)
  for _, owner in ipairs(owners_of(team, user)) do
    redis.call('SREM', prefix .. 'live:' .. owner.id, id)
    redis.call('SREM', prefix .. 'queued:' .. owner.id, id)
  end
end

-- Adds a job to its owners' sets of queued jobs, or removes it: SADD | SREM.
local function change_queued_sets(team, user, id, verb)
  for _, owner in ipairs(owners_of(team, user)) do
    redis.call(verb, prefix .. 'queued:' .. owner.id, id)
  end
end
