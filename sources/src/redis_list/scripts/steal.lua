-- Takes over a segment whose lease has passed.
-- KEYS: idx, own, base, segment   ARGV: token, lease in ms
-- Returns {offset of its head, records left}, or nothing when somebody holds it or it is gone.

-- A script whose first write may need memory (ZADD) is refused when Redis is full, and nobody could
-- drain the segments that fill it. This write needs none, and lets the others pass.
redis.call('PERSIST', KEYS[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deadline = redis.call('ZSCORE', KEYS[1], KEYS[4])
-- A client may send a call again whose answer was lost: then the token is ours already.
local is_ours = redis.call('HGET', KEYS[2], KEYS[4]) == ARGV[1]
if not deadline or (tonumber(deadline) > now and not is_ours) then
  return false
end
redis.call('ZADD', KEYS[1], now + ARGV[2], KEYS[4])
-- A new token for each grant: whoever held it before is refused from here on.
redis.call('HSET', KEYS[2], KEYS[4], ARGV[1])
return {tonumber(redis.call('HGET', KEYS[3], KEYS[4]) or '0'), redis.call('LLEN', KEYS[4])}
