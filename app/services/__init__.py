"""The operations behind the APIs and commands: no HTTP in here, and no Redis."""
