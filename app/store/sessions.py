"""Browser sessions and one-time codes in the store, both as the SHA-256 of their secret.

A session is written as browser tokens are, with its key as `parent`: the same scripts end both with the key. Its
end is the expiry of its hash, so that whoever prolongs it cannot bring back one that was removed.
"""

from dataclasses import dataclass

from app.domain.accounts import Caller, Credential
from app.domain.ids import new_id
from app.store import keys, scripts
from app.store.accounts import read_credential_reply
from app.store.client import Client, Row
from app.store.connection import store_errors
from app.store.reads import pairs

MOST = 50  # sessions of one key; the oldest ends for a further one


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as the store has it.

    `credential` is that of its key, under `key_digest`; None where the key is gone, and for the administrator's
    session, which has a `proof` instead.
    """

    remembered: bool
    until_ms: int
    now_ms: int
    key_digest: str
    credential: Credential | None
    proof: str


class SessionStore:
    """Reads and writes sessions and codes."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def add(
        self, digest: str, fields: dict[str, str | int], *, owner: str, now_ms: int, expires_ms: int
    ) -> None:
        """Write a session of this key id, or of `administrator`; the oldest beyond MOST end."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hset(keys.token(digest), mapping=fields)
            pipe.pexpireat(keys.token(digest), expires_ms)
            pipe.zadd(keys.sessions(owner), {digest: now_ms})
            pipe.pexpireat(keys.sessions(owner), int(fields["until_ms"]))
            pipe.zrange(keys.sessions(owner), 0, -MOST - 1)
            *_, oldest = await pipe.execute()
            if oldest:
                pipe = self._redis.pipeline(transaction=True)
                pipe.delete(*map(keys.token, oldest))
                pipe.zrem(keys.sessions(owner), *oldest)
                await pipe.execute()

    async def read(self, digest: str) -> StoredSession | None:
        """The session and what decides whether its key is valid; None when it has ended."""
        with store_errors():
            reply = await scripts.read_credential(self._redis, credential=keys.token(digest))
        now_ms, record, parent, zone, reposts = reply
        row: Row = pairs(record)
        if "until_ms" not in row:  # there is none, or it is a browser token
            return None
        credential = read_credential_reply(now_ms, parent, [], zone, reposts) if parent else None
        return StoredSession(
            remembered=row["remembered"] == "1",
            until_ms=int(row["until_ms"]),
            now_ms=now_ms,
            key_digest=row.get("parent", ""),
            credential=credential,
            proof=row.get("proof", ""),
        )

    async def prolong(self, digest: str, *, expires_ms: int) -> None:
        """Let a session that exists end at this time."""
        with store_errors():
            pipe = self._redis.together()
            pipe.pexpireat(keys.token(digest), expires_ms)
            await pipe.execute()

    async def remove(self, digest: str, *, owner: str) -> None:
        """End a session."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.delete(keys.token(digest))
            pipe.zrem(keys.sessions(owner), digest)
            await pipe.execute()

    async def add_code(self, digest: str, key_digest: str, *, lifetime_ms: int) -> None:
        """Write a code that signs in this key's holder."""
        with store_errors():
            await self._redis.set(keys.code(digest), key_digest, px=lifetime_ms)

    async def take_code(self, digest: str) -> str | None:
        """The digest of the key of this code, which is used up; None for every caller but the first."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.get(keys.code(digest))
            pipe.delete(keys.code(digest))
            key_digest: str | None = (await pipe.execute())[0]
        return key_digest


def session_fields(*, remembered: bool, until_ms: int, caller: Caller | None, proof: str) -> dict[str, str | int]:
    """The hash of a session; `find_revoked.lua` and `read_credential.lua` read `id`, `team` and `parent`."""
    common: dict[str, str | int] = {"id": new_id("ses"), "remembered": int(remembered), "until_ms": until_ms}
    if caller is None:
        return {**common, "proof": proof}
    return {**common, "team": caller.team, "parent": caller.digest}
