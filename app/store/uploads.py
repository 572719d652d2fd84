"""Uploads by fal's clients in the store: who may upload, which parts have arrived, and where the file is."""

from collections.abc import Mapping

from app.domain.accounts import Caller
from app.domain.ids import join_ref
from app.domain.uploads import Part, PartOutcome, Upload
from app.store import keys, scripts
from app.store.client import Client
from app.store.clock import milliseconds
from app.store.connection import store_errors
from app.store.outstanding import OutstandingStore
from app.store.reads import pairs

MAX_UNFINISHED_PER_TEAM = 8  # with parts, of up to 30 MB each; fal's clients send images in one piece
MAX_UNFINISHED = 32


class UploadStore:
    """Uploads by team; each one expires."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self.outstanding = OutstandingStore(redis)

    async def begin(self, upload: Upload, *, lifetime_ms: int) -> int:
        """Write a new upload; the store's time (ms) at which it expires unless its bytes arrive."""
        caller = upload.caller
        fields = {"id": upload.id, "name": upload.name}
        fields |= {"user": caller.user, "key": caller.key, "digest": caller.digest}
        if caller.token is not None:
            fields["token"] = caller.token
        name = keys.upload(caller.team, upload.id)
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hset(name, mapping=fields)
            pipe.pexpire(name, lifetime_ms)
            pipe.time()
            *_, (seconds, micros) = await pipe.execute()
        return milliseconds(seconds, micros) + lifetime_ms

    async def find(self, team: str, upload_id: str) -> tuple[Upload | None, int]:
        """The upload, or None, and the store's time (ms)."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=False)
            pipe.hgetall(keys.upload(team, upload_id))
            pipe.time()
            row, (seconds, micros) = await pipe.execute()
        return _upload(team, row) if row else None, milliseconds(seconds, micros)

    async def get_visible(self, team: str, upload_id: str, visible: tuple[str, str] | None) -> Upload | None:
        """The upload, if it has this value in this field (`visibility_filter`); None otherwise."""
        field, value = visible or ("", "")
        with store_errors():
            flat = await scripts.read_visible(
                self._redis, record=keys.upload(team, upload_id), field=field, value=value
            )
        return _upload(team, pairs(flat)) if flat else None

    async def register_part(self, upload: Upload, part: Part, *, limit: int, place: str) -> PartOutcome:
        """Register a part before it is written to the directory `place`; `limit` is for all parts, in bytes."""
        team = upload.caller.team
        with store_errors():
            return await scripts.register_part(
                self._redis,
                upload=keys.upload(team, upload.id),
                team_parts=keys.parts(team),
                ref=join_ref(team, upload.id),
                number=part.number,
                etag=part.etag,
                size=part.size,
                folder=place,
                max_bytes=limit,
                team_max=MAX_UNFINISHED_PER_TEAM,
                all_max=MAX_UNFINISHED,
            )

    async def finish(
        self, upload: Upload, *, url: str, sha256: str, lifetime_ms: int, kept: bool = False
    ) -> tuple[str, str] | None:
        """URL and SHA-256 of the file that arrived first; None when the upload has expired.

        `kept`: it is in the storage, and can be sent to fal again.
        """
        team = upload.caller.team
        with store_errors():
            answer = await scripts.finish_upload(
                self._redis,
                upload=keys.upload(team, upload.id),
                team_parts=keys.parts(team),
                ref=join_ref(team, upload.id),
                url=url,
                sha256=sha256,
                lifetime_ms=lifetime_ms,
                kept=kept,
            )
        return answer or None

    async def record_url(self, upload: Upload, url: str) -> None:
        """Record the URL at which fal reads a file that was sent once more."""
        with store_errors():
            await scripts.resend_upload(self._redis, upload=keys.upload(upload.caller.team, upload.id), url=url)


def _upload(team: str, row: Mapping[str, str]) -> Upload:
    caller = Caller(
        team=team,
        user=row["user"],
        key=row["key"],
        scopes=frozenset(),  # it may upload, and nothing else
        digest=row["digest"],
        token=row.get("token"),
    )
    parts = tuple(_part(name, value) for name, value in row.items() if name.startswith("part:"))
    sent = row.get("sent_ms")
    return Upload(
        row["id"],
        caller,
        row["name"],
        row.get("url"),
        row.get("sha256"),
        parts,
        row.get("place"),
        None if sent is None else int(sent),
    )


def _part(name: str, value: str) -> Part:
    size, _, etag = value.partition(" ")
    return Part(int(name.removeprefix("part:")), etag, int(size))
