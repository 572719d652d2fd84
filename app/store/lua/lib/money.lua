-- Money. A reservation is a field of a hash: it cannot be taken out twice, and the sums can be rebuilt from the ledger,
-- whose entries say all that the sums are made of: whose, which periods, how much, how long. Entries that every job has
-- are short (lib/entries.lua); rare ones have a field for each word.

-- Remembers an entry in the job's record, when it is neither at its admission nor at its end: few jobs have any.
local function note_entry(job_key, id)
  local ids = redis.call('HGET', job_key, 'entries')
  redis.call('HSET', job_key, 'entries', ids and ids .. ' ' .. id or id)
end

local function write_entry(ledger_key, kind, job_key, amount, reason)
  local job = redis.call('HMGET', job_key, 'id', 'user', 'key', 'model', 'seconds', 'price_version', 'token',
    'created_ms')
  local id = redis.call('XADD', ledger_key, '*', 'type', kind, 'amount', amount, 'at', digits(now), 'job', job[1],
    'user', job[2], 'key', job[3], 'model', job[4], 'seconds', job[5], 'price_version', job[6], 'token', job[7] or '',
    'starts', starts_of(job_key), 'admitted', job[8], 'reason', reason or '')
  note_entry(job_key, id)
  return id
end

-- Writes the reservation of a new job: `reserve amount at job user key token model seconds price_version`, with `-` for
-- an empty one, and how long before that its periods began (ms). Returns the entry's id: the record keeps it as
-- `reserve_entry` for the closing one.
local function write_reserve(ledger_key, job, amount)
  local words = {'reserve', amount, digits(now)}
  for _, name in ipairs({'id', 'user', 'key', 'token', 'model', 'seconds', 'price_version'}) do
    local word = job[name]
    words[#words + 1] = word and word ~= '' and word or '-'
  end
  words[#words + 1] = string.gsub(job.starts, '%d+', function(start)
    return digits(now - start)
  end)
  return redis.call('XADD', ledger_key, '*', 'entry', table.concat(words, ' '))
end

-- Writes the end of a reservation: `settle amount at entry` or `release …`; in full where an older version reserved.
-- Returns the entry's id.
local function write_closing(ledger_key, kind, job_key, amount)
  local reserved = redis.call('HGET', job_key, 'reserve_entry')
  if not reserved then
    return write_entry(ledger_key, kind, job_key, amount)
  end
  local id = redis.call('XADD', ledger_key, '*', 'entry', table.concat({kind, amount, digits(now), reserved}, ' '))
  redis.call('HDEL', job_key, 'reserve_entry')
  return id
end

-- Takes the job's reservation out: `spend` charges it, `release` gives it back. The second call does nothing.
-- Returns the id of the entry.
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
    return write_closing(ledger_key, 'settle', job_key, amount)
  end
  redis.call('HSET', job_key, 'money', 'released', 'charged_micro', '0')
  return write_closing(ledger_key, 'release', job_key, amount)
end
