#!lua flags=no-writes
-- Which job an idempotency key led to.
--
-- USES idempotency
-- KEYS
--   idem           string  what is remembered of the key
--   idem_before    hash    the same, as an older version wrote it
-- ARGV
--   fingerprint    str     SHA-256 of the request
--   mark           str     the same in twelve characters
--
-- Returns {job_id: str, same: int} | {}  1 for the same request; empty when the key was not used before
local found, job, same = idem_found(key.idem, key.idem_before, arg.mark, arg.fingerprint)
return found and {job, same and 1 or 0} or {}
