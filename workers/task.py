"""The five tasks that may run. RQ would run any Python function that a writer to the queues names."""

from typing import Any

from rq.exceptions import NoSuchJobError
from rq.job import Job

TASKS = frozenset(f"workers.tasks.{name}" for name in ("lane", "submit", "finalize", "deliver", "keep"))
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError)


class ForeignTask(Exception):
    """A task in a queue is not one of ours."""


class Task(Job):
    """RQ's job, restricted to five functions, without callbacks."""

    success_callback = failure_callback = stopped_callback = None  # RQ imports what a task names here

    @property
    def is_ours(self) -> bool:
        """True for one of the five tasks; imports nothing."""
        try:
            return self.instance is None and self.func_name in TASKS
        except Exception:  # noqa: BLE001  data that cannot be read is not ours
            return False

    @property
    def func(self) -> Any:
        """The function; raises ForeignTask, which fails the task, before anything is imported."""
        if not self.is_ours:
            raise ForeignTask("This is none of the gateway's five tasks.")
        return super().func

    @classmethod
    def fetch(cls, id: str, connection: Any = None, serializer: Any = None) -> Any:  # noqa: A002  RQ's name
        """The task; NoSuchJobError, which RQ skips, for unreadable data."""
        try:
            return super().fetch(id, connection=connection, serializer=serializer)
        except UNREADABLE as error:
            raise NoSuchJobError(f"No task: {type(error).__name__}") from None

    def restore(self, raw_data: Any) -> None:
        """As RQ does it, without the URLs that RQ would call at the end."""
        super().restore(raw_data)
        self.webhooks = []
