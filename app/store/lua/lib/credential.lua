-- True while a key or a browser token works: not revoked, not expired, and neither is a token's parent.
local is_valid
function is_valid(credential_key)
  local record = redis.call('HMGET', credential_key, 'id', 'revoked_ms', 'expires_ms', 'parent')
  if not record[1] or record[2] or (record[3] and tonumber(record[3]) <= now) then
    return false
  end
  return not record[4] or is_valid(prefix .. 'key:' .. record[4])
end
