"""Restores a backup into a data directory whose embedded store is stopped."""

import shutil
from itertools import count
from pathlib import Path

from app.data_dir import DataDirLock, make_private
from app.domain.errors import Conflict
from app.embedded import socket_url
from app.engines import find_engine, require_readable_data
from app.services.backup import ENGINE, FOLDER, Announce, Backup, check, copy_file, write_private
from app.store.witness import Witness, WitnessRecord, sync_directory


def restore(source: Path, data_dir: Path, *, replace: bool, say: Announce) -> tuple[Backup, Path | None]:
    """Put the backup into the data directory; its description, and where earlier data was moved to.

    1. lock the directory
    2. the backup must be undamaged, and readable by this machine's server
    3. refuse earlier data, or with `replace` move it away
    4. mark the witness before anything else, so that a store started on this data does not buy until it is accepted
    5. copy, and rename the copy

    Raises:
        InUse: a gateway runs in the directory.
        EmbeddedError: the server cannot read the data, or there is no server.
        Conflict: there is data already, a server runs on it, or the backup is damaged.
        NotFound: it is no backup.
    """
    make_private(data_dir)
    with DataDirLock(data_dir, "filmgate restore"):
        if socket_url(data_dir) is not None:
            raise Conflict(f"A store still runs in {data_dir}; stop it first.")
        say(f"Checking {source} …")
        backup = check(source)
        require_readable_data(source, find_engine())
        there = data_dir / FOLDER
        if there.exists() and not replace:
            raise Conflict(f"There is data in {data_dir}; with --replace it is moved aside.")
        draft = data_dir / f"{FOLDER}.part"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        say(f"Copying {len(backup.files)} files …")
        for name in backup.files:
            copy_file(source / FOLDER / name, draft / name)
        sync_directory(draft)
        record = WitnessRecord(backup.store_id, backup.claims, "", backup.at_ms)
        Witness(data_dir).distrust(record, backup=backup.made_at)
        aside = _move_away(there) if there.exists() else None
        write_private(data_dir / ENGINE, (source / ENGINE).read_text(encoding="utf-8"))
        draft.rename(there)
        sync_directory(data_dir)
    return backup, aside


def _move_away(there: Path) -> Path:
    """Rename the earlier data to `appendonlydir.before-1`, or to the next free number."""
    names = (there.with_name(f"{there.name}.before-{number}") for number in count(1))
    aside = next(name for name in names if not name.exists())
    there.rename(aside)
    return aside
