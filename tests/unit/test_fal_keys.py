"""fal's keys are fetched seldom, never from elsewhere, and outlast a fal that does not answer usefully."""

import asyncio
import gzip
import json
import time
from typing import Any

import pytest

from app.fal.signature import AGAIN_S, FETCH_SECONDS, FRESH_S, KEPT_S, KeysUnavailable, Verifier
from tests.support.receiver import Answer, Receiver, Reply
from tests.support.signed import published
from tests.support.verifying import BODY, FAL, FORGER, NEWER, NOW, REQUEST, VECTOR_KEY, door, refused

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
    """Whichever of the published ones has signed; other algorithms, and what is no key, are passed over."""
    async with door(published(*OTHERS * 3, FORGER, NEWER, FAL)) as at:
        for signer in (FAL, NEWER, FORGER):
            assert (await at.take(signer)).request_id == REQUEST


async def test_other_algorithms_are_no_keys() -> None:
    """A set without a single ED25519 key is as good as none."""
    async with door(published(*OTHERS)) as at:
        with pytest.raises(KeysUnavailable):
            await at.take()


async def test_one_look_serves_an_hour() -> None:
    """A hundred deliveries at once wait for one look; the next is an hour later."""
    async with door(published(FAL), published(FAL)) as at:
        await asyncio.gather(*(at.take() for _ in range(100)))
        at.pass_time(FRESH_S - 1)
        await at.take()
        assert at.looks == 1
        at.pass_time(1)
        await asyncio.gather(*(at.take() for _ in range(10)))
        assert at.looks == 2


async def test_a_new_key_is_found_before_the_hour_is_over() -> None:
    """A signature that no key fits is a reason to look again; the key that went is gone."""
    async with door(published(FAL), published(NEWER)) as at:
        await at.take()
        at.pass_time(AGAIN_S)
        assert (await at.take(NEWER)).request_id == REQUEST
        assert at.looks == 2
        assert await refused(at.take(FAL)) == "signature"


async def test_forged_deliveries_make_us_look_at_most_twice_a_minute() -> None:
    """However many come, one after the other or together; and a new key is found at the next look."""
    async with door(*[published(FAL)] * 3, published(FAL, NEWER)) as at:
        await at.take()
        for _ in range(20):
            assert await refused(at.take(FORGER)) == "signature"
        assert at.looks == 1
        for looks in (2, 3):
            at.pass_time(AGAIN_S)
            found = await asyncio.gather(*(refused(at.take(FORGER)) for _ in range(50)))
            assert set(found) == {"signature"}
            assert at.looks == looks
        at.pass_time(AGAIN_S - 1)
        assert await refused(at.take(NEWER)) == "signature"
        at.pass_time(1)
        await at.take(NEWER)
        assert at.looks == 4


async def _nonsense(writer: asyncio.StreamWriter) -> None:
    writer.write(b"this is not HTTP\r\n\r\n")
    await writer.drain()


async def _half(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + published(NEWER).body)
    await writer.drain()


USELESS: dict[str, Answer] = {
    "500": 500,
    "404": 404,
    "a set with 203": Reply(203, body=published(NEWER).body),
    "a set with 500": Reply(500, body=published(NEWER).body),
    "nothing": 200,
    "no keys": published(),
    "another object": Reply(body=b"{}"),
    "keys in an object": Reply(body=b'{"keys": {"0": {}}}'),
    "keys in a list": Reply(body=json.dumps([NEWER.jwk]).encode()),
    "null": Reply(body=b"null"),
    "HTML": Reply(body=b"<html>sign in</html>"),
    "not UTF-8": Reply(body=b"\xff\xfe"),
    "nested without end": Reply(body=b"[" * 60_000),
    "other algorithms": published(*OTHERS),
    "too large": published({**NEWER.jwk, "kid": "k" * 70_000}),
    "compressed": Reply(200, {"Content-Encoding": "gzip"}, gzip.compress(published(NEWER).body)),
    "half of it": _half,
    "no HTTP": _nonsense,
}


@pytest.mark.parametrize("case", USELESS)
async def test_a_useless_answer_gives_no_keys(case: str) -> None:
    """Without any, nothing is verified and fal is to try again; half a minute later all is well."""
    async with door(USELESS[case], published(NEWER)) as at:
        for _ in range(3):
            with pytest.raises(KeysUnavailable):
                await at.take(NEWER)
        assert at.looks == 1
        at.pass_time(AGAIN_S)
        await at.take(NEWER)


@pytest.mark.parametrize("case", USELESS)
async def test_a_useless_answer_leaves_the_old_keys(case: str) -> None:
    """They hold on past their hour, and fal is asked again every half minute."""
    async with door(published(FAL), USELESS[case], published(NEWER)) as at:
        await at.take()
        at.pass_time(FRESH_S)
        for _ in range(3):
            await at.take()
            assert await refused(at.take(NEWER)) == "signature"
        assert at.looks == 2
        at.pass_time(AGAIN_S)
        await at.take(NEWER)
        assert at.looks == 3


async def test_a_redirect_is_not_followed() -> None:
    """The keys come from where the operator said, and from nowhere else."""
    async with Receiver() as evil:
        evil.answers([published(FORGER)] * 2)
        redirects = [Reply(status, {"Location": f"{evil.url}/jwks.json"}) for status in (301, 307)]
        async with door(redirects[0], published(FAL), redirects[1]) as at:
            with pytest.raises(KeysUnavailable):
                await at.take(FORGER)
            at.pass_time(AGAIN_S)
            await at.take()
            at.pass_time(AGAIN_S)
            assert await refused(at.take(FORGER)) == "signature"
            assert at.looks == 3
        assert evil.connections == 0


async def test_keys_that_fal_confirms_no_more_end_after_a_day() -> None:
    """Fal allows a copy for 24 hours."""
    async with door(published(FAL), 500, 500, published(FAL)) as at:
        await at.take()
        at.pass_time(KEPT_S)
        await at.take()
        at.pass_time(AGAIN_S)
        with pytest.raises(KeysUnavailable):
            await at.take()
        at.pass_time(AGAIN_S)
        await at.take()


async def test_a_fal_that_is_away_gives_no_keys() -> None:
    """Nobody listens."""
    async with door() as at:
        pass
    verifier = Verifier(f"{at.server.url}/jwks.json", user_id=None)
    with pytest.raises(KeysUnavailable):
        await verifier.verify(FAL.headers(REQUEST, BODY, at=NOW).items(), BODY, now_s=NOW)
    await verifier.aclose()


async def _drip(writer: asyncio.StreamWriter) -> None:
    reply = published(NEWER).encoded()
    for place in range(len(reply)):
        writer.write(reply[place : place + 1])
        await writer.drain()
        await asyncio.sleep(0.2)


async def test_a_slow_fal_is_not_waited_for() -> None:
    """Silent or byte by byte: all wait for one look of five seconds, and who needs none does not wait at all."""
    silent = Reply(delay=60)
    async with door(silent) as one, door(published(FAL), _drip, published(NEWER)) as other:
        await other.take()
        other.pass_time(AGAIN_S)
        began = time.monotonic()
        waiting = [asyncio.create_task(one.take()) for _ in range(20)]
        forged = [asyncio.create_task(refused(other.take(FORGER))) for _ in range(20)]
        await other.server.wait_for(2)
        await other.take()
        assert time.monotonic() - began < FETCH_SECONDS / 2
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(end) for end in ends} == {KeysUnavailable}
        assert set(await asyncio.gather(*forged)) == {"signature"}
        assert FETCH_SECONDS - 1 < time.monotonic() - began < FETCH_SECONDS + 4
        assert (one.looks, other.looks) == (1, 2)
        other.pass_time(AGAIN_S)
        await other.take(NEWER)
