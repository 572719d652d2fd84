"""What `filmgate up` needs of the store before it starts anything."""

import json
from collections.abc import Callable

from app.domain.store_role import StoreRole
from app.gateway import Gateway, open_gateway
from app.settings import Settings
from app.starting import require_storage


async def prepare_installation(
    settings: Settings, *, patience: float, on_wait: Callable[[str], object]
) -> tuple[str, str]:
    """The key of this machine's user, made at the first start, and a code that signs a browser in with it, once.

    The key is kept in the data directory for its owner. Faults of settings or store are reported here. `patience`
    is in seconds; `on_wait` gets what is waited for.
    """
    async with open_gateway(
        settings, process="up", role=StoreRole.ALL, patience=patience, on_wait=on_wait
    ) as gateway:
        await require_storage(gateway.storage, gateway.stores.alarms)
        key = await _user_key(gateway, settings)
        return key, await gateway.sessions.add_code(key)


async def _user_key(gateway: Gateway, settings: Settings) -> str:
    kept = settings.data_dir / "client.json"
    key = ""
    if kept.exists():
        key = str(json.loads(kept.read_text(encoding="utf-8"))["key"])
        if not await gateway.accounts.opens(key):
            key = ""
    if not key:
        key = (await gateway.administration.add_account("me")).key
    kept.touch(mode=0o600)
    kept.write_text(json.dumps({"url": settings.base_url, "key": key}), encoding="utf-8")
    return key
