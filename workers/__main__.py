"""`python -m workers`: the supervisor; `python -m workers QUEUE PARENT`: one RQ worker, which it starts."""

import asyncio
import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import Any

import structlog
from redis.exceptions import RedisError
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from app.settings import Settings, SettingsError, load_settings, required_url
from app.store.connection import connect_rq
from app.telemetry import set_up_logs
from workers.queues import QUEUES, QueueName, announce_queues, open_queue
from workers.runtime import ExitAtOnce, Runtime, install
from workers.supervisor import Supervisor

PR_SET_PDEATHSIG = 1
WORKER_TTL_S = 60
REFUSED = 78
EXIT_WITHIN_S = 42.0  # of being told to stop; the supervisor insists after 40 s
UNFINISHED = 75
FAILED = 1

log = structlog.get_logger()


class Worker(SimpleWorker):
    """RQ's worker that runs tasks in its own process, and tells the runtime when it is asked to stop."""

    runtime: Runtime
    tell_minder: int  # a file descriptor, see `mind_the_exit`
    death_penalty_class = ExitAtOnce

    def request_stop(self, signum: int, frame: FrameType | None) -> Any:
        """The first SIGTERM: finish what is in hand, start nothing new, and be gone in time.

        Here is only what a signal may do. Several may come at once, the next in the middle of this one, which then
        has whatever lock it took: a flag with a lock, or a thread begun here, would wait for itself.
        """
        self.runtime.stopping = True
        os.write(self.tell_minder, b"!")
        return super().request_stop(signum, frame)  # type: ignore[no-untyped-call]  # untyped in RQ

    def set_shutdown_requested_date(self) -> None:
        """RQ's note of the signal; while the store is away, it must not break the step in hand."""
        with suppress(RedisError):
            super().set_shutdown_requested_date()  # type: ignore[no-untyped-call]  # untyped in RQ


def mind_the_exit() -> int:
    """A file descriptor: once a byte is written to it, the process ends in `EXIT_WITHIN_S`, whatever it waits for.

    RQ waits for a store that is away without looking at the wish to stop; a supervisor that lives would insist.
    """
    told, tell = os.pipe()

    def mind() -> None:
        os.read(told, 1)
        time.sleep(EXIT_WITHIN_S)  # noqa: TID251  a thread of its own, which has nothing else to do
        os._exit(UNFINISHED)

    threading.Thread(target=mind, daemon=True, name="minder").start()
    return tell


def die_with(parent: int) -> None:
    """Ask Linux for a SIGTERM when the supervisor dies, however it dies; leave at once if it has already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)


def work(settings: Settings, queue_name: QueueName) -> None:
    """Work on one queue until told to stop."""
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
    worker.runtime, worker.tell_minder = runtime, mind_the_exit()
    announce_queues(connection)
    runtime.report(queue_name)
    worker.work(with_scheduler=False, logging_level="WARNING")
    runtime.close()


def main(arguments: list[str]) -> int:
    """Supervise, or work on the queue that is named."""
    try:
        settings = load_settings(os.environ)
        if not arguments:
            set_up_logs(settings.log_format, process="supervisor")
            asyncio.run(Supervisor(settings).run())
            return 0
        queue_name, parent = arguments
        die_with(int(parent))
        set_up_logs(settings.log_format, process=f"worker:{queue_name}")
        if queue_name not in QUEUES:
            return 2
        work(settings, queue_name)
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201  a sentence for whoever started it
        return REFUSED
    except Exception as error:
        log.exception("worker.failed", reason=f"{type(error).__name__}: {error}")
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
