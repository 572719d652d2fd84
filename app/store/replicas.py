"""Confirmation: what was written is on the disks of so many replicas before anybody is told of it.

Replication is asynchronous. Where a primary may be replaced by a replica, a write that only the primary has is lost
with it. `WAITAOF` (Redis 7.2, Valkey) answers when the replicas have written the log that far; `WAIT`, where the
server knows no other, when they have it in memory. It covers every write before it, also those of others.
"""

from typing import Any

from redis.exceptions import NoPermissionError, RedisError, ResponseError

from app.domain.errors import Unconfirmed
from app.store import keys
from app.store.client import Client, Value

CONFIRM_MS = 400  # for each of the two; together below the second that a caller's command may take
MIN_REPLICAS = "min-replicas-to-write"
MAX_LAG = "min-replicas-max-lag"
LONGEST_LAG_S = 10


async def run_confirmed(redis: Client, *command: Value) -> tuple[Any, bool]:
    """A command's answer, and whether its write is where it must be; no round trip more than without.

    True at once where the client expects no replicas.
    """
    wanted = redis.replicas
    if not wanted:
        return await redis.execute_command(*command), True
    pipe = redis.pipeline(transaction=False)
    pipe.execute_command(*command)
    # Asked at once, a replica says what its disk had before this write; asked when it has the write, it has synced.
    pipe.execute_command("WAIT", wanted, CONFIRM_MS)
    pipe.execute_command("WAITAOF", 0, wanted, CONFIRM_MS)  # 0: the primary syncs by itself, `appendfsync always`
    answer, in_memory, on_disk = await pipe.execute(raise_on_error=False)
    if isinstance(answer, Exception):
        raise answer
    if isinstance(on_disk, ResponseError) and "unknown command" in str(on_disk).lower():
        on_disk = [0, in_memory]  # Redis 7.0 knows no better
    for told in (in_memory, on_disk):
        if isinstance(told, Exception):
            raise told
    return answer, int(on_disk[1]) >= wanted


async def is_confirmed(redis: Client) -> bool:
    """Whether everything that was written until now is where it must be; writes a little itself, to ask for it."""
    if not redis.replicas:
        return True
    _, sure = await run_confirmed(redis, "SET", keys.CONFIRM, "1")
    return sure


async def require_confirmation(redis: Client) -> None:
    """Unconfirmed when something that was written until now may be lost with the primary."""
    if not await is_confirmed(redis):
        raise unconfirmed()


def unconfirmed() -> Unconfirmed:
    """What a caller is told whose write may be lost, or may not."""
    return Unconfirmed(
        "The store wrote it down, and its replica has not confirmed that; whether it stays is not known. "
        "Ask, or send it again with the same Idempotency-Key: that is safe."
    )


async def replica_faults(redis: Client) -> list[str]:
    """What is wrong with a primary's set-up where replicas are expected, one sentence each."""
    if not redis.replicas:
        return []
    try:
        config = await redis.config_get(MIN_REPLICAS, MAX_LAG)
        await run_confirmed(redis, "PING")
    except NoPermissionError:
        return ["The store's user may not call WAIT or WAITAOF, with which replicas confirm (docs/store.md)."]
    except RedisError:
        return []  # that it cannot be asked is said by whoever asked before
    faults = []
    if int(config.get(MIN_REPLICAS, 0)) < redis.replicas:
        faults.append(
            f"The store has {MIN_REPLICAS} {config.get(MIN_REPLICAS, 0)} and must have {redis.replicas}: otherwise "
            "a primary that was cut off goes on taking what will be lost (FILMGATE_STORE_REPLICAS=0: it has none)."
        )
    lag_s = int(config.get(MAX_LAG, 0))
    if not 0 < lag_s <= LONGEST_LAG_S:
        faults.append(
            f"The store has {MAX_LAG} {lag_s} and must have 1 to {LONGEST_LAG_S}: so long it goes on alone."
        )
    return faults
