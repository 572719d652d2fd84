#!lua
-- Does the store take writes? It changes nothing: the server refuses a script that could write, before it begins,
-- where memory is used up, the disk takes nothing, replicas are missing, or it is a replica itself.
--
-- KEYS
-- ARGV
--
-- Returns 1
return 1
