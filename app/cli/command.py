"""The command, put together: one module for each of its words."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from app import __version__
from app.cli import INTERRUPTED, audit, backup, buying, jobs, keys, ledger, limits, roles, teams, users, webhooks
from app.cli.exits import CONFIGURATION, FAILED, Failure
from app.cli.generate import generate
from app.cli.up import up
from app.cli.usage import usage
from app.domain.errors import FilmgateError
from app.embedded import EmbeddedError, NotPrivate
from app.settings import SettingsError

cli = typer.Typer(
    name="filmgate",
    help="A self-hosted gateway in front of fal.ai's queue for Kling image-to-video.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
cli.command("up")(up)
cli.command("usage")(usage)
cli.command("status")(buying.status)
cli.command("pause")(buying.pause)
cli.command("resume")(buying.resume)
cli.command("generate")(generate)
cli.command("backup")(backup.backup)
cli.command("restore")(backup.restore)
cli.command("serve")(roles.serve)
cli.command("worker")(roles.worker)
cli.command(
    "emulator", context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)(roles.emulator)
cli.add_typer(jobs.group, name="jobs")
cli.add_typer(teams.group, name="teams")
cli.add_typer(users.group, name="users")
cli.add_typer(keys.group, name="keys")
cli.add_typer(limits.group, name="limits")
cli.add_typer(ledger.group, name="ledger")
cli.add_typer(audit.group, name="audit")
cli.add_typer(backup.group, name="epoch")
cli.add_typer(webhooks.group, name="webhooks")


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


def run(words: Sequence[str] | None = None) -> None:
    """Run the command with these words, else the process's own; every failure is one sentence on stderr."""
    try:
        code = cli(args=words, standalone_mode=False)
    except typer.Abort:
        sys.exit(INTERRUPTED)
    except typer.TyperException as error:  # wrong usage; where only help was asked for, it has been printed
        _end(_sentence(error.format_message()), error.exit_code)
    except (SettingsError, NotPrivate) as error:
        _end(str(error), CONFIGURATION)
    except FilmgateError as error:
        _end(error.message, FAILED)
    except (Failure, EmbeddedError) as error:
        _end(str(error), FAILED)
    sys.exit(code or 0)


def _sentence(text: str) -> str:
    """Typer's words with a full stop."""
    return f"{text}." if text and text[-1] not in ".?!" else text


def _end(sentence: str, code: int) -> None:
    if sentence:
        typer.echo(f"filmgate: {sentence}", err=True)
    sys.exit(code)
