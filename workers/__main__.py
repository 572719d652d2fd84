"""`python -m workers`: the supervisor; `python -m workers QUEUE PARENT`: one of its RQ workers."""

import asyncio
import logging
import os
import sys

import structlog
from redis.exceptions import RedisError
from rq.serializers import JSONSerializer

from app.children import die_with
from app.domain.errors import StoreUnavailable
from app.settings import Settings, SettingsError, load_settings, required_url
from app.store.connection import connect_rq
from app.stores import open_stores
from app.telemetry import set_up_logs
from workers.queues import QUEUES, QueueName, announce_queues, open_queue
from workers.runtime import Runtime, install
from workers.supervisor import Supervisor
from workers.worker import WORKER_TTL_S, StoreAwayFilter, Worker, start_exit_deadline

REFUSED = 78
FAILED = 1

log = structlog.get_logger()


def work(settings: Settings, queue_name: QueueName) -> None:
    """Work on one queue until SIGTERM."""
    url = required_url(settings)
    runtime = Runtime(settings, queue=queue_name)
    install(runtime)
    connection = connect_rq(url)
    worker = Worker(
        [open_queue(queue_name, connection)],
        name=f"{queue_name}-{os.getpid()}-{os.urandom(4).hex()}",
        connection=connection,
        serializer=JSONSerializer,
        worker_ttl=WORKER_TTL_S,
        maintenance_interval=30,
    )
    worker.runtime, worker.exit_pipe = runtime, start_exit_deadline()
    logging.getLogger("rq.worker").addFilter(StoreAwayFilter())
    announce_queues(connection)
    runtime.report_ready(queue_name)
    worker.work(with_scheduler=False, logging_level="WARNING")
    runtime.close()


async def supervise(settings: Settings) -> None:
    """Wait for the store without a limit, then supervise the workers."""
    async with open_stores(settings, process="supervisor") as stores:
        supervisor = Supervisor(settings, stores)
        await supervisor.wait_for_store()
        await supervisor.run()


def main(arguments: list[str]) -> int:
    """Supervise, or work on the named queue; returns the exit code."""
    try:
        settings = load_settings(os.environ, keep_unknown=True)
        if not arguments:
            set_up_logs(settings.log_format, process="supervisor")
            asyncio.run(supervise(settings))
            return 0
        queue_name, parent = arguments
        die_with(int(parent))
        set_up_logs(settings.log_format, process=f"worker:{queue_name}")
        if queue_name not in QUEUES:
            return 2
        work(settings, queue_name)
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201  for the terminal that started it
        return REFUSED
    except (StoreUnavailable, RedisError) as error:  # lost while this process was starting
        log.warning("worker.store_away", reason=type(error).__name__, remedy="the supervisor starts it again")
        return FAILED
    except Exception as error:
        log.exception("worker.failed", reason=f"{type(error).__name__}: {error}")
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
