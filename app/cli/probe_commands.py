"""The probes as commands with a help. `app/cli/__init__.py` answers their usual forms without loading this."""

from typing import Annotated

import typer

from app.cli.exits import Failure
from app.cli.probes import Role, why_not_alive, why_not_ready


def alive() -> None:
    """Ask the API of this machine whether its process answers, as it listens by the settings, also with TLS."""
    if why := why_not_alive():
        raise Failure(why)


def ready(role: Annotated[Role, typer.Argument(metavar="ROLE", help="Which process of this machine.")]) -> None:
    """Ask whether the API or the workers of this machine can do their work now; 1 and the reason if not.

    The workers touch the file workers.ready in FILMGATE_DATA_DIR while they are ready.
    """
    if why := why_not_ready(role):
        raise Failure(why)
