-- The number of jobs at fal that the hosts have agreed on, where it is less than the caller's own.
local function agreed_concurrency(concurrency_key, own)
  return math.min(tonumber(own), tonumber(redis.call('HGET', concurrency_key, 'all') or own))
end
