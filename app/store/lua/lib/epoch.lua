-- Claims and admissions: each has a number, and the newest are remembered with their nonces or jobs, so that a witness
-- outside the store can tell that the store has forgotten one. A count alone would not do: after a loss, new ones catch
-- up with it. The counts are in `epoch`, the newest in hashes of the same names.
local NAMES_KEPT = 1000

-- True while nothing may be claimed, because the store has gone back in time.
local function claims_stopped()
  return redis.call('HEXISTS', prefix .. 'pauses', 'epoch') == 1
end

-- False where a job that was granted its slot may not be bought any more: buying has stopped since, for all or for its
-- team, or the breaker has opened. When the breaker's time is over, it lets one job through: the one that tries.
local function may_claim(team, ref)
  local paused = redis.call('HMGET', prefix .. 'pauses', 'all', team)
  local open = redis.call('HMGET', prefix .. 'breaker', 'until_ms', 'probe')
  local tries = open[2] == ref and open[1] ~= 'inf' and tonumber(open[1] or '0') <= now
  return not claims_stopped() and not paused[1] and not paused[2] and (not open[1] or tries)
end

-- How many there were: `kind` is claims or admissions.
local function counted(kind)
  return tonumber(redis.call('HGET', prefix .. 'epoch', kind) or '0')
end

-- The one with this number as it is remembered, `number name`; "" when it is not.
local function entry_at(kind, number)
  return redis.call('HGET', prefix .. kind, digits(number % NAMES_KEPT)) or ''
end

local function remember_entry(kind, name)
  local number = redis.call('HINCRBY', prefix .. 'epoch', kind, 1)
  redis.call('HSET', prefix .. kind, digits(number % NAMES_KEPT), digits(number) .. ' ' .. name)
end

-- True when this one was made here, as far as the store can still tell.
local function knows_entry(kind, number, name)
  local newest = counted(kind)
  if number == 0 or number <= newest - NAMES_KEPT then
    return true
  end
  return number <= newest and entry_at(kind, number) == digits(number) .. ' ' .. name
end
