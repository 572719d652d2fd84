#!lua flags=no-writes
-- Finds the teams whose ledger has entries that usage reports do not count yet.
--
-- KEYS
--   teams          set     ids of all teams
--   usage_counted  hash    team to the id of its last counted entry
-- ARGV
--
-- Returns list[str]  their ids
local behind = {}
for _, team in ipairs(redis.call('SMEMBERS', key.teams)) do
  local newest = redis.call('XREVRANGE', prefix .. 'ledger:' .. team, '+', '-', 'COUNT', 1)[1]
  if newest and newest[1] ~= redis.call('HGET', key.usage_counted, team) then
    behind[#behind + 1] = team
  end
end
return behind
