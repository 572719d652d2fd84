-- How long (ms) ended jobs and files of this team are kept: its own days, or else the gateway's.
local function retention_of(team, default_ms)
  local days = tonumber(redis.call('HGET', prefix .. 'team:' .. team, 'retention_days') or '0')
  return days > 0 and digits(days * 86400000) or default_ms
end
