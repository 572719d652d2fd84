"""Confirmation: a write is on the disks of replicas before it is acknowledged.

Replication is asynchronous: when a replica replaces the primary, writes that only the primary has are lost.
`WAITAOF` (Redis 7.2, Valkey) returns when the replicas have the write on disk; `WAIT`, for older servers, when they
have it in memory. Both cover every earlier write, of other clients too.
"""

from typing import Any

from redis.exceptions import NoPermissionError, RedisError, ResponseError

from app.domain.errors import Unconfirmed
from app.store import keys
from app.store.client import Client, StoreConnection, Value

CONFIRM_MS = 400  # for each of the two; together below the second that a command may take
MIN_REPLICAS = "min-replicas-to-write"
MAX_LAG = "min-replicas-max-lag"
MAX_LAG_S = 10


async def run_confirmed(redis: Client, *command: Value) -> tuple[Any, bool]:
    """A command's reply, and whether the replicas confirmed its write.

    True without asking where the client expects no replicas. A write that the primary refuses waits for nothing.
    """
    wanted = redis.replicas
    if not wanted:
        return await redis.execute_command(*command), True
    connection = await redis.connection_pool.get_connection()  # WAIT and WAITAOF count the writes of their own
    try:
        reply = await _ask(connection, *command)
        # WAIT first: WAITAOF alone would report the replicas' disks as they were before this write.
        confirmed = int(await _ask(connection, "WAIT", wanted, CONFIRM_MS))
        try:
            _, confirmed = await _ask(connection, "WAITAOF", 0, wanted, CONFIRM_MS)  # 0: the primary syncs itself
        except ResponseError as error:
            if "unknown command" not in str(error).lower():  # Redis 7.0 has none
                raise
    finally:
        await redis.connection_pool.release(connection)
    return reply, int(confirmed) >= wanted


async def _ask(connection: StoreConnection, *command: Value) -> Any:
    await connection.send_command(*command)
    return await connection.read_response()


async def is_confirmed(redis: Client) -> bool:
    """Whether the replicas have everything written so far, asked by one more write."""
    return not redis.replicas or (await run_confirmed(redis, "SET", keys.CONFIRM, "1"))[1]


async def require_confirmation(redis: Client) -> None:
    """Unconfirmed when anything written so far may be lost with the primary."""
    if not await is_confirmed(redis):
        raise unconfirmed()


def unconfirmed() -> Unconfirmed:
    """The error for a caller whose write may be lost."""
    return Unconfirmed(
        "The store wrote it down, and its replica has not confirmed that; whether it stays is not known. "
        "Ask, or send it again with the same Idempotency-Key: that is safe."
    )


async def replica_faults(redis: Client) -> list[str]:
    """The faults of a primary's configuration where replicas are expected, one sentence each."""
    if not redis.replicas:
        return []
    try:
        config = await redis.config_get(MIN_REPLICAS, MAX_LAG)
        await run_confirmed(redis, "PING")
    except NoPermissionError:
        return ["The store's user may not call WAIT or WAITAOF, with which replicas confirm (docs/store.md)."]
    except RedisError:
        return []  # the check before has reported that it cannot be asked
    faults = []
    if int(config.get(MIN_REPLICAS, 0)) < redis.replicas:
        faults.append(
            f"The store has {MIN_REPLICAS} {config.get(MIN_REPLICAS, 0)} and must have {redis.replicas}: otherwise "
            "a primary that was cut off goes on taking what will be lost (FILMGATE_STORE_REPLICAS=0: it has none)."
        )
    lag_s = int(config.get(MAX_LAG, 0))
    if not 0 < lag_s <= MAX_LAG_S:
        faults.append(f"The store has {MAX_LAG} {lag_s} and must have 1 to {MAX_LAG_S}: so long it goes on alone.")
    return faults
