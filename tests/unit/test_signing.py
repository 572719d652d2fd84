"""Signatures are those of Standard Webhooks: its own package verifies them."""

import base64
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.webhooks import signing

BODY = '{"type":"job.succeeded","data":{"prompt":"Zoë läuft 🏃"}}'.encode()


def now() -> datetime:
    """The moment, in UTC; the package compares the timestamp with the machine's clock."""
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
    """The header holds the moment, not the face of the clock."""
    secret = signing.new_secret()
    moment = now()
    elsewhere = moment.astimezone(timezone(timedelta(hours=9)))
    headers = signing.headers([secret], "msg_1", elsewhere, BODY)
    assert headers == signing.headers([secret], "msg_1", moment, BODY)
    Webhook(secret).verify(BODY, headers)


def test_a_message_without_a_secret_is_not_sent_unsigned() -> None:
    """An empty list is a mistake of ours."""
    with pytest.raises(ValueError, match="at least one secret"):
        signing.headers([], "msg_1", now(), BODY)
