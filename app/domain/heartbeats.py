"""Heartbeats of worker processes name their role."""

ROLES = ("deliveries", "lanes", "work")  # each needs at least one process
