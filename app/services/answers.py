"""Answers to submissions of fal's clients, from their admission until they have reached their connections.

A client sends a submission again only when it got no whole answer to it. So an equal submission is a repeat when an
earlier one's answer was lost, and else a new request (docs/decisions/0016-a-clients-own-repost.md). The store
remembers each answer as owed, and this process knows which of its own it is still giving: only these are not lost.
"""

import asyncio
import itertools
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from app.domain.errors import StoreUnavailable
from app.domain.ids import new_nonce
from app.domain.jobs import Job, Submission
from app.store.admission import AdmissionOutcome, AdmissionStore, AnswerState, BeingAnswered, EqualAnswers

PROCESS_CHARS = 10
FIRST_PAUSE_S, MAX_PAUSE_S = 0.01, 0.2  # between two questions about another process's answer
SWEEP_EVERY = 256  # answers
QUEUE_PATIENCE_S = 2.0  # an answer takes milliseconds; one that does not end by then was lost with its process
RUN_PATIENCE_S = 5.0  # a held call reads its job every two seconds, and then finds the question


class Handover(Protocol):
    """A reply on its way to its connection."""

    @property
    def alive(self) -> bool:
        """False once the connection has ended without the reply, or has shown that it was not read."""

    @property
    def complete(self) -> bool:
        """True once a whole reply was written, whichever it is."""


class NoConnection:
    """The caller is not there."""

    alive = False
    complete = False


NOBODY = NoConnection()


@dataclass(slots=True, eq=False, kw_only=True)
class Answer:
    """The answer to one submission. `is_result`: the reply that is being written is the answer, and no error.

    Attributes:
        id: unique among all processes; begins with this one's.
        key: the idempotency key that equal submissions share. Those of another user may share it, and do not count:
            the store knows each user's ids.
        kept_ms: for so long the store remembers it.
        patience_s: how long another process may take to say that it is giving an equal one.
    """

    id: str
    key: str
    kept_ms: int
    patience_s: float
    handover: Handover
    equal: "list[Answer]" = field(repr=False)
    is_result: bool = False
    ended: bool = False

    @property
    def is_open(self) -> bool:
        """True while the caller is connected and the answer is being made or written, or has just been written."""
        return not self.ended and self.handover.alive and (self.is_result or not self.handover.complete)

    @property
    def is_uncertain(self) -> bool:
        """True while an answer is being recorded as handed over that turned out to be lost."""
        return not self.ended and self.is_result and self.handover.complete and not self.handover.alive

    def open_ids(self) -> tuple[str, ...]:
        """The ids of the answers to equal submissions that are open in this process."""
        return tuple(answer.id for answer in self.equal if answer.is_open)


async def admit(admission: AdmissionStore, order: Submission, answer: Answer | None) -> AdmissionOutcome:
    """Admit a submission; while another process may be answering an equal one, wait for how that ends."""
    clock = asyncio.get_running_loop().time
    until = clock() + (0.0 if answer is None else answer.patience_s)
    pause, asked_ms = FIRST_PAUSE_S, None
    while True:
        open_ids = () if answer is None else answer.open_ids()
        outcome = await admission.admit(order, EqualAnswers(open_ids, asked_ms, patience=clock() < until))
        if not isinstance(outcome, BeingAnswered):
            return outcome
        asked_ms = asked_ms or outcome.now_ms
        await asyncio.sleep(pause)
        pause = min(2 * pause, MAX_PAUSE_S)


class Answers:
    """The answers that this process is giving."""

    def __init__(self, admission: AdmissionStore) -> None:
        self._admission = admission
        self._process = new_nonce()[:PROCESS_CHARS]
        self._numbers = itertools.count(1)
        self._equal: dict[str, list[Answer]] = {}  # by key
        self._withdrawals: dict[str, set[asyncio.Task[None]]] = {}  # by key

    async def begin(self, key: str, handover: Handover, *, kept_ms: int, patience_s: float) -> Answer:
        """An answer to a submission that has just arrived; first, what is known of equal ones is recorded."""
        number = next(self._numbers)
        if number % SWEEP_EVERY == 0:
            self._sweep()
        while any(answer.is_uncertain for answer in self._equal.get(key, ())):  # noqa: ASYNC110  hardly ever
            await asyncio.sleep(FIRST_PAUSE_S)
        if key in self._withdrawals:
            await asyncio.wait(self._withdrawals[key])
        equal = self._equal.setdefault(key, [])
        answer = Answer(
            id=f"{self._process}.{number}",
            key=key,
            kept_ms=kept_ms,
            patience_s=patience_s,
            handover=handover,
            equal=equal,
        )
        equal.append(answer)
        return answer

    def end(self, answer: Answer) -> None:
        """The answer is not open any more: the store decides alone."""
        answer.ended = True
        if answer in answer.equal:
            answer.equal.remove(answer)
        if not answer.equal and self._equal.get(answer.key) is answer.equal:
            del self._equal[answer.key]

    async def record(self, answer: Answer, job: Job, state: AnswerState) -> bool:
        """Record what became of an answer; False when the store is away: it then counts as lost."""
        with suppress(StoreUnavailable):
            return await self._admission.record_answer(
                job, answer.id, idempotency_key=answer.key, state=state, kept_ms=answer.kept_ms
            )
        return False

    def withdraw(self, answer: Answer, job: Job) -> None:
        """The answer was handed over, and now its connection shows that it was not read."""
        task = asyncio.create_task(self._withdraw(answer, job))
        tasks = self._withdrawals.setdefault(answer.key, set())
        tasks.add(task)

        def forget(_: object) -> None:
            tasks.discard(task)
            if not tasks and self._withdrawals.get(answer.key) is tasks:
                del self._withdrawals[answer.key]

        task.add_done_callback(forget)

    async def _withdraw(self, answer: Answer, job: Job) -> None:
        await self.record(answer, job, "withdrawn")

    def _sweep(self) -> None:
        """Forget what a request left behind that ended without saying how."""
        for equal in list(self._equal.values()):
            for answer in [one for one in equal if not one.is_open]:
                self.end(answer)
