-- Claims: each has a number, and the newest are remembered with their nonces, so that a witness outside the store can
-- tell that the store has forgotten one. A count alone would not do: after a loss, new claims catch up with it.
local REMEMBERED_CLAIMS = 1000

-- True while nothing may be claimed, because the store has gone back in time.
local function claims_stopped(prefix)
  return redis.call('HEXISTS', prefix .. 'pauses', 'epoch') == 1
end

-- False where a job that was granted its slot may not be bought any more: buying has stopped since, for all or for its
-- team, or the breaker has opened. When the breaker's time is over, it lets one job through: the one that tries.
local function may_claim(prefix, team, ref)
  local paused = redis.call('HMGET', prefix .. 'pauses', 'all', team)
  local open = redis.call('HMGET', prefix .. 'breaker', 'until_ms', 'probe')
  local tries = open[2] == ref and open[1] ~= 'inf' and tonumber(open[1] or '0') <= now
  return not claims_stopped(prefix) and not paused[1] and not paused[2] and (not open[1] or tries)
end

local function claims_so_far(prefix)
  return tonumber(redis.call('HGET', prefix .. 'epoch', 'claims') or '0')
end

-- The claim with this number as it is remembered, `number nonce`; "" when it is not.
local function claim_at(prefix, number)
  return redis.call('HGET', prefix .. 'claims', whole(number % REMEMBERED_CLAIMS)) or ''
end

local function remember_claim(prefix, nonce)
  local number = redis.call('HINCRBY', prefix .. 'epoch', 'claims', 1)
  redis.call('HSET', prefix .. 'claims', whole(number % REMEMBERED_CLAIMS), whole(number) .. ' ' .. nonce)
end

-- True when this claim was made here, as far as the store can still tell.
local function knows_claim(prefix, number, nonce)
  local newest = claims_so_far(prefix)
  if number == 0 or number <= newest - REMEMBERED_CLAIMS then
    return true
  end
  return number <= newest and claim_at(prefix, number) == whole(number) .. ' ' .. nonce
end
