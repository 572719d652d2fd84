"""What RQ's worker writes for a task, which it does in its own way here: once before and once after it."""

import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from redis import Redis
from rq.exceptions import StopRequested
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.utils import as_text

from app.store.connection import connect_rq
from tests.support.redis_server import RedisServer
from workers import runtime
from workers.queues import open_queue
from workers.worker import Worker, pass_over_lost_stops


class OnlyRuns:
    """Stands for the runtime: a task's step is `step`, whatever the task is."""

    stopping = False

    def __init__(self, step: Callable[[], object]) -> None:
        self._step = step

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run the step instead of the coroutine."""
        coroutine.close()
        self._step()


def work(connection: Redis, step: Callable[[], object], *, tasks: int, idle_s: int) -> dict[str, str]:
    """A worker that works until it was idle for so long; its record in the store."""
    queue = open_queue("deliveries", connection)
    for number in range(tasks):
        queue.enqueue("workers.tasks.deliver", [], job_id=f"task_{number}", result_ttl=0, failure_ttl=600)
    worker: Any = Worker([queue], connection=connection, serializer=JSONSerializer)
    worker.runtime = OnlyRuns(step)
    runtime.install(worker.runtime)
    worker.work(max_idle_time=idle_s, logging_level="ERROR")
    return {as_text(name): as_text(value) for name, value in connection.hgetall(worker.key).items()}


def test_a_finished_task_leaves_nothing_behind(redis_server: RedisServer) -> None:
    """Its worker is idle and has counted it."""
    redis_server.flush()
    connection = connect_rq(redis_server.url)
    record = work(connection, lambda: None, tasks=3, idle_s=1)
    assert (record["state"], record["successful_job_count"]) == ("idle", "3")
    left = map(as_text, connection.keys("rq:*"))
    assert {name for name in left if not name.startswith(("rq:worker", "rq:queues", "rq:clean"))} == set()


def test_a_task_that_raises_is_kept_as_failed(redis_server: RedisServer) -> None:
    """The worker goes on, and nothing is listed as running."""
    redis_server.flush()
    connection = connect_rq(redis_server.url)
    record = work(connection, [].pop, tasks=2, idle_s=1)
    queue = open_queue("deliveries", connection)
    assert (record["state"], record["failed_job_count"]) == ("idle", "2")
    assert FailedJobRegistry(queue=queue).get_job_ids() == ["task_0", "task_1"]
    assert StartedJobRegistry(queue=queue).get_job_ids() == []


def test_a_worker_that_is_told_to_stop_takes_no_further_task(redis_server: RedisServer) -> None:
    """Also when RQ's exception was lost, because the signal came in the middle of a destructor."""
    redis_server.flush()
    connection = connect_rq(redis_server.url)

    def stop() -> None:
        vars(runtime.current())["stopping"] = True

    work(connection, stop, tasks=3, idle_s=1)
    assert open_queue("deliveries", connection).get_job_ids() == ["task_1", "task_2"]


def test_a_stop_that_is_lost_in_a_destructor_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else is raised there is logged as before."""
    seen: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda failure: seen.append(failure.exc_type))
    pass_over_lost_stops()

    class Destroyed:
        def __init__(self, error: Exception) -> None:
            self._error = error

        def __del__(self) -> None:
            raise self._error

    Destroyed(StopRequested())
    Destroyed(ValueError())
    assert seen == [ValueError]


def test_a_worker_whose_store_took_no_writes_at_the_end_of_a_task_is_idle_again(redis_server: RedisServer) -> None:
    """Its state is written once the store takes writes."""
    redis_server.flush()
    connection, other = connect_rq(redis_server.url), connect_rq(redis_server.url)

    def fill() -> None:
        other.config_set("maxmemory", 1)
        threading.Timer(1.0, lambda: other.config_set("maxmemory", 0)).start()

    assert work(connection, fill, tasks=1, idle_s=3)["state"] == "idle"
