"""Webhooks from fal to a gateway, signed with a key of the test's, and the job's state afterwards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from app.domain.alarms import Alarm
from app.domain.jobs import Job, Money, Status
from app.domain.marker import Marker, make_marker
from app.store import keys
from tests.support.emulator import Emulator, FalCaller
from tests.support.pipeline import Pipeline
from tests.support.receiver import Answer, Receiver
from tests.support.redis_server import RedisServer
from tests.support.signed import Signer, jwks_reply, webhook_body
from tests.support.stack import EMULATOR_KEY, open_stack

PRICE = 1_400_000
SLOW = "60"  # seconds until the first poll: anything sooner is caused by a webhook
FAL = Signer()


@dataclass
class HookSender:
    """Sends fal's webhooks to a gateway; `pipeline` has its jobs."""

    pipeline: Pipeline
    keys: Receiver

    async def marker(self, job_id: str, nonce: str | None) -> Marker:
        """The marker that the submission of this attempt carried."""
        return make_marker(await self.pipeline.gateway.stores.secrets.of_markers(), job_id, nonce or "")

    async def send(
        self, marker: Marker, request_id: str, *, body: bytes | None = None, signer: Signer = FAL, **how: Any
    ) -> httpx.Response:
        """Deliver this, signed; `how` may have `at`, the time of the signature, and `user`."""
        body = webhook_body(request_id) if body is None else body
        return await self.post(marker, signer.headers(request_id, body, **how), body)

    async def post(self, marker: Marker, headers: dict[str, str], body: bytes) -> httpx.Response:
        """Deliver this."""
        path = f"/fal/hooks/{marker.job}/{marker.nonce}/{marker.mac}"
        return await self.pipeline.stack.api.post(path, headers=headers, content=body)

    async def at_fal(self, prompt: str) -> str:
        """The id of a request at fal that no job has."""
        async with FalCaller(self.pipeline.stack.emulator.url, EMULATOR_KEY) as caller:
            return str((await caller.submit(prompt))["request_id"])

    async def alarms(self) -> list[Alarm]:
        """The alarms, newest first."""
        return await self.pipeline.gateway.stores.alarms.newest(100)

    async def poll_in(self, job_id: str) -> float:
        """Seconds until the job is polled."""
        due: float = await self.pipeline.redis.zscore(keys.due("poll"), self.pipeline.ref(job_id))
        return (due - await self.pipeline.gateway.stores.clock.now_ms()) / 1000

    async def assert_succeeds(self, job: Job, request_id: str) -> None:
        """The job gets this request, is due now, and succeeds: charged once, without an alarm."""
        now = await self.pipeline.job(job.id)
        assert (now.status, now.upstream_request_id) == (Status.RUNNING, request_id)
        assert await self.poll_in(job.id) <= 0
        assert await self.pipeline.slot(job.id) == float("inf")
        await self.pipeline.completed(job.id)
        end = await self.pipeline.finalized(job.id)
        assert (end.status, end.money) == (Status.SUCCEEDED, Money.SPENT)
        assert await self.pipeline.entries(job.id) == ["reserve", "settle"]
        assert await self.alarms() == []


@asynccontextmanager
async def hook_sender(
    store: RedisServer, emulator: Emulator, *answers: Answer, **settings: str
) -> AsyncIterator[HookSender]:
    """A gateway that fetches fal's keys from a server of the test's; it gives this answer first, then FAL's key."""
    async with Receiver() as server:
        server.answers([*answers, *[jwks_reply(FAL)] * 10])
        slow = {"FILMGATE_FAL_JWKS_URL": f"{server.url}/keys", "FILMGATE_POLL_INTERVAL": SLOW}
        async with open_stack(store, emulator, **slow, **settings) as stack:
            yield HookSender(Pipeline(stack), server)
