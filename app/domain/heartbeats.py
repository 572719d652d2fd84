"""Heartbeats: what worker processes say that they work on."""

ROLES = ("deliveries", "lanes", "work")  # without a process of each something waits
