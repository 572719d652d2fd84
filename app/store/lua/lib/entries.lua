-- Reads the ledger's short entries (lib/money.lua writes them) as those with a field for each word.
local JOB_FIELDS = {'job', 'user', 'key', 'token', 'model', 'seconds', 'price_version'}

local function fields_of(row)
  local entry = {}
  for i = 1, #row[2], 2 do
    entry[row[2][i]] = row[2][i + 1]
  end
  return entry
end

-- Reads `reserve amount at job … price_version`, and how long before that its periods began (ms).
local function read_reserve(words)
  local entry = {type = words[1], amount = words[2], at = words[3], admitted = words[3]}
  for i, name in ipairs(JOB_FIELDS) do
    entry[name] = words[3 + i] ~= '-' and words[3 + i] or ''
  end
  entry.starts = string.gsub(table.concat(words, ' ', 4 + #JOB_FIELDS), '%d+', function(before)
    return digits(words[3] - before)
  end)
  return entry
end

-- The entry in a stream's row; nil for the end of a reservation that is not in the ledger.
local function read_entry(ledger_key, row)
  local entry = fields_of(row)
  local words = split(entry.entry or '')
  local closing
  if words[1] and words[1] ~= 'reserve' then
    closing = words
    local reserved = redis.call('XRANGE', ledger_key, words[4], words[4], 'COUNT', 1)[1]
    if not reserved then
      return nil
    end
    entry = fields_of(reserved)
    words = split(entry.entry or '')
  end
  entry = words[1] and read_reserve(words) or entry
  if closing then
    entry.type, entry.amount, entry.at = closing[1], closing[2], closing[3]
  end
  return entry
end
