-- The number of all hosts where they have agreed on one that is less than the caller's.
local function agreed(name, own)
  return math.min(tonumber(own), tonumber(redis.call('HGET', name, 'all') or own))
end
