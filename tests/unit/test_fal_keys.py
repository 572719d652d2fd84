"""fal's keys are fetched rarely, only from the configured URL, and outlast a fal without a useful answer."""

import asyncio
import gzip
import json
import time
from typing import Any

import pytest

from app.fal.signature import FETCH_SECONDS, FRESH_S, MAX_AGE_S, MIN_INTERVAL_S, KeysUnavailable, Verifier
from tests.support.receiver import Answer, Receiver, Reply
from tests.support.signed import jwks_reply
from tests.support.verifying import (
    BODY,
    FAL,
    FORGER,
    NEWER,
    NOW,
    REQUEST,
    VECTOR_KEY,
    reason_refused,
    verifier_setup,
)

pytestmark = pytest.mark.anyio


OTHERS: list[Any] = [
    {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
    {"kty": "EC", "crv": "P-256", "x": VECTOR_KEY["x"], "y": VECTOR_KEY["x"]},
    {"kty": "OKP", "crv": "X25519", "x": VECTOR_KEY["x"]},
    {"kty": "OKP", "crv": "Ed448", "x": VECTOR_KEY["x"]},
    {"kty": "oct", "crv": "Ed25519", "k": VECTOR_KEY["x"], "x": VECTOR_KEY["x"]},
    {"kty": "OKP", "crv": "Ed25519"},
    {"kty": "OKP", "crv": "Ed25519", "x": None},
    {"kty": "OKP", "crv": "Ed25519", "x": VECTOR_KEY["x"][:-1]},
    {"kty": "OKP", "crv": "Ed25519", "x": VECTOR_KEY["x"] + "AAAA"},
    {"kty": "OKP", "crv": "Ed25519", "x": "!" + VECTOR_KEY["x"]},
    {"kty": ["OKP"], "crv": {"Ed25519": 1}, "x": VECTOR_KEY["x"]},
    "text",
    None,
    [],
]


async def test_every_key_is_tried() -> None:
    """Whichever published key signed; other algorithms and invalid keys are skipped."""
    async with verifier_setup(jwks_reply(*OTHERS * 3, FORGER, NEWER, FAL)) as setup:
        for signer in (FAL, NEWER, FORGER):
            assert (await setup.verify(signer)).request_id == REQUEST


async def test_other_algorithms_are_no_keys() -> None:
    """A set without an ED25519 key counts as empty."""
    async with verifier_setup(jwks_reply(*OTHERS)) as setup:
        with pytest.raises(KeysUnavailable):
            await setup.verify()


async def test_one_fetch_serves_an_hour() -> None:
    """A hundred concurrent deliveries wait for one fetch; the next is an hour later."""
    async with verifier_setup(jwks_reply(FAL), jwks_reply(FAL)) as setup:
        await asyncio.gather(*(setup.verify() for _ in range(100)))
        setup.pass_time(FRESH_S - 1)
        await setup.verify()
        assert setup.key_requests == 1
        setup.pass_time(1)
        await asyncio.gather(*(setup.verify() for _ in range(10)))
        assert setup.key_requests == 2


async def test_a_new_key_is_found_before_the_hour_is_over() -> None:
    """A signature that fits no key triggers a fetch; the key that is no longer published is gone."""
    async with verifier_setup(jwks_reply(FAL), jwks_reply(NEWER)) as setup:
        await setup.verify()
        setup.pass_time(MIN_INTERVAL_S)
        assert (await setup.verify(NEWER)).request_id == REQUEST
        assert setup.key_requests == 2
        assert await reason_refused(setup.verify(FAL)) == "signature"


async def test_forged_deliveries_cause_at_most_two_fetches_a_minute() -> None:
    """However many come, in turn or concurrently; and a new key is found with the next fetch."""
    async with verifier_setup(*[jwks_reply(FAL)] * 3, jwks_reply(FAL, NEWER)) as setup:
        await setup.verify()
        for _ in range(20):
            assert await reason_refused(setup.verify(FORGER)) == "signature"
        assert setup.key_requests == 1
        for key_requests in (2, 3):
            setup.pass_time(MIN_INTERVAL_S)
            found = await asyncio.gather(*(reason_refused(setup.verify(FORGER)) for _ in range(50)))
            assert set(found) == {"signature"}
            assert setup.key_requests == key_requests
        setup.pass_time(MIN_INTERVAL_S - 1)
        assert await reason_refused(setup.verify(NEWER)) == "signature"
        setup.pass_time(1)
        await setup.verify(NEWER)
        assert setup.key_requests == 4


async def _nonsense(writer: asyncio.StreamWriter) -> None:
    writer.write(b"this is not HTTP\r\n\r\n")
    await writer.drain()


async def _half(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + jwks_reply(NEWER).body)
    await writer.drain()


USELESS: dict[str, Answer] = {
    "500": 500,
    "404": 404,
    "a set with 203": Reply(203, body=jwks_reply(NEWER).body),
    "a set with 500": Reply(500, body=jwks_reply(NEWER).body),
    "nothing": 200,
    "no keys": jwks_reply(),
    "another object": Reply(body=b"{}"),
    "keys in an object": Reply(body=b'{"keys": {"0": {}}}'),
    "keys in a list": Reply(body=json.dumps([NEWER.jwk]).encode()),
    "null": Reply(body=b"null"),
    "HTML": Reply(body=b"<html>sign in</html>"),
    "not UTF-8": Reply(body=b"\xff\xfe"),
    "nested without end": Reply(body=b"[" * 60_000),
    "other algorithms": jwks_reply(*OTHERS),
    "too large": jwks_reply({**NEWER.jwk, "kid": "k" * 70_000}),
    "compressed": Reply(200, {"Content-Encoding": "gzip"}, gzip.compress(jwks_reply(NEWER).body)),
    "half of it": _half,
    "no HTTP": _nonsense,
}


@pytest.mark.parametrize("case", USELESS)
async def test_a_useless_answer_gives_no_keys(case: str) -> None:
    """Without any, nothing is verified and fal must retry; half a minute later the keys are there."""
    async with verifier_setup(USELESS[case], jwks_reply(NEWER)) as setup:
        for _ in range(3):
            with pytest.raises(KeysUnavailable):
                await setup.verify(NEWER)
        assert setup.key_requests == 1
        setup.pass_time(MIN_INTERVAL_S)
        await setup.verify(NEWER)


@pytest.mark.parametrize("case", USELESS)
async def test_a_useless_answer_leaves_the_old_keys(case: str) -> None:
    """They stay valid past their hour, and fal is asked again every half minute."""
    async with verifier_setup(jwks_reply(FAL), USELESS[case], jwks_reply(NEWER)) as setup:
        await setup.verify()
        setup.pass_time(FRESH_S)
        for _ in range(3):
            await setup.verify()
            assert await reason_refused(setup.verify(NEWER)) == "signature"
        assert setup.key_requests == 2
        setup.pass_time(MIN_INTERVAL_S)
        await setup.verify(NEWER)
        assert setup.key_requests == 3


async def test_a_redirect_is_not_followed() -> None:
    """The keys come only from the configured URL."""
    async with Receiver() as evil:
        evil.answers([jwks_reply(FORGER)] * 2)
        redirects = [Reply(status, {"Location": f"{evil.url}/jwks.json"}) for status in (301, 307)]
        async with verifier_setup(redirects[0], jwks_reply(FAL), redirects[1]) as setup:
            with pytest.raises(KeysUnavailable):
                await setup.verify(FORGER)
            setup.pass_time(MIN_INTERVAL_S)
            await setup.verify()
            setup.pass_time(MIN_INTERVAL_S)
            assert await reason_refused(setup.verify(FORGER)) == "signature"
            assert setup.key_requests == 3
        assert evil.connections == 0


async def test_keys_that_fal_confirms_no_more_end_after_a_day() -> None:
    """Fal allows a copy for 24 hours."""
    async with verifier_setup(jwks_reply(FAL), 500, 500, jwks_reply(FAL)) as setup:
        await setup.verify()
        setup.pass_time(MAX_AGE_S)
        await setup.verify()
        setup.pass_time(MIN_INTERVAL_S)
        with pytest.raises(KeysUnavailable):
            await setup.verify()
        setup.pass_time(MIN_INTERVAL_S)
        await setup.verify()


async def test_a_fal_that_is_away_gives_no_keys() -> None:
    """Nothing listens there."""
    async with verifier_setup() as setup:
        pass
    verifier = Verifier(f"{setup.server.url}/jwks.json", user_id=None)
    with pytest.raises(KeysUnavailable):
        await verifier.verify(FAL.headers(REQUEST, BODY, at=NOW).items(), BODY, now_s=NOW)
    await verifier.aclose()


async def _drip(writer: asyncio.StreamWriter) -> None:
    reply = jwks_reply(NEWER).encoded()
    for at in range(len(reply)):
        writer.write(reply[at : at + 1])
        await writer.drain()
        await asyncio.sleep(0.2)


async def test_a_slow_fal_is_not_waited_for() -> None:
    """Silent or byte by byte: all wait for one fetch of five seconds, and deliveries that need none do not wait."""
    silent = Reply(delay=60)
    async with verifier_setup(silent) as one, verifier_setup(jwks_reply(FAL), _drip, jwks_reply(NEWER)) as other:
        await other.verify()
        other.pass_time(MIN_INTERVAL_S)
        began = time.monotonic()
        waiting = [asyncio.create_task(one.verify()) for _ in range(20)]
        forged = [asyncio.create_task(reason_refused(other.verify(FORGER))) for _ in range(20)]
        await other.server.wait_for(2)
        await other.verify()
        assert time.monotonic() - began < FETCH_SECONDS / 2
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(end) for end in ends} == {KeysUnavailable}
        assert set(await asyncio.gather(*forged)) == {"signature"}
        assert FETCH_SECONDS - 1 < time.monotonic() - began < FETCH_SECONDS + 4
        assert (one.key_requests, other.key_requests) == (1, 2)
        other.pass_time(MIN_INTERVAL_S)
        await other.verify(NEWER)
