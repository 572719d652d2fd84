#!lua flags=allow-oom
-- Takes due deliveries, a few of each destination and team, so that slow receivers delay nobody else. What is taken is
-- hidden; a lost delivery comes due again.
--
-- 1. go through the due destinations, the longest due first
-- 2. its team has enough on its way: put the destination off a little, so that the next ones get their turn
-- 3. paused endpoint: leave it until it is resumed; disabled or deleted: its deliveries are dead
-- 4. count what is in flight there: one at a time, unless the destination answered well and fast the last time;
--    addresses at one host share a number, however many they are
-- 5. breaker open: nothing until its pause is over, then one delivery as a probe
-- 6. take what is due as far as there is room, and set when the destination is due again
--
-- USES clock event outbox
-- KEYS
--   due_deliver    zset    destinations by due time (ms)
-- ARGV
--   limit          int     deliveries at most
--   destinations   int     looked at, at most
--   per_destination int    in flight at one destination
--   per_host       int     in flight at all addresses of one team at one host
--   per_team       int     of one team on the caller's way
--   retry_ms       int     until a due destination that gets nothing now is due again
--   failures       int     in a row that open the breaker
--   probe_ms       int     how long a probe may take until there is another one
--   visibility_ms  int     how long a delivery is hidden until its step is acquired
--   attempt_ms     int     how long an attempt may last
--   quick          bool    only destinations with nothing in flight that neither failed nor were slow the last time
--   dead_ms        int     how long dead letters are kept
-- REST str  the team of each delivery that the caller has on its way
--
-- Returns list[str]  ref, destination, …
local taken = {}
local full = {} -- by host: how many of its addresses were put off, so that they come due one after the other
local busy = {} -- by team: how many are on their way
for _, team in ipairs(rest) do
  busy[team] = (busy[team] or 0) + 1
end

-- Why an endpoint gets nothing: `paused`, `dead`, or nil.
local function why_closed(team, name)
  if string.sub(name, 1, 3) ~= 'ep_' then
    return nil
  end
  local record = redis.call('HGET', prefix .. 'endpoints:' .. team, name)
  local endpoint = record and cjson.decode(record)
  if not endpoint or endpoint.disabled_ms then
    return 'dead'
  end
  return endpoint.paused_ms and 'paused'
end

local function mark_some_dead(team, waiting)
  for _, ref in ipairs(redis.call('ZRANGE', waiting, 0, 99)) do
    local delivery_key = prefix .. 'delivery:' .. ref
    if redis.call('HGET', delivery_key, 'status') == 'due' then
      mark_dead(team, delivery_key, string.match(ref, '/(.*)$'), arg.dead_ms)
    end
    redis.call('ZREM', waiting, ref)
  end
end

-- How many more deliveries the host takes.
local function room_at_host(host)
  local in_flight_key = prefix .. 'flying:' .. host
  redis.call('ZREMRANGEBYSCORE', in_flight_key, '-inf', digits(now))
  return arg.per_host - redis.call('ZCARD', in_flight_key)
end

-- How many more deliveries the destination takes, and before when it is not due again although there may be more.
local function room_at(destination, in_flight_key)
  local host, at_host = host_of(destination), nil
  if host then
    at_host = room_at_host(host)
    if at_host <= 0 then
      full[host] = (full[host] or 0) + 1
      return 0, now + arg.retry_ms * (1 + math.floor(full[host] / arg.per_host))
    end
  end
  redis.call('ZREMRANGEBYSCORE', in_flight_key, '-inf', digits(now))
  local in_flight = redis.call('ZCARD', in_flight_key)
  local state_key = prefix .. 'destination:' .. destination
  local state = redis.call('HMGET', state_key, 'failures', 'open_until', 'slow', 'good')
  local failures = tonumber(state[1] or '0')
  if arg.quick and (in_flight > 0 or state[3] or failures > 0) then
    return 0, now + arg.retry_ms
  end
  if failures >= tonumber(arg.failures) then
    local open_until = tonumber(state[2] or '0')
    if now < open_until then
      return 0, open_until
    end
    redis.call('HSET', state_key, 'open_until', digits(now + arg.probe_ms))
    return 1, now + arg.probe_ms
  end
  -- Without a remembered good answer a destination gets one at a time, so that hanging ones take little.
  local max = (state[4] and failures == 0) and tonumber(arg.per_destination) or 1
  if in_flight >= max then
    return 0, tonumber(redis.call('ZRANGE', in_flight_key, 0, 0, 'WITHSCORES')[2])
  end
  return math.min(max - in_flight, at_host or max), 0
end

local function take(destination, waiting, in_flight_key, count)
  local refs = redis.call('ZRANGEBYSCORE', waiting, '-inf', digits(now), 'LIMIT', 0, count)
  for _, ref in ipairs(refs) do
    redis.call('ZADD', waiting, digits(now + arg.visibility_ms), ref)
    redis.call('ZADD', in_flight_key, digits(now + arg.attempt_ms), ref)
    if host_of(destination) then
      local all = prefix .. 'flying:' .. host_of(destination)
      redis.call('ZADD', all, digits(now + arg.attempt_ms), ref)
      redis.call('PEXPIRE', all, arg.attempt_ms)
    end
    taken[#taken + 1] = ref
    taken[#taken + 1] = destination
  end
  if #refs > 0 then
    redis.call('PEXPIRE', in_flight_key, arg.attempt_ms)
  end
  return #refs
end

local due = redis.call('ZRANGEBYSCORE', key.due_deliver, '-inf', digits(now), 'LIMIT', 0, arg.destinations)
for _, destination in ipairs(due) do
  if #taken >= 2 * arg.limit then
    break
  end
  local team, name = string.match(destination, '^([^/]*)/(.*)$')
  local waiting, in_flight_key = prefix .. 'waiting:' .. destination, prefix .. 'flying:' .. destination
  local left = arg.per_team - (busy[team] or 0)
  local why = why_closed(team, name)
  if left <= 0 then
    reschedule_destination(key.due_deliver, destination, now + arg.retry_ms)
  elseif why == 'paused' then
    redis.call('ZREM', key.due_deliver, destination)
  elseif why == 'dead' then
    mark_some_dead(team, waiting)
    reschedule_destination(key.due_deliver, destination, 0)
  else
    local room, not_before = room_at(destination, in_flight_key)
    local count = take(destination, waiting, in_flight_key, math.min(room, left, arg.limit - #taken / 2))
    busy[team] = (busy[team] or 0) + count
    reschedule_destination(key.due_deliver, destination, not_before)
  end
end
return taken
