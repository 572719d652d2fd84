-- The store's clock in milliseconds: leases and deadlines never compare two machines' clocks.
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
-- A number as text without an exponent (the store would write 1.7e+12) and without its fraction.
local function digits(n)
  return string.format('%d', n)
end
