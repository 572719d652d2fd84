-- The store's clock in milliseconds: leases and deadlines never compare two machines' clocks.
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
-- A number as text without an exponent and without its fraction, for every command: Redis 7.2 to 7.4 write 1.4e+9 for
-- $1,400 in micro-dollars, which Valkey does not.
local function digits(n)
  return string.format('%d', n)
end
