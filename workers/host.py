"""The supervisor of a host, and what its children run."""

import asyncio
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib import import_module

import structlog
from redis.exceptions import RedisError
from rq.serializers import JSONSerializer

import workers.tasks  # noqa: F401  loaded once, for all children; RQ imports it by name
from app import tracing
from app.domain.errors import StoreUnavailable
from app.domain.store_role import StoreRole
from app.gateway import load_catalog, metrics_service, route_to_fal
from app.metrics.cells import SharedCells
from app.metrics.table import MODEL
from app.registry.catalog import Catalog
from app.settings import Settings, SettingsError, load_settings, required_url
from app.starting import require_store
from app.store.connection import connect_rq
from app.stores import open_stores
from app.telemetry import set_up_logs
from app.tls import trusted_roots
from workers.keeper import Keeper
from workers.queues import QUEUES, QueueName, announce_queues, open_queue
from workers.runtime import Runtime, install
from workers.supervisor import CHECK, KEEPER, Supervisor, WorkerPids
from workers.worker import WORKER_TTL_S, StoreAwayFilter, Worker, pass_over_lost_stops, start_exit_deadline

REFUSED = 78
FAILED = 1

log = structlog.get_logger()


def work(settings: Settings, queue_name: QueueName) -> None:
    """Work on one queue until SIGTERM."""
    set_up_logs(settings.log_format, process=f"worker:{queue_name}")
    pass_over_lost_stops()
    tracing.start(os.environ, process=f"worker:{queue_name}")
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
    tracing.stop()
    runtime.close()


async def check(settings: Settings) -> None:
    """Wait for the store without a limit. Raises SettingsError for one that cannot be used, and for model files."""
    load_catalog(settings)
    async with open_stores(settings, process="check") as stores:
        await require_store(settings, stores.redis, role=StoreRole.WORKER, patience=None)


async def keep(settings: Settings, pids: WorkerPids, cells: SharedCells) -> None:
    """Keep the lanes and the heartbeats until SIGTERM; answer for this host's metrics."""
    set_up_logs(settings.log_format, process="keeper")
    async with open_stores(settings, process="keeper") as stores:
        metrics = metrics_service(stores, totals=cells.totals, processes=partial(host_processes, pids))
        async with metrics.serving(settings.host, settings.metrics_port, token=settings.metrics_token):
            await Keeper(settings, stores, pids).run()


def host_processes(pids: WorkerPids) -> dict[str, int]:
    """The processes of this host by name, the workers of a queue with numbers: `work-1`, `work-2`."""
    found = {"supervisor": os.getppid(), KEEPER: os.getpid()}
    numbers: Counter[str] = Counter()
    for pid, queue in pids.running().items():
        numbers[queue] += 1
        found[f"{queue}-{numbers[queue]}"] = pid
    return found


def preload(settings: Settings) -> None:
    """Load what every child needs, so that they share it: models, trusted certificates, OpenTelemetry if it is on.

    httpx and RQ load parts of what they need at a first call; each worker would load them again, into memory of its
    own, and its first submission would wait. In metrics, models of an operator's own files count as `other`: these
    may change while the host runs. SettingsError for a file that holds no certificates.
    """
    MODEL.give(model.id for model in Catalog.load())
    trusted_roots()
    route_to_fal(settings)  # reads SSL_CERT_FILE
    for late in ("httpcore", "anyio._backends._asyncio", "_strptime"):
        import_module(late)
    tracing.preload(os.environ)


def exit_code(program: Callable[[], None]) -> int:
    """Run it; the exit code, after a line about a failure."""
    try:
        program()
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


def supervisor(settings: Settings) -> Supervisor:
    """The supervisor with the programs of its children."""
    counts: dict[QueueName, int] = {
        "lanes": settings.lanes + 1,  # a spare: after a kill the lane continues without waiting for a start
        "work": settings.workers,
        "deliveries": settings.deliverers,
        "storage": int(settings.storage is not None),
    }
    queues = [queue for queue in QUEUES for _ in range(counts[queue])]
    pids = WorkerPids(queues)
    cells = SharedCells(1 + len(queues))
    programs: dict[str, Callable[[], None]] = {
        CHECK: lambda: asyncio.run(check(settings)),
        KEEPER: lambda: asyncio.run(keep(settings, pids, cells)),
        **{queue: partial(work, settings, queue) for queue in QUEUES},
    }
    return Supervisor(
        {role: partial(exit_code, program) for role, program in programs.items()},
        queues=queues,
        pids=pids,
        cells=cells,
    )


def main() -> int:
    """Supervise until SIGTERM; returns the exit code."""
    try:
        settings = load_settings(os.environ, keep_unknown=True)
        set_up_logs(settings.log_format, process="supervisor")
        preload(settings)
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201  as above
        return REFUSED
    return supervisor(settings).run()
