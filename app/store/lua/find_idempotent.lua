#!lua flags=no-writes
-- Finds the job of an idempotency key.
--
-- USES idempotency
-- KEYS
--   idempotency    string  what is remembered of the key
--   idempotency_before hash  the same, written by an older version
-- ARGV
--   fingerprint    str     SHA-256 of the request
--   tag            str     its first twelve characters in base64
--
-- Returns {job_id: str, same: int} | {}  1 for the same request; empty when the key was not used before
local found, job, same = find_idempotent(key.idempotency, key.idempotency_before, arg.tag, arg.fingerprint)
return found and {job, same and 1 or 0} or {}
