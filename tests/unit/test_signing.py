"""Signatures are those of Standard Webhooks, whose own package verifies them, and those of fal's webhooks."""

import base64
import hashlib
import json
import random
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from app.emulator.signature import SigningKeys
from app.webhooks import signing

BODY = '{"type":"job.succeeded","data":{"prompt":"Zoë läuft 🏃"}}'.encode()
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def verify_v1a(public_text: str, headers: dict[str, str], body: bytes) -> None:
    """Verify like a receiver that has only the text of the public key; InvalidSignature otherwise."""
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_text.removeprefix("whpk_"), validate=True))
    (text,) = [one for one in headers["webhook-signature"].split(" ") if one.startswith("v1a,")]
    message = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    public.verify(base64.b64decode(text.removeprefix("v1a,"), validate=True), message)


def now() -> datetime:
    """The current time, in UTC; the package compares the timestamp with the machine's clock."""
    return datetime.fromtimestamp(time.time(), UTC)


def test_a_secret_is_32_random_bytes() -> None:
    """`whsec_` and base64, as the specification writes it."""
    secrets = {signing.new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert {len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) for secret in secrets} == {32}
    assert all(secret.startswith("whsec_") for secret in secrets)


def test_the_specifications_example_gives_its_signature() -> None:
    """The vector of the reference libraries."""
    headers = signing.headers(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_every_secret_in_use_verifies() -> None:
    """While a secret is rotated, the old and the new one sign."""
    secrets = [signing.new_secret() for _ in range(3)]
    headers = signing.headers(secrets, "msg_1", now(), BODY)
    assert len(headers["webhook-signature"].split(" ")) == 3
    for secret in secrets:
        assert Webhook(secret).verify(BODY, headers)["type"] == "job.succeeded"
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.new_secret()).verify(BODY, headers)


@pytest.mark.parametrize("part", ["body", "webhook-id", "webhook-timestamp", "webhook-signature"])
def test_what_was_changed_on_the_way_does_not_verify(part: str) -> None:
    """The signature covers the id, the time and every byte of the body."""
    secret = signing.new_secret()
    moment = now()
    headers = signing.headers([secret], "msg_1", moment, BODY)
    Webhook(secret).verify(BODY, headers)
    changed: dict[str, str] = {
        "webhook-id": "msg_2",
        "webhook-timestamp": str(int(moment.timestamp()) - 1),
        "webhook-signature": "v1," + base64.b64encode(bytes(32)).decode(),
    }
    body = BODY.replace(b"succeeded", b"failed") if part == "body" else BODY
    headers |= {name: value for name, value in changed.items() if name == part}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, headers)


def test_a_time_in_another_zone_is_the_same_moment() -> None:
    """The header has the absolute time, whatever the zone."""
    secret = signing.new_secret()
    moment = now()
    elsewhere = moment.astimezone(timezone(timedelta(hours=9)))
    headers = signing.headers([secret], "msg_1", elsewhere, BODY)
    assert headers == signing.headers([secret], "msg_1", moment, BODY)
    Webhook(secret).verify(BODY, headers)


def test_a_message_without_a_secret_is_not_sent_unsigned() -> None:
    """An empty list is a programming error."""
    with pytest.raises(ValueError, match="at least one secret"):
        signing.headers([], "msg_1", now(), BODY)


def test_the_private_key_signs_in_addition_to_the_secrets() -> None:
    """`v1a` follows the `v1`s: receivers with a secret verify as before, the others with the public key."""
    secrets = [signing.new_secret() for _ in range(2)]
    headers = signing.headers(secrets, "msg_1", now(), BODY, private_key=KEY)
    forms = [text.partition(",")[0] for text in headers["webhook-signature"].split(" ")]
    assert forms == ["v1", "v1", "v1a"]
    for secret in secrets:
        Webhook(secret).verify(BODY, headers)
    verify_v1a(signing.public_text(KEY), headers, BODY)
    other = Ed25519PrivateKey.from_private_bytes(b"f" * 32)
    with pytest.raises(InvalidSignature):
        verify_v1a(signing.public_text(other), headers, BODY)


@pytest.mark.parametrize("part", ["body", "webhook-id", "webhook-timestamp"])
def test_what_was_changed_does_not_verify_with_the_public_key_either(part: str) -> None:
    """The same content is signed in both ways."""
    headers = signing.headers([], "msg_1", now(), BODY, private_key=KEY)
    verify_v1a(signing.public_text(KEY), headers, BODY)
    if part != "body":
        headers[part] += "1"
    with pytest.raises(InvalidSignature):
        verify_v1a(signing.public_text(KEY), headers, BODY + b" " if part == "body" else BODY)


def test_messages_of_every_length_verify_in_both_ways() -> None:
    """Two hundred messages with one to three secrets, in any script."""
    draw = random.Random(6)  # noqa: S311  lengths and letters, the same in every run
    for _ in range(200):
        text = "".join(chr(draw.choice((10, 46, 97, 0xEB, 0x4E2D, 0x1F3C3))) for _ in range(draw.randrange(300)))
        body = text.encode()
        secrets = [signing.new_secret() for _ in range(draw.randint(1, 3))]
        headers = signing.headers(secrets, "msg_1", now(), body, private_key=KEY)
        for secret in secrets:
            Webhook(secret).verify(body, headers, json_parse=False)
        verify_v1a(signing.public_text(KEY), headers, body)


FAL_REQUEST = "01234567-89ab-7cde-8f01-23456789abcd"
FAL_BODY = (
    f'{{"request_id":"{FAL_REQUEST}","gateway_request_id":"{FAL_REQUEST}","status":"OK",'
    '"payload":{"video":{"url":"https://v3b.fal.media/files/b/0a/x.mp4"}}}'
).encode()
FAL_SIGNATURE = (
    "53346aed328cfaecd11dee1c5f4c1e01d8557d4be77bc278e092f871e357aef8"
    "752ddd82e77c0627042444eb5903494ec65ebd303ebf2922015b2a2ddc11640c"
)


def test_fals_form_gives_the_signature_of_the_protocol_notes() -> None:
    """Private key 00 01 … 1f, to the byte."""
    moment = datetime.fromtimestamp(1767225600.9, timezone(timedelta(hours=9)))
    headers = signing.fal_headers(KEY, request_id=FAL_REQUEST, user_id="user_test", timestamp=moment, body=FAL_BODY)
    assert headers == {
        "X-Fal-Webhook-Request-Id": FAL_REQUEST,
        "X-Fal-Webhook-User-Id": "user_test",
        "X-Fal-Webhook-Timestamp": "1767225600",
        "X-Fal-Webhook-Signature": FAL_SIGNATURE,
    }


def test_the_emulated_fal_signs_alike_with_the_same_key() -> None:
    """It is separate code, written from fal's documentation."""
    theirs = SigningKeys(bytes(range(32)))
    signed = theirs.sign(request_id="job_1", user_id="team_1", timestamp=1767225600, body=BODY)
    moment = datetime.fromtimestamp(1767225600, UTC)
    ours = signing.fal_headers(KEY, request_id="job_1", user_id="team_1", timestamp=moment, body=BODY)
    assert ours["X-Fal-Webhook-Signature"] == signed
    (theirs_shown,), (ours_shown, _) = theirs.jwks()["keys"], signing.jwks(KEY)["keys"]
    assert theirs_shown == {name: ours_shown[name] for name in theirs_shown}


def test_the_published_key_is_a_jwk_named_by_its_thumbprint() -> None:
    """The example key of RFC 8037, appendix A.3; nothing of the private half is shown."""
    seed = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    assert signing.jwks(Ed25519PrivateKey.from_private_bytes(seed))["keys"][0] == {
        "kty": "OKP",
        "crv": "Ed25519",
        "use": "sig",
        "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }


def test_the_key_is_published_without_and_with_padding() -> None:
    """The same key under two names; each name is the thumbprint of the members as they are written."""
    plain, padded = signing.jwks(KEY)["keys"]
    assert padded == {**plain, "x": plain["x"] + "=", "kid": padded["kid"]}
    required = json.dumps({name: padded[name] for name in ("crv", "kty", "x")}, separators=(",", ":"))
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(required.encode()).digest()).rstrip(b"=").decode()
    assert padded["kid"] == thumbprint != plain["kid"]


def test_the_published_text_is_the_same_key() -> None:
    """`whpk_` and the 32 bytes of the JWK, in the specification's base64."""
    raw = base64.b64decode(signing.public_text(KEY).removeprefix("whpk_"), validate=True)
    coordinate = signing.jwks(KEY)["keys"][0]["x"]
    assert raw == base64.urlsafe_b64decode(coordinate + "=") == KEY.public_key().public_bytes_raw()
