"""The secrets of this installation: that of the markers of submissions, and the key that signs messages."""

import secrets

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.store import keys
from app.store.client import Client
from app.store.connection import store_errors

SECRET_BYTES = 32


class SecretStore:
    """Both are stored, so that backups contain them; `given` is a setting's secret of markers, or None.

    When several processes create one at once, the first write wins, and all read that.
    """

    def __init__(self, redis: Client, *, given: str | None) -> None:
        self._redis = redis
        self._secret = given

    async def of_markers(self) -> str:
        """The secret of markers; created at first use, and read once by each process."""
        if self._secret is None:
            self._secret = await self._get_or_create(keys.HOOK_SECRET)
        return self._secret

    async def of_webhooks(self) -> Ed25519PrivateKey:
        """The installation's key that signs messages to customers; created at first use.

        It is read each time, because every process must sign with the published key, also after a backup was
        restored.
        """
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(await self._get_or_create(keys.WEBHOOK_KEY)))

    async def _get_or_create(self, name: str) -> str:
        """The 32 bytes under this name, as hex; random ones where there are none."""
        with store_errors():
            text = await self._redis.get(name)
            if text is None:
                await self._redis.set(name, secrets.token_hex(SECRET_BYTES), nx=True)
                text = str(await self._redis.get(name))
        return text
