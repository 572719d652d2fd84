"""The secret of this installation: it makes the markers that submissions carry."""

import secrets

from app.store import keys
from app.store.connection import Client, store_errors

SECRET_BYTES = 32


class SecretStore:
    """Keeps the secret in the store, unless a setting gives one; read once by each process."""

    def __init__(self, redis: Client, *, given: str | None) -> None:
        self._redis = redis
        self._secret = given

    async def of_markers(self) -> str:
        """What makes the markers; made on first use."""
        if self._secret is None:
            with store_errors():
                await self._redis.set(keys.HOOK_SECRET, secrets.token_hex(SECRET_BYTES), nx=True)
                self._secret = str(await self._redis.get(keys.HOOK_SECRET))
        return self._secret
