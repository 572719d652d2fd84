"""fal's webhooks: a forged, late, foreign, oversized or unverifiable one changes nothing."""

from collections.abc import AsyncIterator

import pytest

from app.api.incoming import PLAIN_LIMIT
from app.domain.ids import new_id, new_nonce
from app.domain.jobs import Status
from app.domain.marker import Marker
from tests.integration.fal_hooks import FAL, HookSender, hook_sender
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.signed import PREFIX, USER, Signer, webhook_body

pytestmark = pytest.mark.anyio

FORGER = Signer(b"f" * 32)


@pytest.fixture
async def fal(store: RedisServer, emulator: Emulator) -> AsyncIterator[HookSender]:
    """A gateway that polls a minute after a submission, not sooner."""
    async with hook_sender(store, emulator) as made:
        yield made


def forged(marker: Marker, other: Marker) -> dict[str, Marker]:
    """Paths without a valid marker."""
    job, nonce, mac = marker.job, marker.nonce, marker.mac
    return {
        "mac of another job": Marker(job, nonce, other.mac),
        "another job with this mac": Marker(other.job, nonce, mac),
        "another nonce": Marker(job, new_nonce(), mac),
        "no mac to speak of": Marker(job, nonce, "0"),
        "a digit less": Marker(job, nonce, mac[:-1]),
        "in capitals": Marker(job, nonce, mac.upper()),
        "too long": Marker(job, nonce, mac * 200),
        "not ASCII": Marker(job, nonce, "é" * 32),
        "NUL": Marker(job, nonce, "%00"),
        "a pattern": Marker("*", "*", "*"),
    }


async def test_a_marker_that_is_not_ours_is_not_found(fal: HookSender) -> None:
    """404 before anything else is checked, even with fal's own signature: nothing changes, no key is fetched."""
    job, other = await fal.pipeline.bought(), await fal.pipeline.bought()
    marker = await fal.marker(job.id, job.nonce)
    async with nothing_changes(fal.pipeline.stack):
        for case, wrong in forged(marker, await fal.marker(other.id, other.nonce)).items():
            reply = await fal.send(wrong, job.upstream_request_id or "")
            assert reply.status_code == 404, case
            assert_problem(reply, 404, "not_found")
    assert fal.keys.requests == []


async def test_a_job_nobody_knows_is_not_found(fal: HookSender) -> None:
    """With our own marker and fal's own signature: its record is gone, or a restored store never had it."""
    marker = await fal.marker(new_id("job"), new_nonce())
    async with nothing_changes(fal.pipeline.stack):
        assert_problem(await fal.send(marker, "abc-1"), 404, "not_found")
    assert await fal.alarms() == []


@pytest.mark.parametrize("state", ["queued", "submitting", "held", "running"])
async def test_what_is_not_fals_changes_nothing(fal: HookSender, state: str) -> None:
    """Another key, body or time, an old time, a header changed or missing: 401 in every state."""
    if state in {"held", "running"}:
        job = await fal.pipeline.bought("[emu:submit_502_accepted]" if state == "held" else "a lake")
    else:
        job = await fal.pipeline.job(await fal.pipeline.grant())
        if state == "submitting":
            await fal.pipeline.store.claim(job)
            job = await fal.pipeline.job(job.id)
    assert job.status == state
    marker, request_id = await fal.marker(job.id, job.nonce or new_nonce()), job.upstream_request_id or "abc-1"
    body = webhook_body(request_id)
    good = FAL.headers(request_id, body)
    async with nothing_changes(fal.pipeline.stack):
        wrong = [
            await fal.send(marker, request_id, signer=FORGER),
            await fal.send(marker, request_id, at=int(good[PREFIX + "timestamp"]) - 302),
            await fal.send(marker, request_id, at=int(good[PREFIX + "timestamp"]) + 330),
            await fal.send(marker, request_id, body=webhook_body("abc-2")),
            await fal.post(marker, good, body.replace(b" ", b"")),
            await fal.post(marker, good, b""),
            await fal.post(marker, {**good, PREFIX + "user-id": "other"}, body),
            *[
                await fal.post(marker, {name: value for name, value in good.items() if name != left_out}, body)
                for left_out in good
            ],
        ]
        for reply in wrong:
            assert_problem(reply, 401, "unauthenticated")
    assert await fal.alarms() == []
    assert len(fal.keys.requests) == 1


async def test_deliveries_about_another_account_are_refused(store: RedisServer, emulator: Emulator) -> None:
    """Fal's key set is the same for all its customers; FILMGATE_FAL_WEBHOOK_USER names our account."""
    async with hook_sender(store, emulator, FILMGATE_FAL_WEBHOOK_USER=USER) as fal:
        job = await fal.pipeline.bought("[emu:submit_502_accepted]")
        marker = await fal.marker(job.id, job.nonce)
        async with nothing_changes(fal.pipeline.stack):
            assert_problem(await fal.send(marker, "abc-1", user="user_other"), 401, "unauthenticated")
        assert (await fal.send(marker, "abc-1", user=USER)).status_code == 204


async def test_without_keys_fal_is_to_try_again(store: RedisServer, emulator: Emulator) -> None:
    """503 with Retry-After; polling continues without them."""
    async with hook_sender(store, emulator, 500) as fal:
        job = await fal.pipeline.bought()
        marker = await fal.marker(job.id, job.nonce)
        async with nothing_changes(fal.pipeline.stack):
            reply = await fal.send(marker, job.upstream_request_id or "")
        assert_problem(reply, 503, "unavailable")
        assert reply.headers["retry-after"] == "30"
        await fal.pipeline.completed(job.id)
        assert (await fal.pipeline.finalized(job.id)).status is Status.SUCCEEDED


async def test_a_large_body_is_refused(fal: HookSender) -> None:
    """Fal's have a few KB; one of exactly the limit is accepted."""
    job = await fal.pipeline.bought()
    marker, request_id = await fal.marker(job.id, job.nonce), job.upstream_request_id or ""
    room = PLAIN_LIMIT - len(webhook_body(request_id, payload=""))
    assert (
        await fal.send(marker, request_id, body=webhook_body(request_id, payload="x" * room))
    ).status_code == 204
    reply = await fal.send(marker, request_id, body=webhook_body(request_id, payload="x" * (room + 1)))
    assert "256 KB" in assert_problem(reply, 413, "payload_too_large")["detail"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_only_a_post_is_accepted(fal: HookSender, method: str) -> None:
    """405, whatever the path."""
    reply = await fal.pipeline.stack.api.request(method, "/fal/hooks/a/b/c")
    assert_problem(reply, 405, "method_not_allowed")
