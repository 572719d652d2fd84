#!lua flags=allow-oom
-- Counts the ages at which generations of one model and length ended. Beyond so many ends in all, every count is halved.
--
-- KEYS
--   ends           hash    bin of ages (app/domain/poll_plan.py) to how many ended in it
-- ARGV
--   most           int     ends in all
--   kept_ms        int     how long they are kept after the last one
-- REST int  the bins of new ends
--
-- Returns list[str]  all counts: bin, count, …
for _, bin in ipairs(rest) do
  redis.call('HINCRBY', key.ends, bin, 1)
end
if #rest > 0 then
  redis.call('PEXPIRE', key.ends, arg.kept_ms)
end
local counts = redis.call('HGETALL', key.ends)
local total = 0
for i = 2, #counts, 2 do
  total = total + counts[i]
end
if total > tonumber(arg.most) then
  for i = 1, #counts, 2 do
    local half = math.floor(counts[i + 1] / 2)
    if half > 0 then
      redis.call('HSET', key.ends, counts[i], half)
    else
      redis.call('HDEL', key.ends, counts[i])
    end
  end
end
return counts
