"""Uploads of fal's clients in the store: who may bring bytes, what has come, and where it is."""

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

UNFINISHED_OF_TEAM = 8  # uploads with parts, of up to 30 MB each; fal's clients send in one go what we take
UNFINISHED_OF_ALL = 32


class UploadStore:
    """Keeps uploads under their team; each one ends by itself."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self.outstanding = OutstandingStore(redis)

    async def begin(self, upload: Upload, *, lifetime_ms: int) -> int:
        """Write down a new upload; the store's time (ms) at which it ends unless its bytes come."""
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

    async def get_visible(self, team: str, upload_id: str, mark: tuple[str, str] | None) -> Upload | None:
        """The upload if this field of it has this value; None where it has not, as where there is none."""
        wanted, value = mark or ("", "")
        with store_errors():
            flat = await scripts.read_visible(
                self._redis, record=keys.upload(team, upload_id), field=wanted, value=value
            )
        return _upload(team, pairs(flat)) if flat else None

    async def register_part(self, upload: Upload, part: Part, *, limit: int, place: str) -> PartOutcome:
        """Note a part before it is written in this place; `limit` is what all may have together, in bytes."""
        team = upload.caller.team
        with store_errors():
            return await scripts.register_part(
                self._redis,
                upload=keys.upload(team, upload.id),
                team=keys.parts(team),
                all=keys.PARTS,
                ref=join_ref(team, upload.id),
                number=part.number,
                etag=part.etag,
                size=part.size,
                folder=place,
                max_bytes=limit,
                team_max=UNFINISHED_OF_TEAM,
                all_max=UNFINISHED_OF_ALL,
            )

    async def finish(self, upload: Upload, *, url: str, sha256: str, lifetime_ms: int) -> tuple[str, str] | None:
        """URL and SHA-256 of the bytes that came first; None when the upload is gone."""
        team = upload.caller.team
        with store_errors():
            answer = await scripts.finish_upload(
                self._redis,
                upload=keys.upload(team, upload.id),
                team=keys.parts(team),
                all=keys.PARTS,
                ref=join_ref(team, upload.id),
                url=url,
                sha256=sha256,
                lifetime_ms=lifetime_ms,
            )
        return answer or None


def _upload(team: str, row: Mapping[str, str]) -> Upload:
    caller = Caller(
        team=team,
        user=row["user"],
        key=row["key"],
        scopes=frozenset(),  # it brings bytes, and does nothing else
        digest=row["digest"],
        token=row.get("token"),
    )
    parts = tuple(_part(name, value) for name, value in row.items() if name.startswith("part:"))
    return Upload(row["id"], caller, row["name"], row.get("url"), row.get("sha256"), parts, row.get("place"))


def _part(name: str, value: str) -> Part:
    size, _, etag = value.partition(" ")
    return Part(int(name.removeprefix("part:")), etag, int(size))
