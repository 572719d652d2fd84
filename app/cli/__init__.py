"""The command `filmgate`. Exit codes: 0 done, 1 failed, 2 wrong usage, 78 configuration refused."""

import sys

INTERRUPTED = 130  # as a shell reports a program ended by Ctrl-C
PROBES = (["alive"], ["ready", "api"], ["ready", "worker"])


def main() -> None:
    """Run the command; Ctrl-C while it loads ends it silently."""
    if sys.argv[1:] in PROBES:
        sys.exit(_probe(sys.argv[1:]))
    try:
        from app.cli.command import run  # noqa: PLC0415  loading takes time, in which Ctrl-C may come
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run(before_command=_send_logs_to_stderr)


def _send_logs_to_stderr() -> None:
    """Stdout is for output."""
    from app.telemetry import set_up_logs  # noqa: PLC0415  slow to load, and not needed for the help

    set_up_logs("auto", process="cli")


def _probe(words: list[str]) -> int:
    """A probe's exit code. It loads next to nothing: one is started every few seconds."""
    from app.cli.probes import why_not_alive, why_not_ready  # noqa: PLC0415  the others do not need it

    why = why_not_alive() if words == ["alive"] else why_not_ready("worker" if words[-1] == "worker" else "api")
    if why is not None:
        print(f"filmgate: {why}", file=sys.stderr)  # noqa: T201  a command
    return int(why is not None)
