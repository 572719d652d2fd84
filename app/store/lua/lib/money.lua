-- Money. A reservation is an entry in a set: taking it out twice is impossible, and counters can be rebuilt.
-- Each entry of the ledger carries all that the sums are made of: whose, which periods, how much, how long.
local function ledger_entry(ledger_key, kind, job_key, amount, reason)
  local who = redis.call('HMGET', job_key, 'id', 'user', 'key', 'model', 'seconds', 'price_version', 'token',
    'created_ms')
  redis.call('XADD', ledger_key, '*', 'type', kind, 'amount', amount, 'at', whole(now), 'job', who[1],
    'user', who[2], 'key', who[3], 'model', who[4], 'seconds', who[5], 'price_version', who[6], 'token', who[7] or '',
    'periods', periods_of(job_key), 'admitted', who[8], 'reason', reason or '')
end

-- Takes the job's reservation out: `spend` charges it, `release` gives it back. Nothing happens the second time.
local function close_reservation(prefix, reservations_key, ledger_key, job_key, verb)
  local id = redis.call('HGET', job_key, 'id')
  local amount = redis.call('HGET', reservations_key, id)
  if not amount then
    return
  end
  redis.call('HDEL', reservations_key, id)
  local owners, starts, seconds = sums_of_job(job_key)
  local need = {jobs = 1, usd = tonumber(amount), video_seconds = seconds}
  close_sums(prefix, owners, starts, need, verb == 'spend')
  if verb == 'spend' then
    redis.call('HSET', job_key, 'money', 'spent', 'charged_micro', amount)
    ledger_entry(ledger_key, 'settle', job_key, amount)
  else
    redis.call('HSET', job_key, 'money', 'released', 'charged_micro', '0')
    ledger_entry(ledger_key, 'release', job_key, amount)
  end
end
