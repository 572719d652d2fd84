"""The commands, each loaded on use, and exit codes."""

import errno
import inspect
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any, NamedTuple, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from app import __version__
from app.cli import INTERRUPTED
from app.cli.exits import CONFIGURATION, FAILED, Failure, leave_stdout


class CommandSpec(NamedTuple):
    """A command: its module in `app.cli`, the name of its function or `typer.Typer` there, and its help."""

    module: str
    name: str
    help: str


COMMANDS = {
    "up": CommandSpec("up", "up", "Start store, emulator (without FAL_KEY), API and workers; Ctrl-C stops them."),
    "usage": CommandSpec("usage", "usage", "Show jobs, seconds of video and dollars, of every team or of one."),
    "status": CommandSpec("buying", "status", "Show slots, breaker, pauses, queue, workers, held jobs and alarms."),
    "pause": CommandSpec("buying", "pause", "Stop buying. New jobs wait; jobs that were bought continue."),
    "resume": CommandSpec("buying", "resume", "Resume buying; without --team this also closes the breaker."),
    "generate": CommandSpec("generate", "generate", "Make a clip and print its path; of a voice, print its id."),
    "backup": CommandSpec(
        "backup",
        "backup",
        "Copy the running store into a directory or the storage, or a backup of the storage into a directory.",
    ),
    "restore": CommandSpec("backup", "restore", "Replace the embedded store's data by a backup."),
    "doctor": CommandSpec(
        "doctor",
        "doctor",
        "Check settings, store, workers, fal, storage, clock, certificate, prices and alarms; exit 1 for a fault.",
    ),
    "migrate": CommandSpec(
        "migrate",
        "migrate",
        "Bring the store's data to this version's format, while jobs continue; exit 0 when it has it.",
    ),
    "serve": CommandSpec("roles", "serve", "Serve the API, until SIGTERM; SIGHUP reads the certificate again."),
    "worker": CommandSpec("roles", "worker", "Run the workers of this host, until SIGTERM."),
    "alive": CommandSpec(
        "probe_commands",
        "alive",
        "Ask the API of this machine whether its process answers, as it listens by the settings, also with TLS.",
    ),
    "ready": CommandSpec(
        "probe_commands",
        "ready",
        "Ask whether the API or the workers of this machine can do their work now; 1 and the reason if not.",
    ),
    "emulator": CommandSpec("roles", "emulator", "Run a local fal, for development and tests."),
    "logs": CommandSpec(
        "log_view",
        "logs",
        "Show the logs of `filmgate up` as text, the oldest of the newest lines first; times are UTC.",
    ),
    "models": CommandSpec("models", "group", "Models: compare them with what fal offers."),
    "jobs": CommandSpec("jobs", "group", "Show jobs, decide held ones, release quarantined steps."),
    "teams": CommandSpec("teams", "group", "Teams: they share limits and money."),
    "users": CommandSpec("users", "group", "Users: the people and services of a team."),
    "keys": CommandSpec("keys", "group", "Keys: create, show, rotate and revoke them."),
    "limits": CommandSpec("limits", "group", "Limits: how much of what, in which window, for whom."),
    "ledger": CommandSpec("ledger", "group", "The ledger: every movement of money, credits and corrections."),
    "audit": CommandSpec("audit", "group", "The log of administrative acts."),
    "export": CommandSpec("export", "group", "Export the ledger or the audit log, as JSON lines or CSV."),
    "epoch": CommandSpec("backup", "group", "Has the store gone back in time, and may it buy?"),
    "alerts": CommandSpec("alerts", "group", "Alarms that are sent out: try the receiver."),
    "storage": CommandSpec("storage", "group", "The storage of clips and files: accept another one."),
    "webhooks": CommandSpec(
        "webhooks", "group", "Forward events to this machine; endpoints; show and replay deliveries."
    ),
}
AS_ADMIN = "run this as the store's user `admin` (in compose: `docker compose run --rm admin …`)"
UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
KINDS: dict[Any, str] = {str: "TEXT", list[str]: "TEXT", int: "COUNT", float: "NUMBER"}
RAW_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


class LazyGroup(TyperGroup):
    """Shows all commands in the help, and loads only the one that runs: loading all takes longer than most run."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=spec.help) for name, spec in COMMANDS.items()}

    def get_params(self, ctx: Any) -> list[Any]:
        """As Typer does it, with words for what the options take."""
        found = super().get_params(ctx)
        for parameter in found:
            _name_kind(parameter)
        return found

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As Typer does it, for a run and for the shell's completion, after loading the command."""
        if args and args[0] in COMMANDS:
            ctx.obj()
            self.commands[args[0]] = load(args[0])
        return super().resolve_command(ctx, args)


def load(name: str) -> Any:
    """The command or group of this name."""
    spec = COMMANDS[name]
    found = getattr(import_module(f"app.cli.{spec.module}"), spec.name)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
        alone.command(name, context_settings=RAW_ARGUMENTS if name == "emulator" else None)(found)
        return _in_words(typer.main.get_command(alone))
    group = typer.main.get_group(found)
    group.name, group.help = name, spec.help
    return _in_words(group)


def _in_words(command: Any) -> Any:
    """The command, whose help has a word for each kind of value instead of Python's types.

    Its paragraphs flow in the terminal's width, however they are written in the source.
    """
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    context = typer.Context(command, **command.context_settings)
    for parameter in command.get_params(context):  # with --help, which it keeps
        _name_kind(parameter)
    for inner in getattr(command, "commands", {}).values():
        _in_words(inner)
    return command


def _name_kind(parameter: Any) -> None:
    """A word for the kind of value; none for a flag, and for an argument, which its name describes."""
    kind = parameter.type_descriptor
    choices = "|".join(str(getattr(choice, "value", choice)) for choice in kind.choices) if kind.is_choice else None
    if parameter.param_type_name == "argument":
        parameter.display_type_rich = lambda ctx: choices  # noqa: ARG005  as typer calls it
    elif parameter.metavar is None:
        parameter.metavar = "" if parameter.is_flag else choices or KINDS.get(kind.annotation)


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


def run(words: Sequence[str] | None = None, *, before_command: Callable[[], None] = lambda: None) -> NoReturn:
    """Run a command, by default with the process's arguments; a failure is one sentence on stderr.

    `before_command` is called before a command is loaded, not for the help.
    """
    try:
        code = cli(args=words, prog_name="filmgate", standalone_mode=False, obj=before_command)
    except typer.Abort:
        sys.exit(INTERRUPTED)
    except typer.TyperException as error:  # wrong usage; its message is empty where help was printed
        _end(_sentence(error), error.exit_code)
    except Exception as error:
        expected = _expected(error)
        if expected is None:
            raise
        _end(*expected)
    sys.exit(code or 0)


def _expected(error: Exception) -> tuple[str, int] | None:
    """The sentence and the exit code of a failure; None for a bug."""
    from app.data_dir import NotPrivate  # noqa: PLC0415
    from app.domain.errors import FilmgateError, StoreDenied  # noqa: PLC0415  loaded by whatever raised one
    from app.engines import EmbeddedError  # noqa: PLC0415
    from app.settings import SettingsError  # noqa: PLC0415

    if isinstance(error, SettingsError | NotPrivate):
        return str(error), CONFIGURATION
    if isinstance(error, StoreDenied):
        return f"{error.sentence}; {AS_ADMIN}, or give it that right (docs/store.md).", FAILED
    if isinstance(error, FilmgateError):
        return error.message, FAILED
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        if error.filename is None:  # a write, to stdout or an open file
            leave_stdout()
        return f"{error.filename or 'The output or a file'} cannot be written ({error.strerror}).", FAILED
    return (str(error), FAILED) if isinstance(error, Failure | EmbeddedError) else None


def _sentence(error: typer.TyperException) -> str:
    """Typer's message with a full stop, without pydantic's words; for an unknown command, where they are listed."""
    text = error.format_message().replace("Value error, ", "").replace("Input should be", "it should be")
    text = " ".join(text.split())  # choices come one a line
    text = f"{text}." if text and text[-1] not in ".?!" else text
    if text.startswith("No such command") and "Did you mean" not in text:
        context = getattr(error, "ctx", None)
        text += f" `{context.command_path if context else 'filmgate'} --help` lists them."
    return text


def _end(sentence: str, code: int) -> NoReturn:
    if sentence:
        typer.echo(f"filmgate: {sentence}", err=True)
    sys.exit(code)
