#!lua flags=allow-oom
-- Records what became of the answer to a submission of fal's clients.
--
-- whole: handed over, so that an equal submission is a new request. lost: the next equal submission is its repeat.
-- open: the caller is still connected. withdrawn: it was whole, and then the connection showed that it was not read.
--
-- USES clock answers
-- KEYS
--   answers        hash    the answers to equal submissions that may be lost
-- ARGV
--   answer         str     the answer's id
--   job            str     the job that it names
--   state          str     whole, lost, open or withdrawn
--   kept_ms        int     how long it is remembered
--
-- Returns bool  whether it was recorded; false when it is not remembered, as when a repeat has replaced it
if arg.state == 'whole' then
  return redis.call('HDEL', key.answers, arg.answer)
elseif arg.state == 'withdrawn' then
  owe_answer(key.answers, arg.answer, digits(now), arg.job, 'lost', arg.kept_ms)
  return 1
end
local owed = redis.call('HGET', key.answers, arg.answer)
if not owed then
  return 0
end
local state = arg.state == 'open' and digits(now) or 'lost'
owe_answer(key.answers, arg.answer, string.match(owed, '^%d+'), arg.job, state, arg.kept_ms)
return 1
