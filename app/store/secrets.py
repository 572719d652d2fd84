"""The secrets of this installation: what makes the markers of submissions, and what signs messages as fal signs."""

import secrets

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.store import keys
from app.store.client import Client
from app.store.connection import store_errors

SECRET_BYTES = 32


class SecretStore:
    """Keeps both in the store, where a backup finds them; `given` is a setting's secret for markers, or None.

    What several processes make in one moment is one secret: the first writer wins, and all read what is there.
    """

    def __init__(self, redis: Client, *, given: str | None) -> None:
        self._redis = redis
        self._secret = given

    async def of_markers(self) -> str:
        """What makes the markers; made on first use, and read once by each process."""
        if self._secret is None:
            self._secret = await self._kept(keys.HOOK_SECRET)
        return self._secret

    async def of_webhooks(self) -> Ed25519PrivateKey:
        """The key that signs messages to customers; made on first use, one for the whole installation.

        It is read each time: every process must sign with the key that is published, also when an older store
        was put in the place of this one.
        """
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(await self._kept(keys.WEBHOOK_KEY)))

    async def _kept(self, name: str) -> str:
        """The 32 bytes under this name, as hex; drawn at random where there are none."""
        with store_errors():
            kept = await self._redis.get(name)
            if kept is None:
                await self._redis.set(name, secrets.token_hex(SECRET_BYTES), nx=True)
                kept = str(await self._redis.get(name))
        return kept
