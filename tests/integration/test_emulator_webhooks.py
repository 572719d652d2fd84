"""Webhooks are signed as fal signs them, delivered to a real receiver, and retried."""

import base64
import hashlib
import itertools
import json
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.emulator.signature import SigningKeys
from app.emulator.webhooks import FIRST_RETRY_PAUSE
from tests.support.emulator import Emulator, FalCaller, running_emulator
from tests.support.receiver import Received, Receiver, Reply
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

SPEED = 20
VECTOR_ID = "01234567-89ab-7cde-8f01-23456789abcd"
VECTOR_BODY = (
    f'{{"request_id":"{VECTOR_ID}","gateway_request_id":"{VECTOR_ID}","status":"OK",'
    '"payload":{"video":{"url":"https://v3b.fal.media/files/b/0a/x.mp4"}}}'
)
VECTOR_SIGNATURE = (
    "53346aed328cfaecd11dee1c5f4c1e01d8557d4be77bc278e092f871e357aef8"
    "752ddd82e77c0627042444eb5903494ec65ebd303ebf2922015b2a2ddc11640c"
)


@pytest.fixture(scope="module")
async def fal() -> AsyncIterator[Emulator]:
    """An emulator with short times."""
    async with running_emulator("--speed", str(SPEED), "--no-clips", "--webhook-user", "user_test") as emulator:
        yield emulator


def test_the_signature_is_fals() -> None:
    """The test vector of the protocol notes: private key 00 01 … 1f."""
    keys = SigningKeys(bytes(range(32)))
    assert keys.jwks()["keys"] == [
        {"kty": "OKP", "crv": "Ed25519", "x": "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}
    ]
    signed = keys.sign(request_id=VECTOR_ID, user_id="user_test", timestamp=1767225600, body=VECTOR_BODY.encode())
    assert signed == VECTOR_SIGNATURE


async def _is_genuine(fal: Emulator, received: Received) -> bool:
    """True when one of the published keys made the delivery's signature."""
    async with httpx.AsyncClient(trust_env=False) as web:
        jwks = (await web.get(f"{fal.url}/.well-known/jwks.json")).json()
    headers = received.headers
    lines = (
        headers["x-fal-webhook-request-id"],
        headers["x-fal-webhook-user-id"],
        headers["x-fal-webhook-timestamp"],
        hashlib.sha256(received.body).hexdigest(),
    )
    signature = bytes.fromhex(headers["x-fal-webhook-signature"])
    for key in jwks["keys"]:
        public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
        try:
            public.verify(signature, "\n".join(lines).encode())
        except InvalidSignature:
            continue
        return True
    return False


async def test_a_success_is_delivered_once_and_signed(fal: Emulator, caller: FalCaller, receiver: Receiver) -> None:
    """OK with the output as payload; user, time and id in the headers; the query of the URL is kept."""
    reply = await caller.submit("a lake", params={"fal_webhook": f"{receiver.url}/hook?x=1&y=ü"})
    received = (await receiver.wait_for(1))[0]
    body, result = json.loads(received.body), await caller.result(reply)
    assert (received.method, received.target) == ("POST", "/hook?x=1&y=%C3%BC")
    assert (body["request_id"], body["status"], body["payload"]) == (reply["request_id"], "OK", result.json())
    assert set(body) == {"request_id", "gateway_request_id", "status", "payload"}
    assert received.headers["x-fal-webhook-user-id"] == "user_test"
    assert received.headers["x-fal-webhook-request-id"] == reply["request_id"]
    assert abs(int(received.headers["x-fal-webhook-timestamp"]) - time.time()) < 60
    assert await _is_genuine(fal, received)
    assert len(receiver.requests) == 1


async def test_a_failure_is_delivered_as_an_error(caller: FalCaller, receiver: Receiver) -> None:
    """ERROR, the status code in the message, and the model's body as payload."""
    await caller.submit("[emu:422_image_load]", params={"fal_webhook": receiver.url})
    body = json.loads((await receiver.wait_for(1))[0].body)
    assert (body["status"], body["error"]) == ("ERROR", "Invalid status code: 422")
    assert body["payload"]["detail"][0]["type"] == "image_load_error"


async def test_a_failed_delivery_is_tried_again_with_growing_pauses(
    fal: Emulator, caller: FalCaller, receiver: Receiver
) -> None:
    """4xx, 5xx and a broken connection are retried with the same body, until a 2xx."""
    receiver.answers([500, 404, _break_off])
    reply = await caller.submit("a lake", params={"fal_webhook": receiver.url})
    received = await receiver.wait_for(4)
    assert len({one.body for one in received}) == 1

    async def recorded() -> bool:
        return len((await fal.request(reply["request_id"]))["webhook_attempts"]) == 4

    await wait_until(recorded, "four attempts are on record")
    attempts = (await fal.request(reply["request_id"]))["webhook_attempts"]
    assert [one["outcome"] for one in attempts] == [500, 404, "RemoteProtocolError", 200]
    pauses = [later["at"] - one["at"] for one, later in itertools.pairwise(attempts)]
    for number, pause in enumerate(pauses):
        assert pause >= FIRST_RETRY_PAUSE * 2**number / SPEED - 0.005, pauses


async def _break_off(_writer: object) -> None:
    """Sends nothing; the receiver then closes the connection."""


async def test_a_redirect_ends_a_delivery(fal: Emulator, caller: FalCaller, receiver: Receiver) -> None:
    """Not followed, not retried: the next thing that arrives is the next request's delivery."""
    receiver.answers([Reply(302, {"Location": f"{receiver.url}/elsewhere"})])
    first = await caller.submit("one", params={"fal_webhook": f"{receiver.url}/one"})
    await receiver.wait_for(1)
    await caller.submit("two [emu:run:30]", params={"fal_webhook": f"{receiver.url}/two"})
    received = await receiver.wait_for(2)
    assert [one.target for one in received] == ["/one", "/two"]
    assert len((await fal.request(first["request_id"]))["webhook_attempts"]) == 1


async def test_scenarios_bend_the_delivery(fal: Emulator, caller: FalCaller, receiver: Receiver) -> None:
    """An ERROR for a success, three copies, a wrong signature."""
    wrong = await caller.submit("[emu:webhook_error]", params={"fal_webhook": f"{receiver.url}/error"})
    body = json.loads((await receiver.wait_for(1))[0].body)
    assert body["status"] == "ERROR"
    assert (await caller.result(wrong)).status_code == 200
    await caller.submit("[emu:webhook_duplicate:3]", params={"fal_webhook": f"{receiver.url}/copies"})
    copies = (await receiver.wait_for(4))[1:]
    assert len({one.body for one in copies}) <= 3
    assert {json.loads(one.body)["request_id"] for one in copies} != {wrong["request_id"]}
    await caller.submit("[emu:webhook_bad_signature]", params={"fal_webhook": f"{receiver.url}/forged"})
    forged = (await receiver.wait_for(5))[-1]
    assert not await _is_genuine(fal, forged)


async def test_a_late_delivery_comes_after_the_result(fal: Emulator, caller: FalCaller, receiver: Receiver) -> None:
    """The given number of emulated seconds after the end; ten are half a second here."""
    reply = await caller.submit("[emu:webhook_late:10]", params={"fal_webhook": receiver.url})
    await caller.result(reply)
    await receiver.wait_for(1)

    async def recorded() -> bool:
        return bool((await fal.request(reply["request_id"]))["webhook_attempts"])

    await wait_until(recorded, "the attempt is on record")
    truth = await fal.request(reply["request_id"])
    assert truth["webhook_attempts"][0]["at"] - truth["completed_at"] >= 0.5


async def test_a_rotated_key_signs_and_the_old_one_stays_published(
    fal: Emulator, caller: FalCaller, receiver: Receiver
) -> None:
    """Deliveries before and after the rotation both verify against the new set."""
    await caller.submit("one", params={"fal_webhook": receiver.url})
    await receiver.wait_for(1)
    await fal.rotate_key()
    await caller.submit("two", params={"fal_webhook": receiver.url})
    before, after = await receiver.wait_for(2)
    assert await _is_genuine(fal, before)
    assert await _is_genuine(fal, after)


async def test_a_cancelled_request_is_announced_too(caller: FalCaller, receiver: Receiver) -> None:
    """One delivery at the end, whatever the outcome."""
    reply = await caller.submit("[emu:stuck_in_queue]", params={"fal_webhook": receiver.url})
    await caller.web.put(reply["cancel_url"])
    body = json.loads((await receiver.wait_for(1))[0].body)
    assert (body["status"], body["error"]) == ("ERROR", "Invalid status code: 499")
