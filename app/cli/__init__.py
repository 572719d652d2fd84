"""The command `filmgate`. Exit codes: 0 done, 1 the thing failed, 2 wrong usage, 78 configuration refused."""

import sys

INTERRUPTED = 130  # as a shell reports a program ended by Ctrl-C


def main() -> None:
    """Run the command; Ctrl-C while it still loads ends it quietly."""
    try:
        from app.cli.command import run  # noqa: PLC0415  loading takes a second, in which Ctrl-C may come
        from app.telemetry import set_up_logs  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    set_up_logs("auto", process="cli")  # to stderr: stdout is for answers
    run()
