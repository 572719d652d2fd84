"""A gateway under test: real store, real emulator, the API in this process, workers as processes on request."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from app.domain.accounts import digest
from app.gateway import Gateway, open_gateway
from app.main import create_app
from app.services.administration import NewAccount
from app.settings import Settings, load_settings
from tests.support.accounts import new_account
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.support.workers import Workers

ADMIN_KEY = "the-administrators-key-of-the-tests"
EMULATOR_KEY = "emulator-key-of-the-tests"
PATIENCE_S = 10  # for a store, as a started API has more: a connection on a busy machine may take seconds
ROLES = {"supervisor", "lanes", "work", "deliveries"}


def environment(redis: RedisServer, emulator: Emulator, **more: str) -> dict[str, str]:
    """The settings of a gateway under test, as an environment."""
    return {
        "FILMGATE_REDIS_URL": redis.url,
        "FAL_KEY": EMULATOR_KEY,
        "FILMGATE_FAL_QUEUE_URL": emulator.url,
        "FILMGATE_FAL_REST_URL": emulator.url,
        "FILMGATE_PUBLIC_URL": "http://filmgate.test",
        "FILMGATE_ADMIN_KEY": ADMIN_KEY,
        "FILMGATE_EGRESS_ALLOW": "127.0.0.1",
        "FILMGATE_FAL_WEBHOOKS": "off",
        "FILMGATE_POLL_INTERVAL": "0.1",
        "FILMGATE_WORKERS": "1",  # each process takes a second to start
        "FILMGATE_LOG_FORMAT": "json",
        "FILMGATE_DATA_DIR": tempfile.mkdtemp(prefix="data-", dir=redis.dir),  # each with its own witness
        **more,
    }


@dataclass
class Stack:
    """Its parts. `api` is a client with the account's key."""

    settings: Settings
    environment: dict[str, str]
    gateway: Gateway
    account: NewAccount
    api: httpx.AsyncClient
    emulator: Emulator
    redis: RedisServer

    @property
    def digest(self) -> str:
        """The digest of the account's key."""
        return digest(self.account.key)

    def body(self, prompt: str = "a quiet lake", **more: Any) -> dict[str, Any]:
        """A valid submission; `more` adds members."""
        return {"input": {"prompt": prompt, "image_url": self.emulator.sample_image}, **more}

    async def submit(self, prompt: str = "a quiet lake", **more: Any) -> dict[str, Any]:
        """Submit a job; the job as the reply showed it."""
        reply = await self.api.post("/v1/jobs", json=self.body(prompt, **more))
        assert reply.status_code == 202, reply.text
        job: dict[str, Any] = reply.json()
        return job

    async def job(self, job_id: str) -> dict[str, Any]:
        """The current job."""
        reply = await self.api.get(f"/v1/jobs/{job_id}")
        assert reply.status_code == 200, reply.text
        job: dict[str, Any] = reply.json()
        return job

    async def until(self, job_id: str, *statuses: str, timeout: float = 30) -> dict[str, Any]:
        """The job as soon as it has one of these statuses."""

        async def reached() -> dict[str, Any] | None:
            job = await self.job(job_id)
            return job if job["status"] in statuses else None

        found = await wait_until(reached, f"{job_id} is {' or '.join(statuses)}", timeout=timeout)
        assert found is not None
        return found

    @asynccontextmanager
    async def workers(self, log: Path | None = None, /, **more: str) -> AsyncIterator[Workers]:
        """Real workers, ready; their output goes to `log`."""
        workers = Workers({**self.environment, **more}, log=log).start()
        try:

            async def ready() -> bool:
                return set((await self.gateway.stores.heartbeats.workers()).values()) >= ROLES

            await wait_until(ready, "all workers have reported", timeout=60)
            yield workers
        finally:
            await asyncio.to_thread(workers.stop)  # they may use a proxy that runs in this event loop


def bought_after_s(job: dict[str, Any]) -> float:
    """Seconds from a job's admission until it was submitted, by the job's own times."""
    submitted, created = (datetime.fromisoformat(job[name]) for name in ("submitted_at", "created_at"))
    return (submitted - created).total_seconds()


_IDLE: dict[tuple[str, ...], list[FastAPI]] = {}


@asynccontextmanager
async def application(settings: Settings) -> AsyncIterator[FastAPI]:
    """The API's application with its gateway open.

    Creating one takes 0.2 s, so the next test reuses it, with its own gateway.
    """
    headers = (settings.proxy_user_header, settings.proxy_groups_header, *settings.trusted_proxies)
    flags = (str(settings.docs), str(settings.fal_hosts), *map(str, headers))
    idle = _IDLE.setdefault((settings.base_url, *flags, *settings.cors_origins), [])
    app = idle.pop() if idle else create_app(settings)
    async with open_gateway(settings, process="api", patience=PATIENCE_S) as app.state.gateway:
        yield app
    idle.append(app)


@asynccontextmanager
async def open_stack(redis: RedisServer, emulator: Emulator, **more: str) -> AsyncIterator[Stack]:
    """A gateway on this store and this emulator, with one team, one user and one key."""
    env = environment(redis, emulator, **more)
    settings = load_settings(env)
    async with application(settings) as app:
        gateway: Gateway = app.state.gateway
        account = await new_account(gateway.administration, team_name="test", user_name="tester")
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {account.key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://filmgate.test", headers=headers) as api:
            yield Stack(settings, env, gateway, account, api, emulator, redis)
