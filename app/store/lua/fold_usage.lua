#!lua flags=allow-oom
-- Adds the next entries of a team's ledger to the sums of usage reports, and remembers how far it came. Both change
-- together, so each entry counts once, however often this is called.
--
-- 1. read the entries after the last counted one
-- 2. add up their changes: by day of the job's admission, and for recent days by hour; in each by user, key and model
-- 3. write the sums, the days that have sums, and the last counted entry
--
-- USES clock sums entries
-- KEYS
--   ledger         stream  every movement of the team's money
--   usage_counted  hash    team to the id of its last counted entry
--   days           zset    beginnings (ms) of the days that have sums
-- ARGV
--   team           str     the team's id
--   entries        int     read at most
--   hours_ms       int     how long the sums by hour are kept, from the day's beginning
--
-- Returns int  counted entries
local UNITS = 4  -- jobs, seconds of video, micro-dollars spent, and held
local after = redis.call('HGET', key.usage_counted, arg.team) or '0-0'
local page = redis.call('XRANGE', key.ledger, '(' .. after, '+', 'COUNT', arg.entries)
local changes = {}  -- by key, by field

local function add(name, field, change)
  local fields = changes[name] or {}
  changes[name] = fields
  local sums = fields[field] or {0, 0, 0, 0}
  fields[field] = sums
  for i = 1, UNITS do
    sums[i] = sums[i] + change[i]
  end
end

-- What an entry changes. A dispute changes nothing.
local function change_of(kind, amount, seconds)
  if kind == 'reserve' then
    return {1, seconds, 0, amount}
  elseif kind == 'release' then
    return {-1, -seconds, 0, -amount}
  elseif kind == 'settle' then
    return {0, 0, amount, -amount}
  elseif kind == 'correction' or kind == 'credit' then
    return {0, 0, amount, 0}
  end
end

for _, row in ipairs(page) do
  local entry = read_entry(key.ledger, row)
  local change = entry and change_of(entry.type, tonumber(entry.amount), tonumber(entry.seconds))
  if change then
    local starts = by_window(entry.starts or entry.periods)
    local admitted = tonumber(entry.admitted)
    local day = tonumber(starts.day and starts.day.team or admitted - admitted % 86400000)
    local hour = tonumber(starts.hour and starts.hour.team or admitted - admitted % 3600000)
    local field = entry.type == 'credit' and 'credit' or entry.user .. ' ' .. entry.key .. ' ' .. entry.model
    redis.call('ZADD', key.days, digits(day), digits(day))
    add('day:' .. arg.team .. ':' .. digits(day), field, change)
    if now < day + arg.hours_ms then
      local name = 'hours:' .. arg.team .. ':' .. digits(day)
      add(name, digits(hour) .. ' ' .. field, change)
    end
  end
end
for name, fields in pairs(changes) do
  local sums_key = prefix .. 'usage:' .. name
  for field, change in pairs(fields) do
    local sums = split(redis.call('HGET', sums_key, field) or '0 0 0 0')
    for i = 1, UNITS do
      sums[i] = digits(sums[i] + change[i])
    end
    redis.call('HSET', sums_key, field, table.concat(sums, ' '))
  end
  local day = string.match(name, '^hours:.*:(%d+)$')
  if day then
    redis.call('PEXPIREAT', sums_key, digits(day + arg.hours_ms))
  end
end
if #page > 0 then
  redis.call('HSET', key.usage_counted, arg.team, page[#page][1])
end
return #page
