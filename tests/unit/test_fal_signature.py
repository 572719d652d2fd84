"""fal's webhooks are verified as its documentation says; each part of a delivery is tested separately."""

import json

import pytest

from app.fal.signature import LEEWAY_S, VerifiedWebhook
from tests.support.signed import PREFIX, USER, jwks_reply, webhook_body
from tests.support.verifying import FAL, NOW, REQUEST, VECTOR_KEY, reason_refused, verifier_setup

pytestmark = pytest.mark.anyio

# The vector of the protocol notes: private key 00 01 … 1f.
VECTOR_BODY = (
    f'{{"request_id":"{REQUEST}","gateway_request_id":"{REQUEST}","status":"OK",'
    '"payload":{"video":{"url":"https://v3b.fal.media/files/b/0a/x.mp4"}}}'
).encode()
VECTOR_HEADERS = {
    PREFIX + "request-id": REQUEST,
    PREFIX + "user-id": "user_test",
    PREFIX + "timestamp": "1767225600",
    PREFIX + "signature": "53346aed328cfaecd11dee1c5f4c1e01d8557d4be77bc278e092f871e357aef8"
    "752ddd82e77c0627042444eb5903494ec65ebd303ebf2922015b2a2ddc11640c",
}


async def test_the_documented_vector_is_genuine() -> None:
    """Key, headers and body as in the notes, byte for byte."""
    async with verifier_setup(jwks_reply(VECTOR_KEY), user_id="user_test") as setup:
        delivery = await setup.verifier.verify(VECTOR_HEADERS.items(), VECTOR_BODY, now_s=NOW)
        assert delivery == VerifiedWebhook(REQUEST, "user_test")
        assert setup.server.requests[0].headers["accept-encoding"] == "identity"  # the body is read as it was sent
        assert "authorization" not in setup.server.requests[0].headers


async def test_the_tests_signer_makes_the_vector_too() -> None:
    """So the other tests here sign as fal does."""
    assert FAL.headers(REQUEST, VECTOR_BODY, at=NOW) == VECTOR_HEADERS
    assert FAL.jwk == VECTOR_KEY


@pytest.mark.parametrize(
    "body",
    [
        VECTOR_BODY + b"\n",
        VECTOR_BODY[:-1],
        VECTOR_BODY.replace(b"x.mp4", b"y.mp4"),
        json.dumps(json.loads(VECTOR_BODY)).encode(),
        b"",
    ],
)
async def test_another_body_is_refused(body: bytes) -> None:
    """One byte more or less, and the same document with different white space."""
    async with verifier_setup(jwks_reply(FAL)) as setup:
        assert await reason_refused(setup.verifier.verify(VECTOR_HEADERS.items(), body, now_s=NOW)) == "signature"


CHANGED = {
    "another request": ("request-id", "01234567-89ab-7cde-8f01-23456789abce"),
    "another user": ("user-id", "user_tesu"),
    "a second later": ("timestamp", str(NOW + 1)),
    "another spelling of the time": ("timestamp", "0" + str(NOW)),
    "one digit of the signature": ("signature", "6" + VECTOR_HEADERS[PREFIX + "signature"][1:]),
    "nothing but zeros": ("signature", "0" * 128),
}


@pytest.mark.parametrize("case", CHANGED)
async def test_every_header_is_signed(case: str) -> None:
    """A well-formed change makes the signature invalid."""
    name, value = CHANGED[case]
    async with verifier_setup(jwks_reply(FAL)) as setup:
        assert await reason_refused(setup.verify(changed={name: value})) == "signature"


FORMS = {
    "a path as request": ("request-id", "../../admin"),
    "a request too long": ("request-id", "a" * 65),
    "no user": ("user-id", ""),
    "a user not ASCII": ("user-id", "usér"),
    "a user too long": ("user-id", "u" * 201),
    "a time below zero": ("timestamp", "-1"),
    "a time with a fraction": ("timestamp", f"{NOW}.0"),
    "a time in other digits": ("timestamp", "١٧٦٧٢٢٥٦٠٠"),
    "a time with a sign": ("timestamp", f"+{NOW}"),
    "a time without end": ("timestamp", "1" * 5000),
    "a signature too short": ("signature", "0" * 126),
    "a signature too long": ("signature", "0" * 130),
    "a signature in base64": ("signature", "U" * 88),
    "a signature with spaces": ("signature", "00 " * 42 + "00"),
    **{f"{name} left out": (name, None) for name in ("request-id", "user-id", "timestamp", "signature")},
}


@pytest.mark.parametrize("case", FORMS)
async def test_a_malformed_header_is_refused_before_keys_are_fetched(case: str) -> None:
    """The four headers have formats; a malformed one is refused without a request to fal."""
    name, value = FORMS[case]
    async with verifier_setup(jwks_reply(FAL)) as setup:
        assert await reason_refused(setup.verify(changed={name: value})) == "headers"
        assert setup.key_requests == 0


@pytest.mark.parametrize("name", VECTOR_HEADERS)
async def test_a_header_that_is_given_twice_is_refused(name: str) -> None:
    """Even with the same value: two readers might read different ones."""
    pairs = [*VECTOR_HEADERS.items(), (name, VECTOR_HEADERS[name])]
    async with verifier_setup(jwks_reply(FAL)) as setup:
        assert await reason_refused(setup.verifier.verify(pairs, VECTOR_BODY, now_s=NOW)) == "headers"


@pytest.mark.parametrize(("seconds", "fits"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)])
async def test_a_delivery_may_be_five_minutes_off(seconds: int, fits: bool) -> None:  # noqa: FBT001  a table
    """Before or after our own time; beyond that it is refused without reading the keys."""
    async with verifier_setup(jwks_reply(FAL)) as setup:
        if fits:
            assert abs(seconds) <= LEEWAY_S
            assert (await setup.verify(now_s=NOW + seconds)).request_id == REQUEST
        else:
            assert await reason_refused(setup.verify(now_s=NOW + seconds)) == "time"
            assert setup.key_requests == 0


async def test_another_account_is_refused_where_ours_is_known() -> None:
    """Fal signs for all its customers with the same keys."""
    async with verifier_setup(jwks_reply(FAL), user_id="somebody") as setup:
        assert await reason_refused(setup.verify()) == "user"
        assert setup.key_requests == 0
    async with verifier_setup(jwks_reply(FAL)) as setup:
        assert (await setup.verify()).user_id == USER


BODIES = {
    "another request": webhook_body("01234567-89ab-7cde-8f01-23456789abce"),
    "no request": b'{"status":"OK"}',
    "a number": b'{"request_id":1}',
    "a list": b"[]",
    "no JSON": b"request_id=" + REQUEST.encode(),
    "not UTF-8": b'{"request_id":"\xff"}',
    "nested without end": b"[" * 100_000,
    "nothing": b"",
}


@pytest.mark.parametrize("case", BODIES)
async def test_a_body_about_something_else_is_refused(case: str) -> None:
    """Signed by fal, but header and body must have the same request."""
    async with verifier_setup(jwks_reply(FAL)) as setup:
        assert await reason_refused(setup.verify(body=BODIES[case])) == "body"
