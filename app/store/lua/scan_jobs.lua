#!lua flags=no-writes
-- Reads the jobs of an index whose records have the wanted fields, newest first.
-- A packed field is not compared: such jobs are returned too, for the caller to compare.
--
-- KEYS
--   index          zset    job ids by admission time
-- ARGV
--   team           str     the jobs' team
--   before_ms      int?    only jobs older than this time and id; nil for all
--   before_id      str
--   limit          int     jobs at most
--   rows           int     ids of the index that are read at most
--   from_ms        int?    only jobs of this time or later; nil for all
-- REST str  field, value, … that a job must have; with several values for a field, one of them
--
-- Returns {rows: int, reached: list[str], expired: list[str], found: list[list[str]]}  rows: how many ids were read;
--   reached: the last of them and its time (ms), nothing at the index's end; expired: ids without a record; found: of
--   each job its id, its time (ms), and field, value, … of its record
local BATCH = 100
local limit, max_rows, before_ms = tonumber(arg.limit), tonumber(arg.rows), tonumber(arg.before_ms or 'inf')
local names, wanted = {}, {}
for i = 1, #rest, 2 do
  local name = rest[i]
  if not wanted[name] then
    names[#names + 1], wanted[name] = name, {}
  end
  wanted[name][rest[i + 1]] = true
end

local function is_older(id, at_ms)
  return at_ms < before_ms or (at_ms == before_ms and id < arg.before_id)
end

-- The record, empty when it has expired; false when another field is wanted.
local function read_wanted(id)
  local job_key = prefix .. 'job:' .. arg.team .. '/' .. id
  local values = #names > 0 and redis.call('HMGET', job_key, unpack(names)) or {}
  for i, name in ipairs(names) do
    local value = name == 'id' and id or values[i]
    if value and not wanted[name][value] then
      return false
    end
  end
  return redis.call('HGETALL', job_key)
end

local rows, reached, expired, found, offset = 0, {}, {}, {}, 0
while true do
  local from = arg.before_ms or '+inf'
  local oldest = arg.from_ms or '-inf'
  local batch = redis.call('ZREVRANGEBYSCORE', key.index, from, oldest, 'WITHSCORES', 'LIMIT', offset, BATCH)
  if #batch == 0 then
    return {rows, {}, expired, found}
  end
  for i = 1, #batch, 2 do
    local id, at_ms = batch[i], batch[i + 1]
    if is_older(id, tonumber(at_ms)) then
      if #found == limit or rows == max_rows then
        return {rows, reached, expired, found}
      end
      local record = read_wanted(id)
      if record and #record > 0 then
        found[#found + 1] = {id, at_ms, unpack(record)}
      elseif record then
        expired[#expired + 1] = id
      end
      rows, reached = rows + 1, {id, at_ms}
    end
  end
  offset = offset + BATCH
end
