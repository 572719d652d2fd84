"""`filmgate migrate`: the store's data in this version's format, before or while the new processes start."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

import typer

from app.cli.exits import Failure
from app.cli.store_command import with_gateway
from app.cli.tables import AsJson, print_view

if TYPE_CHECKING:
    from app.gateway import Gateway  # slow to load: see store_command

POLL_S = 0.2
SAY_EVERY_S = 5.0
STORE_PATIENCE_S = 60.0  # a job of Kubernetes may start before its store
PATIENCE_S = 120.0  # for another process: old ones that are being replaced count for a minute after they ended


def migrate(*, as_json: AsJson = False) -> None:
    """Bring the store's data to this version's format, while jobs continue; exit 0 when it has it.

    May be stopped or killed at any time, and run anywhere and more than once. The workers do the same in the
    background after every upgrade; this command is for those who want to see the end of it.
    """
    print_view(with_gateway(_migrate, patience=STORE_PATIENCE_S), as_json=as_json)


async def _migrate(gateway: "Gateway") -> dict[str, Any]:
    migrator = gateway.migrator
    before = (await migrator.state()).number
    waits_since: float | None = None
    say_at = time.monotonic() + SAY_EVERY_S
    while True:
        progress = await migrator.step()
        if progress.done:
            return {"format": progress.number, "before": before, "rewritten": progress.changed}
        now = time.monotonic()
        if now >= say_at:
            say_at = now + SAY_EVERY_S
            typer.echo(progress.waits_for or f"{progress.changed} records rewritten …", err=True)
        if progress.waits_for is None:
            waits_since = None
            continue
        waits_since = waits_since or now
        if now - waits_since > PATIENCE_S:
            raise Failure(f"The store was not migrated: {progress.waits_for}")
        await asyncio.sleep(POLL_S)
