"""The four RQ queues, and enqueueing.

A worker process listens to one queue: with two, a kill -9 loses tasks (measured on RQ 3.0.0). Tasks carry ids as
JSON, are never retried by RQ, and are deleted when they succeed.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq import Queue
from rq.serializers import JSONSerializer

from app.domain.ids import new_id
from app.store.client import Client
from app.store.connection import store_errors
from workers.task import Task

QueueName = Literal["lanes", "work", "deliveries", "storage"]
QUEUES: tuple[QueueName, ...] = ("lanes", "work", "deliveries", "storage")
FAILURE_TTL = 3 * 86_400  # seconds that `rq info` shows a failed task

LANE_SECONDS = 20  # a slice lasts about 5 s
STEP_SECONDS = {"submit": 150, "finalize": 120, "deliver": 60, "keep": 2600}
QUEUE_OF: dict[str, QueueName] = {
    "submit": "work",
    "finalize": "work",
    "deliver": "deliveries",
    "keep": "storage",
}
BATCH = {"submit": 8, "finalize": 25}
MAX_WAITING_TASKS = 4  # in a queue; beyond it batches grow instead


def open_queue(name: QueueName, connection: Redis) -> Queue:
    """The RQ queue of this name."""
    return Queue(name, connection=connection, serializer=JSONSerializer, job_class=Task)


def announce_queues(connection: Redis) -> None:
    """Let `rq info` show all queues from the start; RQ lists a queue only after its first task."""
    connection.sadd(Queue.redis_queues_keys, *(open_queue(name, connection).key for name in QUEUES))


class TaskQueue:
    """Enqueues RQ tasks from async code, in a thread because RQ blocks; `store` counts them without one.

    `lanes`: the number of lanes.
    """

    def __init__(self, connection: Redis, store: Client, *, lanes: int) -> None:
        self._lanes = lanes
        self._store = store
        self._connection = connection
        self._queues = {name: open_queue(name, connection) for name in QUEUES}

    def renew_connections(self) -> None:
        """Drop the connections: they may lead to a former primary."""
        self._connection.connection_pool.disconnect()

    async def room(self, step: str) -> int:
        """How many more tasks of this step may wait."""
        with store_errors():
            waiting = await self._store.llen(self._queues[QUEUE_OF[step]].key)
        return max(0, MAX_WAITING_TASKS - waiting)

    async def enqueue(self, step: str, refs: Sequence[str]) -> None:
        """Enqueue a step on these refs; `deliver` and `keep` take what is due themselves."""
        name, seconds = QUEUE_OF[step], STEP_SECONDS[step]
        await self._call(self._enqueue, name, f"workers.tasks.{step}", seconds, list(refs))

    async def enqueue_lane(self, lane: int) -> None:
        """Enqueue the next slice of a lane.

        Nothing is added while a slice for each lane waits: without workers, slices would pile up, and each would
        enqueue another.
        """
        await self._call(self._enqueue_lane, lane)

    async def _call(self, function: Callable[..., None], *arguments: object) -> None:
        """Call it in a thread; try again on a new connection, because an old one may lead to a lost primary.

        A task that is enqueued twice is harmless: the second finds nothing to do.
        """
        with store_errors():
            try:
                await asyncio.to_thread(function, *arguments)
            except (RedisConnectionError, RedisTimeoutError):
                self._connection.connection_pool.disconnect()
                await asyncio.to_thread(function, *arguments)

    def _enqueue_lane(self, lane: int) -> None:
        if self._queues["lanes"].count < self._lanes:
            self._enqueue("lanes", "workers.tasks.lane", LANE_SECONDS, lane)

    def _enqueue(self, name: QueueName, function: str, seconds: int, argument: object) -> None:
        with self._connection.pipeline() as pipeline:  # without one, RQ writes twice
            self._queues[name].enqueue(
                function,
                argument,
                job_id=new_id("task"),
                job_timeout=seconds,
                result_ttl=0,
                failure_ttl=FAILURE_TTL,
                pipeline=pipeline,
            )
            pipeline.execute()
