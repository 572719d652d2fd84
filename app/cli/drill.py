"""The rehearsal of a restore: a backup becomes a store of its own for a moment, and its books are checked."""

import asyncio
import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from app.cli.exits import Failure
from app.embedded import EmbeddedStore
from app.gateway import open_gateway
from app.services.backup import Announce
from app.services.restore import restore
from app.settings import Settings

LOAD_S = 600.0


def rehearse(source: Path, settings: Settings, say: Announce) -> dict[str, Any]:
    """Restore a backup into a scratch directory below the data directory, verify it, and delete the directory.

    1. the backup's files are as they were written
    2. a server of this machine loads them, on a socket that nobody else knows; nothing is bought, nothing is sent
    3. the store is the one in the backup's description, with at least its claims
    4. the ledger balances, and the audit log is unchanged

    Raises:
        Failure: the books do not balance, or the store is another one.
        FilmgateError, EmbeddedError: as `restore` and the server's start.
    """
    began = time.monotonic()
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="drill-", dir=settings.data_dir.absolute()))
    store = EmbeddedStore(scratch)
    try:
        made, _ = restore(source, scratch, replace=False, say=say)
        say("Loading the restored store …")
        url = store.start()
        say("Verifying its ledger and its audit log …")
        found = asyncio.run(_verify(_of_scratch(settings, url, scratch)))
    finally:
        store.stop()
        shutil.rmtree(scratch, ignore_errors=True)
    if found["store"] != made.store_id or found["claims"] < made.claims:
        raise Failure("The restored store is another one than the backup's description says.")
    view = {"made_at": made.made_at, "way": made.way, "bytes": made.size, **found}
    if found["differences"] or not found["audit_intact"]:
        raise Failure(f"The restored store is not in order: {view}")
    return {**view, "seconds": round(time.monotonic() - began, 1)}


def _of_scratch(settings: Settings, url: str, scratch: Path) -> Settings:
    """The settings of a gateway on the scratch store, which has no key of fal's and cannot spend anything."""
    changes: dict[str, Any] = {
        "redis_url": SecretStr(url),
        "data_dir": scratch,
        "fal_key": None,
        "fal_admin_key": None,
        "store_check": "warn",
        "store_replicas_given": 0,
    }
    return settings.model_copy(update=changes)


async def _verify(settings: Settings) -> dict[str, Any]:
    async with open_gateway(settings, process="drill", patience=LOAD_S, warned=True) as gateway:
        state = await gateway.epoch.state()
        ledger, audit = await gateway.ledger.verify(), await gateway.audit.verify()
        return {
            "store": state.id or "",
            "claims": state.claims,
            "format": (await gateway.migrator.state()).number,
            "teams": ledger.teams,
            "entries": ledger.entries,
            "differences": [asdict(one) for one in ledger.differences],
            "audit_lines": audit.lines,
            "audit_intact": audit.intact,
        }
