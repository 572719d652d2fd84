#!lua flags=no-writes
-- Which job an idempotency key led to.
--
-- USES idempotency
-- KEYS
--   idempotency    string  what is remembered of the key
--   idempotency_before hash    the same, as an older version wrote it
-- ARGV
--   fingerprint    str     SHA-256 of the request
--   tag            str     the same in twelve characters
--
-- Returns {job_id: str, same: int} | {}  1 for the same request; empty when the key was not used before
local found, job, same = find_idempotent(key.idempotency, key.idempotency_before, arg.tag, arg.fingerprint)
return found and {job, same and 1 or 0} or {}
