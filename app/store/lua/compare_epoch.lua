#!lua flags=allow-oom
-- Compares the store with what a witness outside remembers; a store that has gone back in time may not buy.
--
-- 1. is it the store that the witness saw, or did that one become this one, and does it know the witness's last claim
--    and admission?
-- 2. a store without an id gets the new one
-- 3. gone back: the new id begins a new epoch, earlier ids are kept, and claims stop until it is examined
-- 4. of the earlier ids the newest stay: two installations with one witness begin an epoch each second
-- 5. from time to time write down the time: in a restored copy it says when the copy was made
--
-- USES clock epoch
-- KEYS
--   epoch          hash    id, claims, admissions, seen_ms; before:{id} for earlier ids; cause, since_ms and good_ms
--                          of the last stop
--   pauses         hash    the field `epoch` stops all buying
-- ARGV
--   id             str     the store's id as the witness saw it; "" when it remembers nothing
--   claim_number   int     the last claim that the witness saw
--   claim_nonce    str     its nonce
--   admission_number int   the last admission that it saw
--   admission_job  str     its job
--   seen_ms        int     when it saw them
--   given_cause    str     why the store is not to be trusted in any case; "" for no reason
--   new_id         str     the id of a new epoch
--   sentence       str     for callers, while buying is stopped
--   keep_earlier   int     how many earlier ids are kept
--   seen_every_ms  int     how often the time is written down
--
-- CONFIRMED by the replicas that are expected
-- Returns {cause: "empty" | "other" | "forgotten" | "restored" | "", id: str, now_ms: int, stopped: int, claims: int,
--   claim: str, admissions: int, admission: str}  the last claim is `number nonce`, the last admission `number job`
local epoch = redis.call('HMGET', key.epoch, 'id', 'seen_ms', 'good_ms')
local id, seen_ms = epoch[1], epoch[2]
local stopped = claims_stopped()

local cause = stopped and '' or arg.given_cause
if cause == '' and arg.id ~= '' then
  if not id then
    cause = 'empty'
  elseif id == arg.id then
    local complete = knows_entry('claims', tonumber(arg.claim_number), arg.claim_nonce)
      and knows_entry('admissions', tonumber(arg.admission_number), arg.admission_job)
    cause = complete and '' or 'forgotten'
  elseif redis.call('HEXISTS', key.epoch, 'before:' .. arg.id) == 0 then
    cause = 'other'
  end
end

if cause ~= '' then
  local good_ms = math.min(tonumber(seen_ms or arg.seen_ms), tonumber(arg.seen_ms))
  if stopped and epoch[3] then
    good_ms = math.min(good_ms, tonumber(epoch[3]))
  end
  for _, earlier in ipairs({id or arg.id, arg.id}) do
    if earlier ~= '' then
      redis.call('HSET', key.epoch, 'before:' .. earlier, digits(now))
    end
  end
  local earlier, flat = {}, redis.call('HGETALL', key.epoch)
  for i = 1, #flat, 2 do
    if string.sub(flat[i], 1, 7) == 'before:' then earlier[#earlier + 1] = {flat[i], tonumber(flat[i + 1])} end
  end
  table.sort(earlier, function(a, b) return a[2] > b[2] end)
  for i = tonumber(arg.keep_earlier) + 1, #earlier do redis.call('HDEL', key.epoch, earlier[i][1]) end
  redis.call('HSET', key.epoch, 'cause', cause, 'since_ms', digits(now), 'good_ms', digits(good_ms))
  redis.call('HSET', key.pauses, 'epoch', arg.sentence)
  stopped = true
end
if cause ~= '' or not id then
  id = arg.new_id
  redis.call('HSET', key.epoch, 'id', id)
end
if cause ~= '' or not seen_ms or now - seen_ms >= tonumber(arg.seen_every_ms) then
  redis.call('HSET', key.epoch, 'seen_ms', digits(now))
end
local claims, admissions = counted('claims'), counted('admissions')
return {
  cause, id, now, stopped and 1 or 0,
  claims, entry_at('claims', claims),
  admissions, entry_at('admissions', admissions),
}
