-- Writes the packed facts of an ended job into its record again, for what scripts must know of it: `field, value, …`.
local function write_facts(job_key, facts)
  for i = 1, #facts, 2 do
    redis.call('HSETNX', job_key, facts[i], facts[i + 1])
  end
end
