"""An installation whose processes are killed at named points, and the checks of what remains."""

import asyncio
import base64
import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError

from app.crash import LOG
from app.domain.errors import Conflict, StoreUnavailable
from app.domain.ids import join_ref
from app.gateway import Gateway, open_gateway
from app.settings import load_settings
from app.store import keys
from tests.crash.crash_tally import Tally
from tests.support.accounts import new_account
from tests.support.emulator import running_emulator
from tests.support.installation import ENDS, Installation, Job, running
from tests.support.processes import children, free_port
from tests.support.receiver import Receiver
from tests.support.redis_server import RedisServer
from tests.support.server import Server
from tests.support.stack import environment
from tests.support.tcp_proxy import HttpProxy
from tests.support.waiting import wait_until
from tests.support.workers import Workers

OUTAGE_S = 0.3  # how long the store is down
STALE_S = 1.0  # a step against the emulator takes milliseconds; a longer one may have lost its process
CHECK_AGAIN_S = 1.5  # before an operator concludes that fal has no request
END_S = 120.0  # every process may have to restart, on a busy machine
KILL_S = 30.0
TIGHT_S = 0.1
# What is logged as an error on purpose.
EXPECTED_ERRORS = {"job.orphan", "job.unsaved", "breaker.opened", "step.set_aside"}
EXPECTED_ALARMS = {"held", "host_gone", "breaker_opened"}  # of what is killed here


@dataclass
class CrashInstallation(Installation):
    """An installation whose processes die at named points, an operator's gateway, and two customers' receivers.

    `receiver` answers 200 to every webhook, `gone` 410. The workers reach fal through `fal_proxy`, and callers the
    API through `api_proxy` if they choose to. `store` is a client of the store, which waits while that is down. A
    caretaker restarts the API, the store and the supervisor; the supervisor restarts its workers.
    """

    operator: Gateway
    team: str
    receiver: Receiver
    gone: Receiver
    fal_proxy: HttpProxy
    api_proxy: HttpProxy
    store: Any
    tickets: Path
    logs: list[Path]
    tally: Tally = field(default_factory=Tally)
    excused: set[str] = field(default_factory=set)  # prompts that a test made the operator buy twice
    _read: dict[Path, int] = field(default_factory=dict)
    _noting: set[asyncio.Task[None]] = field(default_factory=set)

    # --- killing ---------------------------------------------------------------------------------------------

    def arm(self, point: str, *, nth: int = 0, number: int = signal.SIGKILL, pid: int = 0) -> None:
        """The process that passes the point after `nth` others gets the signal; or `pid` gets it instead."""
        for left in range(nth, -1, -1):
            (self.tickets / f"{point}.{left}").write_text(f"{int(number)} {pid}", "ascii")

    def disarm(self) -> None:
        """Remove the unused tickets."""
        for ticket in self.tickets.glob("*.*"):
            ticket.unlink(missing_ok=True)

    def signalled(self) -> list[tuple[str, int, int]]:
        """Every signal that was sent at a point: its name, the number, the process that passed it."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.tickets / LOG).read_text("ascii").splitlines()
            return [(name, int(number), int(pid)) for name, number, pid in map(str.split, lines)]
        return []

    async def until_signalled(self, before: int) -> int:
        """Wait for the process that passed the armed point; `before`: how many signals had been sent."""
        await wait_until(lambda: len(self.signalled()) > before, "a process passes the armed point", timeout=KILL_S)
        return self.signalled()[-1][2]

    def kill_everything(self) -> None:
        """SIGKILL for every process of the installation at once; fal and the receivers keep running."""
        workers = self.workers
        for pid in [workers.pid, *(pid for pid, _ in children(workers.pid))]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.serve.kill()
        self.redis.kill()

    async def restart_dead(self) -> None:
        """Restart the store, the API and the supervisor whenever they have died."""
        while True:
            await asyncio.sleep(0.05)
            store = self.redis._process
            if store is None or store.poll() is not None:
                await asyncio.sleep(OUTAGE_S)
                self.redis.kill()
                self.redis.start()
                noting = asyncio.create_task(self._note_outage())
                self._noting.add(noting)
                noting.add_done_callback(self._noting.discard)
            if not self.serve.running:
                self.serve.start()
            if not self.workers.running:
                self.workers.start()

    async def _note_outage(self) -> None:
        with contextlib.suppress(AssertionError):  # it died again
            self.tally.outages.append(await self._until_answered())

    async def _until_answered(self) -> float:
        """Seconds until a caller gets a real reply, once the store is back."""
        began = time.monotonic()

        async def answered() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return (await self.api.get("/v1/me")).status_code == 200
            return False

        await wait_until(answered, "callers are answered again", timeout=30)
        return time.monotonic() - began

    # --- working ---------------------------------------------------------------------------------------------

    async def submit_in_round(
        self, prompt: str, *, label: str, url: str, image: str | None = None, via: str = ""
    ) -> str:
        """Submit until it is acknowledged; the job's id. Its webhook goes to `url`."""
        job = await self.submit(prompt, image=image, via=via, webhook_url=url, metadata={"round": label})
        return str(job["id"])

    async def image(self) -> str:
        """An image as a data URI."""
        async with httpx.AsyncClient(trust_env=False) as web:
            content = (await web.get(self.emulator.sample_image)).content
        return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"

    async def cancel(self, job_id: str) -> None:
        """Cancel a job; repeat until the API has accepted it."""

        async def asked() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return (await self.api.post(f"/v1/jobs/{job_id}/cancel")).status_code in {200, 202, 409}
            return False

        await wait_until(asked, "the cancellation is accepted", timeout=END_S, interval=0.1)

    async def until_ended(self, label: str, count: int, *, hurry: bool = True) -> list[Job]:
        """All ended jobs of a round, with the operator's help; refs that lost their process become due now."""
        seen: dict[str, tuple[str, float]] = {}
        found: list[Job] = []

        async def reached() -> bool:
            found[:] = await self.jobs(round=label)
            await self._release()
            now = time.monotonic()
            for job in found:
                if seen.get(job["id"], ("", 0.0))[0] != job["status"]:
                    seen[job["id"]] = (job["status"], now)
                await self._push(job, now - seen[job["id"]][1], hurry=hurry)
            return len(found) >= count and {job["status"] for job in found} <= ENDS

        try:
            await wait_until(reached, f"all of {label} have ended", timeout=END_S, interval=TIGHT_S)
        except AssertionError as error:
            raise AssertionError(f"{error}; {[(job['id'], job['status']) for job in found]}") from None
        return found

    async def _push(self, job: Job, still_s: float, *, hurry: bool) -> None:
        """End the waits (leases, visibility) of a job that does not change, and resolve it when it is held."""
        step = {"queued": "submit", "submitting": "submit", "running": "poll", "finalizing": "finalize"}
        ref = join_ref(self.team, job["id"])
        with contextlib.suppress(RedisError, StoreUnavailable):
            if job["status"] == "held":
                await self.resolve(job, sure=still_s > CHECK_AGAIN_S and await self._nobody_posts())
            elif hurry and still_s > STALE_S and job["status"] in step:
                if job["status"] == "submitting":
                    if not await self._nobody_posts():
                        return
                    await self.store.hset(keys.job(ref), "lease_ms", 1)
                await self.store.zadd(keys.due(step[job["status"]]), {ref: 1}, xx=True)

    async def _nobody_posts(self) -> bool:
        """True when no running worker can still send its submission; stopped workers do not count."""
        return not any(map(_runs, await asyncio.to_thread(self.workers.busy, "work")))

    async def _release(self) -> None:
        """Release quarantined steps: here the test killed their workers."""
        with contextlib.suppress(StoreUnavailable):
            for step, ref, _ in await self.operator.stores.quarantine.steps():
                await self.operator.stores.quarantine.release(step, ref)
                self.tally.released += 1

    async def resolve(self, job: Job, *, sure: bool) -> bool:
        """Resolve as an operator does: adopt fal's request; if there certainly is none, submit again."""
        request_id = await self.request_of(job["input"]["prompt"])
        if request_id is None and not sure:
            return False
        with contextlib.suppress(Conflict):  # fal's webhook was faster
            if request_id is None:
                await self.operator.operations.resolve("test", job["id"], "resubmit")
            else:
                await self.operator.operations.resolve("test", job["id"], "adopt", upstream_request_id=request_id)
            self.tally.held += 1
            return True
        return False

    # --- checks ----------------------------------------------------------------------------------------------

    async def newest_event(self) -> str:
        """The id of the team's last event, as a cursor."""
        rows = await self.store.xrevrange(keys.events(self.team), count=1)
        return rows[0][0] if rows else "0-0"

    async def check(
        self, ids: list[str], jobs: list[Job], *, since: str, receiver: Receiver, store_died: bool = False
    ) -> None:
        """Check O1 to O4 and O6 for the jobs of one round."""
        self.tally.jobs += len(ids)
        lost = set(ids) ^ {job["id"] for job in jobs}
        self.tally.lost += len(lost)
        twice = set(await self.bought_twice()) - self.excused
        self.tally.doubles += len(twice)
        assert not lost, f"O1: acknowledged and listed differ by {lost}"
        assert not twice, f"O2: bought twice: {twice}"
        await self._one_end_each(ids, since, receiver)
        faults = await self.faults()
        self.tally.ledger_errors += len(faults)
        assert not faults, f"O3: {faults}"
        assert not (wrong := self.errors_logged(store_died=store_died)), f"O6: {wrong[:20]}"

    async def _one_end_each(self, ids: list[str], since: str, receiver: Receiver) -> None:
        """O4: one terminal event for each job; its message arrived at least once, always with the same id."""
        rows = await self.store.xrange(keys.events(self.team), min=f"({since}")
        ends = Counter(f"job_{row['job']}" for _, row in rows if row["type"] in ENDS)
        assert {job_id: ends[job_id] for job_id in ids} == dict.fromkeys(ids, 1), "O4: one end each"

        async def heard() -> bool:
            await self._hurry_deliveries()
            return set(ids) <= set(self.messages(receiver))

        await wait_until(heard, "O4: a message for each end", timeout=END_S, interval=TIGHT_S)
        several = {job_id: found for job_id, found in self.messages(receiver).items() if len(found) > 1}
        assert not several, f"O4: one message has several ids: {several}"

    def messages(self, receiver: Receiver) -> dict[str, set[str]]:
        """The ids of the messages about each job's end."""
        found: dict[str, set[str]] = {}
        for request in receiver.requests:
            message = json.loads(request.body)
            if message["type"].removeprefix("job.") in ENDS:
                found.setdefault(message["data"]["id"], set()).add(request.headers["webhook-id"])
        return found

    async def _hurry_deliveries(self) -> None:
        """A delivery whose process died is hidden for 20 s; make all due now: sending twice is allowed."""
        await self._release()
        due = keys.due("deliver")
        late_ms = (time.time() + STALE_S) * 1000
        for destination in await self.store.zrange(due, 0, -1):
            waiting = keys.waiting(destination)
            late = await self.store.zrangebyscore(waiting, f"({late_ms:.0f}", "+inf")
            if late:
                await self.store.delete(keys.in_flight(destination), keys.destination(destination))
                await self.store.zadd(waiting, dict.fromkeys(late, 1), xx=True)
                await self.store.zadd(due, {destination: 1}, xx=True)

    async def until_delivered(self) -> None:
        """Wait until no delivery is open any more."""

        async def none_left() -> bool:
            await self._hurry_deliveries()
            return not await self.store.zcard(keys.due("deliver"))

        await wait_until(none_left, "all deliveries are done", timeout=END_S, interval=TIGHT_S)

    def errors_logged(self, *, store_died: bool = False) -> list[str]:
        """Lines logged since the last call: unhandled exceptions, errors, replies with 500.

        A worker whose store dies exits with a traceback of RQ's and is restarted; `store_died` leaves that out.
        """
        found = []
        for path in self.logs:
            with path.open("rb") as log:
                log.seek(self._read.get(path, 0))
                text = log.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._read[path] = self._read.get(path, 0) + len(whole)
            rq_too = not store_died or path.name == "api.log"
            found += [line for line in whole.decode().splitlines() if _complains(line, rq_too=rq_too)]
        return found


def _runs(pid: int) -> bool:
    """False for a process that is gone, or stopped by a signal."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"T", "Z"}
    return False


def _complains(line: str, *, rq_too: bool) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return bool(line.strip()) and rq_too  # a traceback, or a warning of Python's
    if entry.get("logger") == "rq.worker" and not rq_too:
        return False
    if entry.get("event") == "alarm.raised" and entry.get("kind") in EXPECTED_ALARMS:
        return False
    return (entry.get("level") in {"error", "critical"} and entry.get("event") not in EXPECTED_ERRORS) or entry.get(
        "status"
    ) == 500


@asynccontextmanager
async def open_crash_installation(*emulator_options: str, **settings: str) -> AsyncIterator[CrashInstallation]:
    """An installation with crash points, ready for work; everything ends with the block."""
    async with contextlib.AsyncExitStack() as stack:
        server = stack.enter_context(RedisServer())
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="filmgate-test-")))
        emulator = await stack.enter_async_context(running_emulator("--no-clips", *emulator_options))
        port = free_port()
        fal_proxy, api_proxy = [
            await stack.enter_async_context(HttpProxy(target)) for target in (emulator.port, port)
        ]
        receiver, gone = [await stack.enter_async_context(Receiver()) for _ in range(2)]
        tickets = folder / "tickets"
        tickets.mkdir()
        env = environment(
            server,
            emulator,
            FILMGATE_FAL_QUEUE_URL=fal_proxy.url,
            FILMGATE_PUBLIC_URL=f"http://127.0.0.1:{port}",
            FILMGATE_FAL_WEBHOOKS="on",
            FILMGATE_FAL_JWKS_URL=f"{emulator.url}/.well-known/jwks.json",
            FILMGATE_FAL_API_URL=emulator.url,
            FAL_ADMIN_KEY="admin-key-of-the-tests",
            **settings,
        )
        armed = {**env, "FILMGATE_CRASH": str(tickets)}
        operator = await stack.enter_async_context(open_gateway(load_settings(env), process="operator"))
        account = await new_account(operator.administration, team_name="test", user_name="tester")
        logs = [folder / "api.log", folder / "workers.log"]
        for log in logs:
            log.touch()
        serve, workers = Server(armed, port=port, log=logs[0]), Workers(armed, log=logs[1])
        api = await stack.enter_async_context(running(serve, workers, account.key))
        patience = Retry(ConstantBackoff(TIGHT_S), 50)  # it retries a command while the store is down
        store = await stack.enter_async_context(server.client(retry=patience))
        parts = (operator, account.team.id, receiver, gone, fal_proxy, api_proxy, store, tickets, logs)
        installation = CrashInstallation(env, server, emulator, serve, workers, api, *parts)
        await installation.ready()
        yield installation
