"""One submitted request, from its submit to its end."""

import asyncio
import math
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app.emulator.bills import Bill
from app.emulator.replies import Reply
from app.emulator.scenarios import PLAIN, Scenario

IN_QUEUE = "IN_QUEUE"
IN_PROGRESS = "IN_PROGRESS"
COMPLETED = "COMPLETED"


@dataclass(slots=True, eq=False, kw_only=True)
class Generation:
    """The state of one request. Times ending in `_at` are unix seconds, the others emulated seconds."""

    id: str
    endpoint: str
    app: str
    payload: Any
    headers: dict[str, str]
    tags: dict[str, str]
    store_io: bool
    webhook: str
    base: str
    asked: str  # the scenario header, for the journal; empty when the prompt decides
    plan: Scenario = PLAIN
    queue_seconds: float = 0
    run_seconds: float = 0
    start_deadline: float = math.inf
    received_at: float = field(default_factory=time.time)
    started_at: float | None = None
    completed_at: float | None = None
    status: str = IN_QUEUE
    cancelled: bool = False
    reply: Reply | None = None
    bill: Bill | None = None
    charged_micro: int = 0
    started: float = 0
    polls: int = 0
    webhook_attempts: list[dict[str, Any]] = field(default_factory=list)
    work: asyncio.Task[Reply] | None = None
    changed: asyncio.Event | None = None

    @property
    def prompt(self) -> str:
        """The prompt of the input, see `prompt_of`."""
        return prompt_of(self.payload)

    def log_entries(self, now: float) -> list[dict[str, Any]]:
        """The log lines up to the emulated time `now`; they are spread evenly over the run and not stored."""
        if self.started_at is None:
            return []
        total = int(self.plan.log_lines) or 5
        share = 1.0 if self.status == COMPLETED else min(1.0, (now - self.started) / max(self.run_seconds, 0.001))
        spent = (self.completed_at or time.time()) - self.started_at
        written = total if self.status == COMPLETED else max(1, math.floor(share * (total - 1)))
        return [self._log_line(number, total, spent / max(share, 0.001)) for number in range(written)]

    def _log_line(self, number: int, total: int, run_real: float) -> dict[str, Any]:
        percent = 100 * number // max(total - 1, 1)
        at = (self.started_at or 0) + run_real * number / max(total - 1, 1)
        return {
            "message": f"Generating: {percent}%" if number else "Request started",
            "timestamp": datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat(timespec="microseconds"),
            "level": "INFO",
            "source": "USER",
        }

    def pulse(self) -> None:
        """Wakes everything that waits in `next_change`."""
        if self.changed is not None:
            self.changed.set()
            self.changed = None

    async def next_change(self, timeout: float) -> None:
        """Waits for a change of state, at most `timeout` real seconds."""
        if self.changed is None:
            self.changed = asyncio.Event()
        event = self.changed
        try:
            async with asyncio.timeout(timeout):
                await event.wait()
        except TimeoutError:
            return


def prompt_of(payload: Any) -> str:
    """The prompt of an input, or the first of its `multi_prompt`; empty without one."""
    if not isinstance(payload, dict):
        return ""
    prompt = payload.get("prompt")
    several = payload.get("multi_prompt")
    if not isinstance(prompt, str) and isinstance(several, list) and several and isinstance(several[0], dict):
        prompt = several[0].get("prompt")
    return prompt if isinstance(prompt, str) else ""
