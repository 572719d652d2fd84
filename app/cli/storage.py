"""`filmgate storage`: accept another storage than the one that was used before."""

from typing import TYPE_CHECKING, Any

import typer

from app.cli.exits import Failure
from app.cli.parse import actor
from app.cli.store_command import store_command
from app.cli.tables import print_view

if TYPE_CHECKING:
    from app.gateway import Gateway  # slow to load: see store_command

group = typer.Typer(no_args_is_help=True)


@group.callback()
def storage() -> None:
    """The storage of clips and files (FILMGATE_STORAGE)."""


@group.command("adopt")
@store_command(print_view)
async def adopt(gateway: "Gateway") -> dict[str, Any]:
    """Accept FILMGATE_STORAGE as it is now, although it is not the storage that was used before.

    Kept clips that are not in it are lost, or stay on the disk that was used before. Mount that one instead if it
    can still be mounted.
    """
    if gateway.storage is None:
        raise Failure("FILMGATE_STORAGE is not set, so there is no storage to accept (docs/storage.md).")
    mark = await gateway.storage_mark.adopt(actor(), gateway.storage)
    await gateway.storage.trial()
    return {"storage": str(gateway.storage.address), "mark": mark}
