-- Takes a gateway's whole list, in one step, under a name that only pumps use.
-- KEYS: list, idx, own, base, segment   ARGV: token, lease in ms (0: sealed, and free for anybody)
-- Returns how many records the segment has; 0: the list is empty; -1: the segment's name is taken.

-- A client may send a call again whose answer was lost. What is done is done.
if redis.call('HGET', KEYS[3], KEYS[5]) == ARGV[1] then
  return redis.call('LLEN', KEYS[5])
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
-- Never over a segment that exists: that one may hold records that nobody has read.
if redis.call('RENAMENX', KEYS[1], KEYS[5]) == 0 then
  return -1
end
-- The TTL that the gateway gave the list came along with the name.
redis.call('PERSIST', KEYS[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[2], now + ARGV[2], KEYS[5])
redis.call('HSET', KEYS[3], KEYS[5], ARGV[1])
redis.call('HSET', KEYS[4], KEYS[5], 0)
return redis.call('LLEN', KEYS[5])
