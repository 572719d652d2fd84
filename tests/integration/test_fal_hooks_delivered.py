"""fal's webhooks as the emulator delivers them: with them jobs end early, without them by polling."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.domain.errors import Unauthenticated
from app.domain.marker import make_marker, read_marker
from app.fal.signature import MIN_INTERVAL_S, Verifier
from app.services.fal_webhooks import FalWebhooks
from app.store import keys
from tests.integration.fal_hooks import PRICE, SLOW, HookSender
from tests.support.emulator import Emulator, running_emulator
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver
from tests.support.redis_server import RedisServer
from tests.support.server import Server
from tests.support.stack import environment, open_stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


async def test_a_key_rotated_while_we_run_is_found(store: RedisServer, emulator: Emulator) -> None:
    """Fal signs with a new key: refused until the key set is fetched again, within half a minute."""
    later = [0.0]
    async with (
        Receiver() as receiver,
        open_stack(store, emulator, FILMGATE_FAL_WEBHOOKS="on", FILMGATE_PUBLIC_URL=receiver.url) as stack,
    ):
        pipeline, own = Pipeline(stack), stack.gateway
        verifier = Verifier(stack.settings.jwks_url, user_id="user_emulator", clock=lambda: later[0])
        webhooks = FalWebhooks(
            jobs=own.stores.jobs, adoption=own.adoption, verifier=verifier, secrets=own.stores.secrets
        )

        async def arrives(count: int) -> None:
            """The newest delivery, once there are this many."""
            one = (await receiver.wait_for(count))[-1]
            marker = read_marker(
                await own.stores.secrets.of_markers(), one.target.removeprefix("/fal/hooks/").replace("/", ".")
            )
            assert marker is not None
            await webhooks.receive(marker, one.headers.items(), one.body)

        await pipeline.bought()
        await arrives(1)
        await emulator.rotate_key()
        async with emulator.paused():
            job = await pipeline.bought()
            assert await pipeline.poll(job.id) is not None
        await pipeline.redis.zadd(keys.due("poll"), {pipeline.ref(job.id): 2**50})
        with pytest.raises(Unauthenticated):
            await arrives(2)
        assert await pipeline.redis.zscore(keys.due("poll"), pipeline.ref(job.id)) == 2**50
        later[0] += MIN_INTERVAL_S
        await arrives(2)
        assert await pipeline.redis.zscore(keys.due("poll"), pipeline.ref(job.id)) < 2**50
        await verifier.aclose()


@pytest.mark.parametrize(("choice", "asked"), [("on", True), ("off", False), ("auto", True)])
async def test_fal_is_given_the_address_of_the_attempt(
    store: RedisServer,
    emulator: Emulator,
    choice: str,
    asked: bool,  # noqa: FBT001  a table
) -> None:
    """Job, nonce and mac below the public URL; with `off` no URL, and the tag still has the marker."""
    async with (
        Receiver() as receiver,
        open_stack(
            store, emulator, FILMGATE_FAL_WEBHOOKS=choice, FILMGATE_PUBLIC_URL=f"{receiver.url}/base"
        ) as stack,
    ):
        pipeline = Pipeline(stack)
        job = await pipeline.bought()
        marker = make_marker(await stack.gateway.stores.secrets.of_markers(), job.id, job.nonce or "")
        request = await emulator.request(job.upstream_request_id or "")
        address = f"{receiver.url}/base/fal/hooks/{marker.job}/{marker.nonce}/{marker.mac}"
        assert request["webhook"] == (address if asked else "")
        assert request["tags"] == {"filmgate": str(marker)}


@asynccontextmanager
async def installed(store: RedisServer, log: Path, **settings: str) -> AsyncIterator[HookSender]:
    """Real workers, a real API process, and an emulator that delivers its webhooks to it."""
    async with running_emulator("--queue-seconds", "0.1", "--run-seconds", "0.3", "--plain-clips") as emulator:
        on = {"FILMGATE_FAL_WEBHOOKS": "on", **settings}
        server = Server({**environment(store, emulator), **on}, log=log)
        async with open_stack(store, emulator, FILMGATE_PUBLIC_URL=server.url, **on) as stack, Receiver() as unused:
            await server.start().ready()
            try:
                async with stack.workers():
                    yield HookSender(Pipeline(stack), unused)
            finally:
                await asyncio.to_thread(server.stop)


TAGS = ("", "webhook_duplicate:10", "webhook_error", "drop_after_accept")  # one unclear answer opens no breaker


async def test_jobs_end_because_of_webhooks(store: RedisServer, tmp_path: Path) -> None:
    """Long before the first poll, even if fal's answer was lost or its webhook is wrong; no log shows a mac."""
    log = tmp_path / "api.log"
    async with installed(store, log, FILMGATE_POLL_INTERVAL=SLOW) as fal:
        stack, emulator = fal.pipeline.stack, fal.pipeline.stack.emulator
        jobs = [await stack.submit(f"[emu:{tag}] clip {number}") for number, tag in enumerate(TAGS)]
        for job in jobs:
            ended = await stack.until(job["id"], "succeeded", "failed", "canceled", timeout=40)
            assert ended["status"] == "succeeded", ended
        charged = [charge["prompt"] for charge in (await emulator.ledger())["charges"]]
        assert len(charged) == len(set(charged)) == len(TAGS)
        assert await fal.pipeline.money() == (0, len(TAGS) * PRICE)

        async def alarms() -> list[tuple[str, str]]:  # on a slow machine there is one of the job that was held
            return [(one.kind, one.job) for one in await fal.alarms() if one.kind != "held"]

        await wait_until(alarms, "the alarm, which a webhook after the end raises")
        assert await alarms() == [("webhook_differs", jobs[2]["id"])]
        macs = [request["webhook"].rsplit("/", 1)[1] for request in await emulator.requests()]
    written = log.read_text()
    assert written.count("fal_webhook.received") >= len(TAGS)
    assert not [mac for mac in macs if mac in written]


async def test_jobs_end_without_webhooks(store: RedisServer, tmp_path: Path) -> None:
    """Fal's webhooks are all refused: polling alone is enough."""
    async with installed(store, tmp_path / "api.log", FILMGATE_POLL_INTERVAL="0.2") as fal:
        stack, emulator = fal.pipeline.stack, fal.pipeline.stack.emulator
        jobs = [await stack.submit(f"[emu:webhook_bad_signature] clip {number}") for number in range(3)]
        for job in jobs:
            assert (await stack.until(job["id"], "succeeded", "failed", timeout=20))["status"] == "succeeded"

        async def refused_all() -> bool:
            tries = [request["webhook_attempts"] for request in await emulator.requests()]
            return all(tries) and {one["outcome"] for each in tries for one in each} == {401}

        await wait_until(refused_all, "every delivery was answered 401")
        assert await fal.pipeline.money() == (0, 3 * PRICE)
