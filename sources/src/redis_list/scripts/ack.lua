-- Removes what is settled from a segment's head and extends the lease. With nothing to remove it only
-- extends; with a lease of 0 it gives the segment back.
-- KEYS: idx, own, base, segment   ARGV: token, offset (all below is settled), lease in ms
-- Returns how many records are left; -1 when the token is stale.
if redis.call('HGET', KEYS[2], KEYS[4]) ~= ARGV[1] then
  return -1
end
-- First, as in steal.lua: at full memory this is what makes room again.
redis.call('PERSIST', KEYS[4])
local base = tonumber(redis.call('HGET', KEYS[3], KEYS[4]) or '0')
-- Relative to the head as it is now: the same call twice removes once.
local settled = tonumber(ARGV[2]) - base
if settled > 0 then
  redis.call('LTRIM', KEYS[4], settled, -1)
  redis.call('HSET', KEYS[3], KEYS[4], base + settled)
end
local left = redis.call('LLEN', KEYS[4])
if left == 0 then
  redis.call('ZREM', KEYS[1], KEYS[4])
  redis.call('HDEL', KEYS[2], KEYS[4])
  redis.call('HDEL', KEYS[3], KEYS[4])
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now + ARGV[3], KEYS[4])
return left
