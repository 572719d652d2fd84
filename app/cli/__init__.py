"""The command `filmgate`. Exit codes: 0 done, 1 the thing failed, 2 wrong usage, 78 configuration refused."""

import sys

INTERRUPTED = 130  # as a shell reports a program ended by Ctrl-C


def main() -> None:
    """Run the command; Ctrl-C while it still loads ends it quietly."""
    try:
        from app.cli.command import run  # noqa: PLC0415  loading takes a while, in which Ctrl-C may come
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run(before_command=_send_logs_to_stderr)


def _send_logs_to_stderr() -> None:
    """Stdout is for answers."""
    from app.telemetry import set_up_logs  # noqa: PLC0415  not needed for the help, and slow to load

    set_up_logs("auto", process="cli")
