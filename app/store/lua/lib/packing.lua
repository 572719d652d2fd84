-- Records how long the generation of a succeeded job took.
local function record_duration(job_key, durations_key, kept_ms)
  local job = redis.call('HMGET', job_key, 'status', 'submitted_ms', 'upstream_done_ms')
  if job[1] == 'succeeded' and job[2] and job[3] then
    redis.call('LPUSH', durations_key, digits(job[3] - job[2]))
    redis.call('LTRIM', durations_key, 0, 49)
    redis.call('PEXPIRE', durations_key, kept_ms)
  end
end

-- The record of an ended job is kept for long: bulky fields are packed, and fields of no more use are dropped. In
-- pieces of 64 characters the store keeps the hash in one small block, with every setting.
local PIECE = 64
local MAX_PIECES = 40
local DROPPED = {line_score = true, start_timeout_ms = true, misses = true, cancel_sent_ms = true, told_failed = true,
  polled_ms = true, pending_output = true, copy_failures = true}

-- Adds the fields `z0`, `z1`, … with the pieces of `packed` to a list of fields and values; none for "".
local function add_pieces(list, packed)
  local size = #packed <= PIECE * MAX_PIECES and PIECE or #packed
  for i = 1, #packed, size do
    list[#list + 1] = 'z' .. digits((i - 1) / size)
    list[#list + 1] = string.sub(packed, i, i + size - 1)
  end
end

-- Writes the record with `packed` in place of the fields `names`, which have commas between them; not for "".
-- `facts`, lines of name and value, are packed too. A fact that has changed since keeps its field, which counts; when
-- one is gone, the record stays as it is.
local function pack_record(job_key, names, facts, packed, kept_ms)
  if packed == '' then
    return
  end
  local dropped = {}
  for name in string.gmatch(names, '[^,]+') do
    dropped[name] = true
  end
  for name, value in string.gmatch(facts, '([^\n]+)\n([^\n]+)') do
    local current = redis.call('HGET', job_key, name)
    if not current then
      return
    end
    dropped[name] = current == value
  end
  local flat = redis.call('HGETALL', job_key)
  dropped.periods = dropped.periods or redis.call('HEXISTS', job_key, 'starts') == 1
  local kept = {}
  local function keep(name, value)
    kept[#kept + 1] = name
    kept[#kept + 1] = value
  end
  for i = 1, #flat, 2 do
    local name, value = flat[i], flat[i + 1]
    if name == 'starts' and not dropped[name] then
      for window, numbers in string.gmatch(value, '(%w+)=(%S+)') do
        keep('start:' .. window, numbers)
      end
    elseif not dropped[name] and not DROPPED[name] and not string.find(name, '^z%d+$') then
      keep(name, value)
    end
  end
  add_pieces(kept, packed)
  redis.call('DEL', job_key)
  redis.call('HSET', job_key, unpack(kept))
  redis.call('PEXPIRE', job_key, kept_ms)
end

-- Writes the facts of an ended job, `field, value, …`, into its record as fields, where scripts can read them.
local function restore_facts(job_key, facts)
  for i = 1, #facts, 2 do
    redis.call('HSETNX', job_key, facts[i], facts[i + 1])
  end
end
