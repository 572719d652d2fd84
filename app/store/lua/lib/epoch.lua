-- Claims and admissions. Each has a number, and the newest are remembered with their nonces or jobs, so that a witness
-- outside can tell that the store has forgotten one. A count alone is not enough: after a loss, new ones catch up with
-- it. The counts are in `epoch`, the newest in hashes named after their kind: `claims` or `admissions`.
local NAMES_KEPT = 1000

-- True while nothing may be claimed, because the store has gone back in time.
local function claims_stopped()
  return redis.call('HEXISTS', prefix .. 'pauses', 'epoch') == 1
end

-- False when a job with a slot may not be bought any more: buying is paused for all or for its team, or the breaker is
-- open. After the breaker's time it lets one job through, the probe.
local function may_claim(team, ref)
  local paused = redis.call('HMGET', prefix .. 'pauses', 'all', team)
  local open = redis.call('HMGET', prefix .. 'breaker', 'until_ms', 'probe')
  local probes = open[2] == ref and open[1] ~= 'inf' and tonumber(open[1] or '0') <= now
  return not claims_stopped() and not paused[1] and not paused[2] and (not open[1] or probes)
end

-- How many there were of a kind.
local function counted(kind)
  return tonumber(redis.call('HGET', prefix .. 'epoch', kind) or '0')
end

-- The entry with this number, `number name`; "" when it is not remembered.
local function entry_at(kind, number)
  return redis.call('HGET', prefix .. kind, digits(number % NAMES_KEPT)) or ''
end

local function remember_entry(kind, name)
  local number = redis.call('HINCRBY', prefix .. 'epoch', kind, 1)
  redis.call('HSET', prefix .. kind, digits(number % NAMES_KEPT), digits(number) .. ' ' .. name)
end

-- False when the store does not know this entry; one that is too old to be remembered counts as known.
local function knows_entry(kind, number, name)
  local newest = counted(kind)
  if number == 0 or number <= newest - NAMES_KEPT then
    return true
  end
  return number <= newest and entry_at(kind, number) == digits(number) .. ' ' .. name
end
