-- The store's clock in milliseconds: leases and deadlines never compare two machines' clocks.
local function milliseconds()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local now = milliseconds()
-- A whole number as text without an exponent: Lua would write 1.7e+12.
local function digits(n)
  return string.format('%.0f', n)
end
