"""Fills a store with ended jobs through the product's own scripts."""

import asyncio
import hashlib
from collections import deque
from dataclasses import dataclass
from typing import Any, Self, cast

import hiredis
from redis.exceptions import ResponseError

from app.domain.jobs import Charge, Job, JobError, Status, Submission
from app.store import keys
from app.store.admission import AdmissionStore, Admitted
from app.store.client import Client
from app.store.clock import ClockEstimate
from app.store.jobs import JobStore
from app.store.records import Made
from app.store.script_loader import load, script_names
from app.store.slots import SlotStore
from benchmarks.load import IMAGE
from benchmarks.processes import NotMeasured

BATCH = 400  # jobs processed concurrently, and slots at fal
READ_BYTES = 1 << 16
LOST = "The store closed the connection while it was being filled."
RETENTION_MS = 7 * 86_400_000
MODELS = ("v2/master", "v2.1/master", "v2.5-turbo/pro")
FAIL_EVERY = 50  # one of so many jobs fails
SCENE = (
    "A red kite climbs over the dunes while the tide comes in; slowly the camera turns, until the sun is behind it."
)
LOGS = [{"message": f"Generating: {part}%", "timestamp": "2026-11-29T07:29:49.268480"} for part in (0, 50, 100)]


class Wire:
    """One shared connection: the commands of one turn of the loop leave in one write.

    It is a client only as far as `Script.run` needs one; redis-py would take ten times the CPU to fill a store.
    When the store closes it, every call without a reply and each later one raise NotMeasured.
    """

    replicas = 0  # that must confirm a write

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, path: str) -> Self:
        """Connect to the socket, and send all scripts."""
        wire = cls(*await asyncio.open_unix_connection(path))
        for name in script_names():
            await wire.execute_command("SCRIPT", "LOAD", load(name).text)
        return wire

    async def execute_command(self, *words: Any) -> Any:
        """Send a command and return the reply; ResponseError when the store refuses it."""
        if self._listening.done():
            raise NotMeasured(LOST)
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._writer.write(hiredis.pack_command(words))
        return await answer

    async def close(self) -> None:
        """Close the connection."""
        self._listening.cancel()
        self._writer.close()

    async def _listen(self) -> None:
        answers = hiredis.Reader(encoding="utf-8", errors="surrogateescape")
        try:
            while data := await self._reader.read(READ_BYTES):
                answers.feed(data)
                while (answer := answers.gets()) is not False:
                    self._answer(answer)
        except OSError:
            pass
        finally:
            while self._waiting:
                self._answer(NotMeasured(LOST))

    def _answer(self, answer: Any) -> None:
        """Give the oldest caller this reply or error, unless it has left."""
        waiting = self._waiting.popleft()
        if waiting.done():
            return
        if isinstance(answer, hiredis.ReplyError):
            waiting.set_exception(ResponseError(str(answer)))
        elif isinstance(answer, NotMeasured):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)


@dataclass(frozen=True, slots=True)
class Asker:
    """A user with a key."""

    team: str
    user: str
    key: str
    digest: str


class Filler:
    """Makes ended jobs, BATCH at a time."""

    def __init__(self, wire: Wire, askers: list[Asker]) -> None:
        client = cast("Client", wire)
        self._askers = askers
        self._admission = AdmissionStore(client, ClockEstimate(), retention_ms=RETENTION_MS)
        self._jobs = JobStore(client, retention_ms=RETENTION_MS)
        self._slots = SlotStore(client, concurrency=BATCH)
        self._made = 0

    async def make(self, count: int) -> None:
        """Admit, grant, claim, adopt, complete and settle so many jobs."""
        end = self._made + count
        while self._made < end:
            numbers = range(self._made, min(end, self._made + BATCH))
            jobs = await asyncio.gather(*(self._admit(number) for number in numbers))
            granted = 0
            while granted < len(jobs):
                granted += (new := len(await self._slots.grant()))
                if not new:
                    raise NotMeasured(f"Only {granted} of {len(jobs)} jobs were given a slot.")
            await asyncio.gather(*(self._live(job, number) for job, number in zip(jobs, numbers, strict=True)))
            self._made = numbers.stop

    async def _admit(self, number: int) -> Job:
        asker = self._askers[number % len(self._askers)]
        answer = await self._admission.admit(
            Submission(
                team=asker.team,
                user=asker.user,
                key=asker.key,
                digest=asker.digest,
                model=f"fal-ai/kling-video/{MODELS[number % len(MODELS)]}/image-to-video",
                input={
                    "prompt": f"{number}. {SCENE}",
                    "image_url": f"{IMAGE}/{number}.jpg",
                    "duration": "5",
                    "cfg_scale": 0.5,
                },
                quoted_micro=1_400_000,
                seconds=5,
                price_version="54cae4e88c68",
                deadline_s=3_600,
                trace_id=digest(f"trace {number}")[:32],
                idempotency_key=digest(f"idempotency {number}"),
                fingerprint=digest(f"fingerprint {number}"),
            )
        )
        if not isinstance(answer, Admitted):
            raise NotMeasured(f"A job was not admitted: {answer}")
        return answer.job

    async def _live(self, job: Job, number: int) -> None:
        nonce = await self._jobs.claim(job)
        request = digest(f"request {number}")
        request_id = "-".join((request[:8], request[8:12], request[12:16], request[16:20], request[20:32]))
        moved = nonce is not None
        moved &= await self._jobs.adopt(job, nonce=nonce or "", upstream_request_id=request_id, poll_ms=1000)
        moved &= await self._jobs.complete_upstream(job, upstream_status="COMPLETED", logs=LOGS)
        read = await self._jobs.get_visible(job.ref, None)  # as the step that reads the result does
        job = read or job
        if number % FAIL_EVERY == FAIL_EVERY - 1:
            error = JobError("upstream_error", "fal could not make the clip.", retryable=True)
            ended = self._jobs.finish(job, Status.FAILED, charge=Charge.RELEASE, error=error, made=Made())
        else:
            url = f"https://v3.fal.media/files/monkey/{digest(f'clip {number}')[:21]}_output.mp4"
            video = {"url": url, "content_type": "video/mp4", "file_name": "output.mp4", "file_size": 8_200_000}
            made = Made(output={"video": video})
            ended = self._jobs.finish(job, Status.SUCCEEDED, charge=Charge.SPEND, error=None, made=made)
        if not (moved and await ended):
            raise NotMeasured(f"A job went another way than it should: {keys.job(job.id)}")


def digest(text: str) -> str:
    """64 characters that cannot be compressed."""
    return hashlib.sha256(text.encode()).hexdigest()
