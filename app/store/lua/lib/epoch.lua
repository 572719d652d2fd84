-- Claims: each has a number, and the newest are remembered with their nonces, so that a witness outside the store can
-- tell that the store has forgotten one. A count alone would not do: after a loss, new claims catch up with it.
local REMEMBERED_CLAIMS = 1000

-- True while nothing may be claimed, because the store has gone back in time.
local function claims_stopped(prefix)
  return redis.call('HEXISTS', prefix .. 'pauses', 'epoch') == 1
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
