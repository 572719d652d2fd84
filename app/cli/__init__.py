"""The command `filmgate`. Exit codes: 0 done, 1 failed, 2 wrong usage, 78 configuration refused."""

import sys

INTERRUPTED = 130  # as a shell reports a program ended by Ctrl-C


def main() -> None:
    """Run the command; Ctrl-C while it loads ends it silently."""
    try:
        from app.cli.command import run  # noqa: PLC0415  loading takes time, in which Ctrl-C may come
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run(before_command=_send_logs_to_stderr)


def _send_logs_to_stderr() -> None:
    """Stdout is for output."""
    from app.telemetry import set_up_logs  # noqa: PLC0415  slow to load, and not needed for the help

    set_up_logs("auto", process="cli")
