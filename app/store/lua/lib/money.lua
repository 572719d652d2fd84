-- Money. A reservation is an entry in a set: taking it out twice is impossible, and counters can be rebuilt.
-- Each entry of the ledger says all that the sums are made of: whose, which periods, how much, how long. What every job
-- has is written short (lib/entries.lua), what is rare with a field for each word.
local function write_entry(ledger_key, kind, job_key, amount, reason)
  local who = redis.call('HMGET', job_key, 'id', 'user', 'key', 'model', 'seconds', 'price_version', 'token',
    'created_ms')
  redis.call('XADD', ledger_key, '*', 'type', kind, 'amount', amount, 'at', digits(now), 'job', who[1],
    'user', who[2], 'key', who[3], 'model', who[4], 'seconds', who[5], 'price_version', who[6], 'token', who[7] or '',
    'starts', starts_of(job_key), 'admitted', who[8], 'reason', reason or '')
end

-- Writes that the job's money is put aside: `reserve amount at job user key token model seconds price`, with `-` for
-- what there is not, and how long before that (ms) its periods began. The record remembers the entry, so that its end
-- need not say all this again.
local function write_reserve(ledger_key, job_key, amount)
  local who = redis.call('HMGET', job_key, 'id', 'user', 'key', 'token', 'model', 'seconds', 'price_version')
  local words = {'reserve', amount, digits(now)}
  for i = 1, 7 do
    words[#words + 1] = who[i] and who[i] ~= '' and who[i] or '-'
  end
  words[#words + 1] = string.gsub(starts_of(job_key), '%d+', function(start)
    return digits(now - start)
  end)
  local id = redis.call('XADD', ledger_key, '*', 'entry', table.concat(words, ' '))
  redis.call('HSET', job_key, 'reserve_entry', id)
end

-- Writes the end of that: `settle amount at entry` or `release …`; one that an older version reserved has it in full.
local function write_closing(ledger_key, kind, job_key, amount)
  local reserved = redis.call('HGET', job_key, 'reserve_entry')
  if not reserved then
    return write_entry(ledger_key, kind, job_key, amount)
  end
  redis.call('XADD', ledger_key, '*', 'entry', table.concat({kind, amount, digits(now), reserved}, ' '))
  redis.call('HDEL', job_key, 'reserve_entry')
end

-- Takes the job's reservation out: `spend` charges it, `release` gives it back. Nothing happens the second time.
local function close_reservation(reservations_key, ledger_key, job_key, verb)
  local id = redis.call('HGET', job_key, 'id')
  local amount = redis.call('HGET', reservations_key, id)
  if not amount then
    return
  end
  redis.call('HDEL', reservations_key, id)
  local owners, starts, seconds = owners_and_periods(job_key)
  local need = {jobs = 1, usd = tonumber(amount), video_seconds = seconds}
  close_sums(owners, starts, need, verb == 'spend')
  if verb == 'spend' then
    redis.call('HSET', job_key, 'money', 'spent', 'charged_micro', amount)
    write_closing(ledger_key, 'settle', job_key, amount)
  else
    redis.call('HSET', job_key, 'money', 'released', 'charged_micro', '0')
    write_closing(ledger_key, 'release', job_key, amount)
  end
end
