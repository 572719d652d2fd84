"""Where uploads are: in the storage if there is one, otherwise their parts in a folder of this host."""

from pathlib import Path
from typing import TYPE_CHECKING

from app.media.parts import PartFolder, Parts
from app.store.kept_files import KeptFileStore

if TYPE_CHECKING:
    from app.media.storage import Storage
    from app.services.kept_uploads import KeptUploads


def upload_places(
    storage: "Storage | None", kept: KeptFileStore, folder: Path
) -> "tuple[Parts, KeptUploads | None]":
    """The place of parts of unfinished uploads, and that of whole files; `folder` is on this host.

    The storage's library is loaded only where there is one.
    """
    if storage is None:
        return PartFolder(folder), None
    from app.services.kept_uploads import KeptUploads  # noqa: PLC0415  5 MB
    from app.services.stored_parts import StoredParts  # noqa: PLC0415

    return StoredParts(storage, kept, folder), KeptUploads(storage, kept, folder)
