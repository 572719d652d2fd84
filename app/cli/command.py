"""The command: its words, each loaded when it is asked for, and how it ends."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from app import __version__
from app.cli import INTERRUPTED
from app.cli.exits import CONFIGURATION, FAILED, Failure


class CommandSpec(NamedTuple):
    """One word of the command: its function, or its `typer.Typer` of further words, and its line in the help."""

    module: str
    name: str
    help: str


COMMANDS = {
    "up": CommandSpec(
        "app.cli.up",
        "up",
        "Start everything on this machine: store, emulator (without FAL_KEY), API, workers. Ctrl-C stops it all.",
    ),
    "usage": CommandSpec(
        "app.cli.usage",
        "usage",
        "Show jobs, seconds of video and dollars, by the time of the jobs' admission, of every team or of one.",
    ),
    "status": CommandSpec(
        "app.cli.buying",
        "status",
        "Show slots, breaker, pauses, who waits, workers, held jobs, what is set aside and the newest alarms.",
    ),
    "pause": CommandSpec(
        "app.cli.buying",
        "pause",
        "Stop buying. Jobs are accepted and wait, and their callers see the reason; what was bought goes on.",
    ),
    "resume": CommandSpec("app.cli.buying", "resume", "Let buying go on; for everybody, the breaker closes too."),
    "generate": CommandSpec(
        "app.cli.generate",
        "generate",
        "Make a clip from an image: upload, submit, follow, download. Prints the clip's path.",
    ),
    "backup": CommandSpec(
        "app.cli.backup", "backup", "Copy the running store into a directory; the store goes on meanwhile."
    ),
    "restore": CommandSpec(
        "app.cli.backup",
        "restore",
        "Put a backup in the place of the embedded store's data. Nothing is bought until somebody has looked.",
    ),
    "serve": CommandSpec("app.cli.roles", "serve", "Serve the API, until SIGTERM."),
    "worker": CommandSpec("app.cli.roles", "worker", "Run the workers of this host, until SIGTERM."),
    "emulator": CommandSpec(
        "app.cli.roles",
        "emulator",
        "Run a local fal, for development and tests; its own options follow (see `filmgate emulator --help`).",
    ),
    "jobs": CommandSpec("app.cli.jobs", "group", "Look at jobs, and end held ones."),
    "teams": CommandSpec("app.cli.teams", "group", "Teams: who pays together."),
    "users": CommandSpec("app.cli.users", "group", "Users: the people and services of a team."),
    "keys": CommandSpec("app.cli.keys", "group", "Keys: give them, change them, take them away."),
    "limits": CommandSpec("app.cli.limits", "group", "Limits: how much of what, in which window, for whom."),
    "ledger": CommandSpec(
        "app.cli.ledger", "group", "The books: every movement of money, credits and corrections."
    ),
    "audit": CommandSpec("app.cli.audit", "group", "The audit log: who did what."),
    "epoch": CommandSpec("app.cli.backup", "group", "Has the store gone back in time, and may it buy?"),
    "webhooks": CommandSpec(
        "app.cli.webhooks", "group", "Forward events to this machine; see and replay webhooks."
    ),
}
RAW_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


class LazyGroup(TyperGroup):
    """All words in the help, one of them in memory: loading all takes longer than most of them work."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=word.help) for name, word in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As Typer does it, for a run and for the shell's completion, after loading the word that was asked for."""
        if args and args[0] in COMMANDS:
            ctx.obj()
            self.commands[args[0]] = load(args[0])
        return super().resolve_command(ctx, args)


def load(name: str) -> Any:
    """The command or the group of this word."""
    word = COMMANDS[name]
    found = getattr(import_module(word.module), word.name)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
        alone.command(name, context_settings=RAW_ARGUMENTS if name == "emulator" else None)(found)
        return typer.main.get_command(alone)
    group = typer.main.get_group(found)
    group.name, group.help = name, word.help
    return group


cli = typer.Typer(
    name="filmgate",
    cls=LazyGroup,
    help="A self-hosted gateway in front of fal.ai's queue for Kling image-to-video.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001  typer calls it so
    if wanted:
        typer.echo(f"filmgate {__version__}")
        raise typer.Exit


@cli.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A self-hosted gateway in front of fal.ai's queue for Kling image-to-video."""


def run(words: Sequence[str] | None = None, *, before_command: Callable[[], None] = lambda: None) -> None:
    """Run the command with these words, else the process's own; every failure is one sentence on stderr.

    `before_command` is called before one is loaded, not for the help.
    """
    try:
        code = cli(args=words, prog_name="filmgate", standalone_mode=False, obj=before_command)
    except typer.Abort:
        sys.exit(INTERRUPTED)
    except typer.TyperException as error:  # wrong usage; where only help was asked for, it has been printed
        _end(_sentence(error.format_message()), error.exit_code)
    except Exception as error:
        known = _expected(error)
        if known is None:
            raise
        _end(*known)
    sys.exit(code or 0)


def _expected(error: Exception) -> tuple[str, int] | None:
    """The sentence and the exit code of a failure; None of a fault of ours."""
    from app.data_dir import NotPrivate  # noqa: PLC0415
    from app.domain.errors import FilmgateError  # noqa: PLC0415  loaded by now, by whatever raised one of these
    from app.engines import EmbeddedError  # noqa: PLC0415
    from app.settings import SettingsError  # noqa: PLC0415

    if isinstance(error, SettingsError | NotPrivate):
        return str(error), CONFIGURATION
    if isinstance(error, FilmgateError):
        return error.message, FAILED
    return (str(error), FAILED) if isinstance(error, Failure | EmbeddedError) else None


def _sentence(text: str) -> str:
    """Typer's words with a full stop."""
    return f"{text}." if text and text[-1] not in ".?!" else text


def _end(sentence: str, code: int) -> None:
    if sentence:
        typer.echo(f"filmgate: {sentence}", err=True)
    sys.exit(code)
