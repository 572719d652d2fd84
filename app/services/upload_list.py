"""Lists of uploaded files: a user's own, or the team's."""

from dataclasses import dataclass

from app.domain.access import require_key, require_scope
from app.domain.accounts import Caller, Scope
from app.domain.cursors import read_cursor, write_cursor
from app.store.clock import StoreClock
from app.store.kept_files import KeptFileStore
from app.store.uploaded_files import UploadedFile, UploadedFileStore

CURSOR = "url"  # digests of URLs have no prefix; cursors need one


@dataclass(frozen=True, slots=True)
class UploadPage:
    """Files, those that stay longest first; which of them are kept here; and the cursor of the next page."""

    files: list[UploadedFile]
    kept: frozenset[str]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class UploadList:
    """Pages of what was uploaded."""

    files: UploadedFileStore
    kept_files: KeptFileStore
    clock: StoreClock

    async def page(self, caller: Caller, *, limit: int, cursor: str | None) -> UploadPage:
        """Up to `limit` uploads of the caller, with `team:read` of the team; Forbidden for a browser token."""
        require_key(caller)
        require_scope(caller, Scope.JOBS_READ)
        before = None
        if cursor is not None:
            end, name = read_cursor(cursor, kind=CURSOR)
            before = (end, name.removeprefix(f"{CURSOR}_"))
        files, last = await self.files.page(
            caller.team,
            None if caller.sees_team else caller.user,
            now_ms=await self.clock.now_ms(),
            limit=limit,
            before=before,
        )
        kept = await self.kept_files.kept_of([file.record["kept"] for file in files if "kept" in file.record])
        return UploadPage(files, kept, None if last is None else write_cursor((last[0], f"{CURSOR}_{last[1]}")))
