"""What worker processes report: a heartbeat in the store with their role, and a file for probes of their host."""

ROLES = ("deliveries", "lanes", "work")  # each needs at least one process
STORAGE_ROLES = ("deliveries", "lanes", "storage", "work")  # where clips are kept
READY_FILE = "workers.ready"  # in the data directory, while the workers of a host can do their work
READY_FILE_FRESH_S = 15.0  # it is written every few seconds; an older one is of a keeper that stands still
