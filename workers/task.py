"""What may be run: our four tasks. Whoever can write to the queues could otherwise name any function of Python."""

from typing import Any

from rq.exceptions import NoSuchJobError
from rq.job import Job

TASKS = frozenset(f"workers.tasks.{name}" for name in ("lane", "submit", "finalize", "deliver"))
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError)


class ForeignTask(Exception):
    """A queue holds something that is none of our tasks."""


class Task(Job):
    """RQ's job, as far as we use it: one of four functions, and nothing that RQ would call before or after it."""

    success_callback = failure_callback = stopped_callback = None  # RQ imports what a task names here

    @property
    def is_ours(self) -> bool:
        """True for one of the four tasks; nothing is imported to see that."""
        try:
            return self.instance is None and self.func_name in TASKS
        except Exception:  # noqa: BLE001  whatever its data is, it is not ours
            return False

    @property
    def func(self) -> Any:
        """The function; ForeignTask, which RQ takes for a failure of the task, before anything is imported."""
        if not self.is_ours:
            raise ForeignTask("This is none of the gateway's four tasks.")
        return super().func

    @classmethod
    def fetch(cls, id: str, connection: Any = None, serializer: Any = None) -> Any:  # noqa: A002  RQ's name
        """The task; what cannot be read as one is passed over, as one that is gone."""
        try:
            return super().fetch(id, connection=connection, serializer=serializer)
        except UNREADABLE as error:
            raise NoSuchJobError(f"No task: {type(error).__name__}") from None

    def restore(self, raw_data: Any) -> None:
        """What the store holds of it, without the addresses that RQ would call at its end."""
        super().restore(raw_data)
        self.webhooks = []
