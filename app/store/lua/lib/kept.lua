-- Files in the storage. KEPT (a sorted set) has each by when (ms) it is deleted; KEPT_SIZES (a hash) its state and size:
-- `held` is on its way, `used` is there, `gone` is being deleted; KEPT_BYTES (a hash) the sums `TEAM held`, `TEAM used`.
local KEPT, KEPT_SIZES, KEPT_BYTES = prefix .. 'kept', prefix .. 'kept:sizes', prefix .. 'kept:bytes'

-- The state of a file and its size as a text; nothing for one that is not known.
local function file_state(file)
  return string.match(redis.call('HGET', KEPT_SIZES, file) or '', '^(%a+) (%d+)$')
end

-- The team is in the name of the file.
local function set_file_state(file, state, size)
  local team = string.match(file, '^[^/]+/([^/]+)/')
  local before, bytes = file_state(file)
  if before and before ~= 'gone' then
    redis.call('HINCRBY', KEPT_BYTES, team .. ' ' .. before, digits(-bytes))
  end
  if state ~= 'gone' then
    redis.call('HINCRBY', KEPT_BYTES, team .. ' ' .. state, size)
  end
  redis.call('HSET', KEPT_SIZES, file, state .. ' ' .. (size or bytes or '0'))
end

-- Makes a file due for deletion; true when it was counted.
local function drop_file(file)
  local counted = redis.call('HEXISTS', KEPT_SIZES, file) == 1
  set_file_state(file, 'gone')
  redis.call('ZADD', KEPT, digits(now), file)
  return counted
end
