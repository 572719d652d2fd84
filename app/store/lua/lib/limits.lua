-- Limits: what is used of each, and whether a job exceeds it. Only `consume_rates` writes.
local RATE_US = {minute = 60000000, hour = 3600000000}

-- The amount in force now: a raise while it lasts, else the limit.
local function effective_amount(rules, name)
  local raise = rules['raise:' .. name]
  if raise then
    local to, until_ms = string.match(raise, '^(%d+) (%d+)$')
    if tonumber(until_ms) > now then
      return tonumber(to)
    end
  end
  return tonumber(rules[name])
end

-- Sets the state of a rate (GCRA) whose next submission at an even pace is due at `tat_us`. `resets` is when all of it
-- is left again or, when nothing is left, when there is room for one.
local function set_rate(state, tat_us)
  local room_us = state.amount * state.step_us - (tat_us - now_us)
  local left = state.amount > 0 and math.max(0, math.floor(room_us / state.step_us)) or 0
  state.tat_us = tat_us
  state.used = state.amount - left
  if state.amount > 0 then
    local wait_us = left > 0 and tat_us - now_us or state.step_us - room_us
    state.resets = math.ceil((now_us + wait_us) / 1000)
  end
end

local function read_rate(state, owner)
  state.rate_key = prefix .. 'rate:' .. owner.id .. ':' .. state.window
  state.step_us = state.amount > 0 and math.ceil(RATE_US[state.window] / state.amount) or 0
  set_rate(state, math.max(now_us, tonumber(redis.call('GET', state.rate_key) or '0')))
end

-- Adds the sums of other periods that count in this window after a change of the team's time zone: those in `carried`
-- (of the team) in full until a time, those in `also` (of the owner's window) without what was used before it began.
local function add_carried_over(state, owner, start, carried, also)
  local less = {}
  for _, period in ipairs(also and cjson.decode(also) or {}) do
    less[digits(period.start)] = period[state.unit]
  end
  for _, period in ipairs(carried[state.window] or {}) do
    if period[2] > now then
      less[digits(period[1])] = 'all'
    end
  end
  for other, without in pairs(less) do
    if other ~= start then
      local sums = redis.call('HMGET', period_key(owner, state.window, other), 'used:' .. state.unit,
        'held:' .. state.unit, 'credit:' .. state.unit)
      local used = tonumber(sums[1] or '0')
      state.used = state.used + (without == 'all' and used or math.max(0, used - without))
      state.held = state.held + tonumber(sums[2] or '0')
      if without == 'all' then
        state.amount = state.amount + tonumber(sums[3] or '0')
      end
    end
  end
end

-- The state of every limit of these owners. `need` maps units to what the job takes, `carried` is the team's field of
-- this name, or false.
local function read_limits(owners, starts, ends, need, carried)
  carried = carried and cjson.decode(carried)
  local states = {}
  for _, owner in ipairs(owners) do
    local flat = redis.call('HGETALL', prefix .. 'limits:' .. owner.id)
    local rules, names = {}, {}
    for i = 1, #flat, 2 do
      rules[flat[i]] = flat[i + 1]
      if string.sub(flat[i], 1, 6) ~= 'raise:' then
        names[#names + 1] = flat[i]
      end
    end
    table.sort(names)
    for _, name in ipairs(names) do
      local unit, window = string.match(name, '^([%w_]+)/(%w+)$')
      local amount = effective_amount(rules, name)
      local state = {owner = owner.kind, unit = unit, window = window, amount = amount, used = 0, held = 0}
      if unit == 'submits' then
        read_rate(state, owner)
      elseif window == 'concurrent' then
        state.held = redis.call('SCARD', prefix .. 'live:' .. owner.id)
      elseif window == 'queued' then
        state.held = redis.call('SCARD', prefix .. 'queued:' .. owner.id)
      else
        local start = starts[window] and of_owner(owner, starts[window])
        state.sums = start and period_key(owner, window, start) or total_key(owner)
        local sums = redis.call('HMGET', state.sums, 'used:' .. unit, 'held:' .. unit, 'credit:' .. unit,
          'fixed:' .. unit, 'also')
        state.used = tonumber(sums[1] or '0') + tonumber(sums[4] or '0')
        state.held = tonumber(sums[2] or '0')
        state.amount = state.amount + tonumber(sums[3] or '0')
        if start and carried and owner.kind ~= 'gateway' then
          add_carried_over(state, owner, start, carried, sums[5])
        end
        if start then
          state.resets = of_owner(owner, ends[window])
        end
      end
      state.need = need[unit] or 1
      state.over = state.used + state.held + state.need > state.amount
      states[#states + 1] = state
    end
  end
  return states
end

-- Consumes one submission of each rate. False, and none is consumed, when one of them has no room.
local function consume_rates(states)
  for _, state in ipairs(states) do
    if state.rate_key and state.over then
      return false
    end
  end
  for _, state in ipairs(states) do
    if state.rate_key then
      set_rate(state, state.tat_us + state.step_us)
      local kept_ms = math.ceil(RATE_US[state.window] / 1000) + 1000
      redis.call('SET', state.rate_key, digits(state.tat_us), 'PX', digits(kept_ms))
    end
  end
  return true
end

-- For the reply, of each limit: owner, unit, window, amount, used, held, reset (ms, "" for never), 1 when exceeded.
local function encode_states(states)
  local flat = {}
  for _, state in ipairs(states) do
    flat[#flat + 1] = state.owner
    flat[#flat + 1] = state.unit
    flat[#flat + 1] = state.window
    flat[#flat + 1] = digits(state.amount)
    flat[#flat + 1] = digits(state.used)
    flat[#flat + 1] = digits(state.held)
    flat[#flat + 1] = state.resets and digits(state.resets) or ''
    flat[#flat + 1] = state.over and '1' or '0'
  end
  return flat
end
