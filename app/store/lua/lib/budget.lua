-- Alerts: 50, 80 and 100 % of a money limit, each published once as `budget.threshold` while the amount is the same.
local THRESHOLDS = {100, 80, 50}

-- The highest threshold that a state has reached and that was not published before; nil when there is none.
local function reached(state)
  if state.unit ~= 'usd' or state.amount <= 0 then
    return nil
  end
  for _, threshold in ipairs(THRESHOLDS) do
    if (state.used + state.held) * 100 >= threshold * state.amount then
      local field = 'told:' .. state.owner .. '/' .. state.window
      local last_threshold, last_amount = string.match(redis.call('HGET', state.sums, field) or '', '^(%d+) (%d+)$')
      if last_amount == digits(state.amount) and tonumber(last_threshold) >= threshold then
        return nil
      end
      redis.call('HSET', state.sums, field, threshold .. ' ' .. digits(state.amount))
      return threshold
    end
  end
end

-- Publishes the thresholds of the team's and its users' limits; returns those of the gateway's own limits, in words.
local function publish_thresholds(states, events_key, team, user, retention_ms)
  local alarms = {}
  for _, state in ipairs(states) do
    local threshold = reached(state)
    if threshold and state.owner == 'gateway' then
      alarms[#alarms + 1] = threshold .. ' % of usd/' .. state.window
    elseif threshold and state.owner ~= 'token' then
      local notice = {
        threshold = threshold,
        owner = state.owner,
        user = state.owner == 'user' and user or nil,
        window = state.window,
        amount = digits(state.amount),
        used = digits(state.used),
        held = digits(state.held),
        resets = state.resets and digits(state.resets) or nil,
      }
      publish_notice(team, events_key, 'budget.threshold', cjson.encode(notice), retention_ms)
    end
  end
  return alarms
end
