"""A complete installation of separate processes: store, emulator, `filmgate serve`, `filmgate worker`."""

import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext
from typing import Any

import httpx

from app.domain.money import parse_usd
from app.gateway import open_gateway
from app.settings import load_settings
from tests.support.accounts import new_account
from tests.support.checks import store_faults
from tests.support.emulator import Emulator, running_emulator
from tests.support.processes import clean_environment, free_port, run_command
from tests.support.redis_server import RedisServer
from tests.support.server import Server
from tests.support.stack import environment
from tests.support.tls import Certificates
from tests.support.waiting import wait_until
from tests.support.workers import Workers

Job = dict[str, Any]
START_SECONDS = 60
ENDS = {"succeeded", "failed", "canceled"}
CLIENTS = 16  # how many submit at once
KEEPING = httpx.Limits(keepalive_expiry=2)  # seconds: shorter than the API's own 5, or a call may meet its close


@dataclass
class Installation:
    """Its parts. `api` is a client of `serve` with the account's key."""

    settings: dict[str, str]
    redis: RedisServer
    emulator: Emulator
    serve: Server
    workers: Workers
    api: httpx.AsyncClient

    async def submit(self, prompt: str, *, image: str | None = None, via: str = "", **more: Any) -> Job:
        """Submit until it is accepted, with one idempotency key, as a patient client does."""
        body = {"input": {"prompt": prompt, "image_url": image or self.emulator.sample_image}, **more}

        async def accepted() -> Job | None:
            with contextlib.suppress(httpx.TransportError):
                reply = await self.api.post(
                    f"{via}/v1/jobs", json=body, headers={"Idempotency-Key": prompt.strip()}
                )
                assert reply.status_code in {202, 503}, reply.text
                return reply.json() if reply.status_code == 202 else None
            return None

        found = await wait_until(accepted, f"{prompt} is accepted", timeout=2 * START_SECONDS, interval=0.1)
        assert found is not None
        return found

    async def submit_all(self, bodies: Iterable[tuple[str, dict[str, Any]]]) -> list[Job]:
        """Submit prompts with their other members, with this many clients at once."""
        room = asyncio.Semaphore(CLIENTS)

        async def one(prompt: str, more: dict[str, Any]) -> Job:
            async with room:
                return await self.submit(prompt, **more)

        return list(await asyncio.gather(*(one(prompt, more) for prompt, more in bodies)))

    async def jobs(self, **metadata: str) -> list[Job]:
        """The account's jobs with this metadata, newest first; empty while the API or the store is down."""
        found: list[Job] = []
        wanted = {f"metadata.{name}": value for name, value in metadata.items()}
        cursor: dict[str, str] = {}
        while True:
            try:
                reply = await self.api.get("/v1/jobs", params={"limit": "100", **wanted, **cursor})
            except httpx.TransportError:
                return []
            if reply.status_code != 200:
                return []
            page = reply.json()
            found += page["data"]
            if not page["has_more"]:
                return found
            cursor = {"cursor": page["next_cursor"]}

    async def until_all(self, count: int, statuses: set[str], *, timeout: float, **metadata: str) -> list[Job]:
        """All `count` jobs with this metadata, once each has one of these statuses."""
        seen: list[Job] = []

        async def reached() -> bool:
            seen[:] = await self.jobs(**metadata)
            return len(seen) == count and {job["status"] for job in seen} <= statuses

        try:
            await wait_until(reached, f"{count} jobs are {statuses}", timeout=timeout, interval=0.3)
        except AssertionError as error:
            counts = Counter(job["status"] for job in seen)
            raise AssertionError(f"{error}; {len(seen)} jobs: {dict(counts)}") from None
        return seen

    async def usage(self) -> tuple[int, int]:
        """Reserved and spent micro-dollars, from `GET /v1/me`."""
        reply = await self.api.get("/v1/me")
        assert reply.status_code == 200, reply.text
        usage = reply.json()["usage"]
        return parse_usd(usage["reserved_usd"]), parse_usd(usage["spent_usd"])

    async def request_of(self, prompt: str) -> str | None:
        """The emulator's id of the request with this prompt; None when it has accepted none."""
        found = [request["request_id"] for request in await self.emulator.requests() if request["prompt"] == prompt]
        return found[0] if found else None

    async def bought_twice(self) -> list[str]:
        """Prompts that the emulator accepted or charged more than once; every prompt of a test is unique."""
        accepted = Counter(request["prompt"] for request in await self.emulator.requests())
        charged = Counter(charge["prompt"] for charge in (await self.emulator.ledger())["charges"])
        return sorted(prompt for prompt, count in (accepted | charged).items() if count > 1)

    async def faults(self) -> list[str]:
        """What is wrong in the store: keys without expiry, misplaced money, leaked slots."""
        async with self.redis.client() as redis:
            return await store_faults(redis)

    async def command(self, *arguments: str) -> Any:
        """The JSON output of `filmgate …`."""
        ended = await run_command(*arguments, "--json", environment=clean_environment(**self.settings))
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    async def summary(self) -> str:
        """Counts of jobs by status and the reply of `filmgate status`, for the message of a failed wait."""
        counts = Counter(job["status"] for job in await self.jobs())
        return f"jobs {dict(counts)}; {await self.command('status')}"

    async def ready(self) -> None:
        """Wait until `/readyz` is a success, and misses no worker."""

        async def says_so() -> bool:
            with contextlib.suppress(httpx.TransportError):
                reply = await self.api.get("/readyz")
                return reply.is_success and "workers_missing" not in reply.json()
            return False

        await wait_until(says_so, "the API and the workers are ready", timeout=START_SECONDS, interval=0.1)

    def kill_worker(self, queue: str, which: int = 0) -> int | None:
        """SIGKILL one worker process of this queue; its process id, or None when there is none just now."""
        pids = sorted(self.workers.pids(queue))
        if not pids:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.kill(pids[which % len(pids)], signal.SIGKILL)
        return pids[which % len(pids)]


@asynccontextmanager
async def open_installation(
    redis: RedisServer,
    *emulator_options: str,
    tls: Certificates | None = None,
    log: Path | None = None,
    **settings: str,
) -> AsyncIterator[Installation]:
    """An installation on this store, ready, with one account; everything ends with the block.

    With `tls` the API speaks https with this certificate, and so do its replies' URLs; `log` gets both outputs.
    """
    port = free_port()
    if tls is not None:
        files = {"FILMGATE_TLS_CERT": str(tls.certificate), "FILMGATE_TLS_KEY": str(tls.key)}
        settings = {**files, "FILMGATE_PUBLIC_URL": f"https://127.0.0.1:{port}", **settings}
    async with running_emulator("--plain-clips", *emulator_options) as emulator:
        env = environment(redis, emulator, **settings)
        async with open_gateway(load_settings(env), process="test") as gateway:
            account = await new_account(gateway.administration, team_name="test", user_name="tester")
        serve, workers = Server(env, port=port, log=log), Workers(env, log=log)
        async with running(serve, workers, account.key, verify=tls.context if tls else True) as api:
            installation = Installation(env, redis, emulator, serve, workers, api)
            await installation.ready()
            yield installation


@asynccontextmanager
async def running(
    serve: Server, workers: Workers, key: str, *, verify: SSLContext | bool = True
) -> AsyncIterator[httpx.AsyncClient]:
    """Both programs for a block, and a client of the API with this key."""
    headers = {"Authorization": f"Bearer {key}"}
    serve.start()
    workers.start()
    try:
        async with httpx.AsyncClient(
            base_url=serve.url, headers=headers, timeout=30, trust_env=False, limits=KEEPING, verify=verify
        ) as api:
            yield api
    finally:
        serve.stop()
        workers.stop()
