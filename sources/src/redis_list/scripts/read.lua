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
while count < most do
  -- Small slices: a range of huge records is never fetched whole to find that it does not fit.
  local at = first - base + count
  local slice = redis.call('LRANGE', KEYS[1], at, at + math.min(64, most - count) - 1)
  for _, record in ipairs(slice) do
    room = room - #record
    -- One record comes, however large.
    if room < 0 and count > 0 then
      return {first, records}
    end
    count = count + 1
    records[count] = record
  end
  if #slice == 0 then
    break
  end
end
-- As they are: joining them in Lua takes the server five times as long as all the rest.
return {first, records}
