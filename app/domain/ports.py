"""Numbers of TCP ports. It loads nothing, because probes read it."""

LAST_PORT = 65_535
