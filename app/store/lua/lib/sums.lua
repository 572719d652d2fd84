-- Sums: what each owner (the whole gateway, a team, a user, a browser token) has used and holds, in `total` and in
-- every calendar period. A job's periods are frozen at its admission; both numbers go back to the same ones.
local CALENDAR = {'minute', 'hour', 'day', 'month'}
-- How long a period is remembered after its end (ms). Money that comes back to an older one changes no limit.
local REMEMBERED = {minute = 600000, hour = 86400000, day = 3456000000, month = 34560000000}
local COUNTED = {'jobs', 'usd', 'video_seconds'}

local function split(text)
  local parts = {}
  for part in string.gmatch(text, '%S+') do
    parts[#parts + 1] = part
  end
  return parts
end

-- True when the store's clock is in all eight periods.
local function are_now(starts, ends)
  for i = 1, 8 do
    if now < tonumber(starts[i]) or now >= tonumber(ends[i]) then
      return false
    end
  end
  return true
end

-- `{kind, id}` of everyone whose limits a job falls under.
local function owners_of(team, user, token)
  local owners = {{kind = 'gateway', id = 'gateway'}, {kind = 'team', id = team}, {kind = 'user', id = user}}
  if token and token ~= '' then
    owners[4] = {kind = 'token', id = token}
  end
  return owners
end

local function total_key(prefix, owner)
  return prefix .. 'total:' .. owner.id
end

-- The key of the owner's sums in calendar window `i`. `starts` holds the team's four, then the gateway's four.
local function period_key(prefix, owner, i, starts)
  return prefix .. 'period:' .. CALENDAR[i] .. ':' .. starts[owner.kind == 'gateway' and i + 4 or i] .. ':' .. owner.id
end

-- Every key of the owner's sums for these periods; a token counts in total only, because it lives for minutes.
local function sum_keys(prefix, owner, starts)
  local names = {total_key(prefix, owner)}
  if owner.kind ~= 'token' then
    for i = 1, 4 do
      names[i + 1] = period_key(prefix, owner, i, starts)
    end
  end
  return names
end

-- Takes the job into the sums of all its owners, as held.
local function hold_sums(prefix, owners, starts, ends, need)
  for _, owner in ipairs(owners) do
    for i, name in ipairs(sum_keys(prefix, owner, starts)) do
      for _, unit in ipairs(COUNTED) do
        redis.call('HINCRBY', name, 'held:' .. unit, whole(need[unit]))
      end
      if owner.kind == 'token' then
        redis.call('PEXPIRE', name, whole(REMEMBERED.day))
      elseif i > 1 then
        local ends_at = ends[owner.kind == 'gateway' and i + 3 or i - 1]
        redis.call('PEXPIREAT', name, whole(ends_at + REMEMBERED[CALENDAR[i - 1]]))
      end
    end
  end
end

-- Takes the job out of what is held; `spend` counts it as used.
local function close_sums(prefix, owners, starts, need, spend)
  for _, owner in ipairs(owners) do
    for _, name in ipairs(sum_keys(prefix, owner, starts)) do
      if redis.call('EXISTS', name) == 1 then
        for _, unit in ipairs(COUNTED) do
          redis.call('HINCRBY', name, 'held:' .. unit, whole(-need[unit]))
          if spend then
            redis.call('HINCRBY', name, 'used:' .. unit, whole(need[unit]))
          end
        end
      end
    end
  end
end

-- False when a sum that is remembered would fall below zero by losing so much of a field.
local function may_lose(prefix, owners, starts, field, amount)
  for _, owner in ipairs(owners) do
    for _, name in ipairs(sum_keys(prefix, owner, starts)) do
      if redis.call('EXISTS', name) == 1 and tonumber(redis.call('HGET', name, field) or '0') < amount then
        return false
      end
    end
  end
  return true
end

-- Adds dollars (micro, may be negative) to a field of the sums that are remembered.
local function add_to_sums(prefix, owners, starts, field, amount)
  for _, owner in ipairs(owners) do
    for _, name in ipairs(sum_keys(prefix, owner, starts)) do
      if redis.call('EXISTS', name) == 1 then
        redis.call('HINCRBY', name, field, whole(amount))
      end
    end
  end
end

-- The job's frozen periods as text: the team's four and the gateway's, which a packed record leaves out where they are
-- the same.
local function periods_of(job_key)
  local found = redis.call('HMGET', job_key, 'periods', 'gateway_periods')
  if #split(found[1]) == 4 then
    return found[1] .. ' ' .. (found[2] or found[1])
  end
  return found[1]
end

-- Whose a job is, and its frozen periods.
local function sums_of_job(job_key)
  local job = redis.call('HMGET', job_key, 'team', 'user', 'token', 'seconds')
  return owners_of(job[1], job[2], job[3]), split(periods_of(job_key)), tonumber(job[4])
end

-- Places: the jobs of an owner that are there now, and those that wait in line.
local function leave_places(prefix, job_key, id)
  local job = redis.call('HMGET', job_key, 'team', 'user')
  for _, owner in ipairs(owners_of(job[1], job[2])) do
    redis.call('SREM', prefix .. 'live:' .. owner.id, id)
    redis.call('SREM', prefix .. 'queued:' .. owner.id, id)
  end
end

local function queue_places(prefix, job_key, id, verb)
  local job = redis.call('HMGET', job_key, 'team', 'user')
  for _, owner in ipairs(owners_of(job[1], job[2])) do
    redis.call(verb, prefix .. 'queued:' .. owner.id, id)
  end
end
