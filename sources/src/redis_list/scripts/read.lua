-- Reads records from an absolute offset on. Writes nothing.
-- KEYS: segment, own, base   ARGV: token, offset, most records, most bytes
-- Returns {offset of the first record, records}, or nothing when the token is stale.
if redis.call('HGET', KEYS[2], KEYS[1]) ~= ARGV[1] then
  return false
end
local base = tonumber(redis.call('HGET', KEYS[3], KEYS[1]) or '0')
local first = math.max(tonumber(ARGV[2]), base)
local most, room = tonumber(ARGV[3]), tonumber(ARGV[4])
local records, count = {}, 0
-- How large a record is is known once it is fetched. So the first comes alone, and then as many as would
-- fit if all were as large as the largest so far: what is fetched and left behind stays small.
local largest = math.max(1, room)
while count < most do
  local want = math.max(1, math.min(64, most - count, math.floor(room / largest)))
  local at = first - base + count
  local slice = redis.call('LRANGE', KEYS[1], at, at + want - 1)
  for _, record in ipairs(slice) do
    local size = #record
    -- One record comes, however large.
    if size > room and count > 0 then
      return {first, records}
    end
    room, count = room - size, count + 1
    records[count] = record
    if count == 1 or size > largest then
      largest = math.max(1, size)
    end
  end
  if #slice < want or room <= 0 then
    break
  end
end
-- As they are: joining them in Lua takes the server five times as long as all the rest.
return {first, records}
