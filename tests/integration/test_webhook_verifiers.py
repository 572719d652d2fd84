"""Our signatures are verified by the packages that customers use, and by the code in docs/webhooks.md."""

import asyncio
import base64
import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import svix.webhooks
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from app.webhooks import signing
from tests.support.node import find_node, install_packages
from tests.support.processes import piped
from tests.support.repo import ROOT

SECRETS = [signing.new_secret() for _ in range(3)]
KEY = Ed25519PrivateKey.generate()
OURS = ("svix", "standardwebhooks", "documented")
PAGE = (ROOT / "docs" / "webhooks.md").read_text("utf-8")


def snippets(language: str) -> str:
    """The page's code in one language, as one module."""
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL))


DOCUMENTED: dict[str, Callable[..., Any]] = {}
exec(snippets("python"), DOCUMENTED)  # noqa: S102  the page's own code, as a reader would paste it


@dataclass(frozen=True)
class Message:
    """What a customer receives, and the customer's keys."""

    secret: str
    headers: dict[str, str]
    body: str
    jwks: dict[str, Any]


def now() -> datetime:
    """The current time; the packages compare it with the machine's clock."""
    return datetime.fromtimestamp(time.time(), UTC)


def message(*, body: str = '{"type":"job.succeeded","data":{"prompt":"Zoë 🏃"}}', ago_s: int = 0) -> Message:
    """A message of ours, signed with all secrets and with the key; it has fal's headers too."""
    moment, raw = now() - timedelta(seconds=ago_s), body.encode()
    headers = signing.headers(SECRETS, "msg_1", moment, raw, private_key=KEY)
    fal = signing.fal_headers(KEY, request_id="job_1", user_id="team_1", timestamp=moment, body=raw)
    headers |= {name.lower(): value for name, value in fal.items()}
    return Message(SECRETS[0], headers, body, signing.jwks(KEY))


def changed(name: str, value: str) -> Message:
    """A message with one header changed on the way."""
    made = message()
    return replace(made, headers={**made.headers, name: value})


def altered(name: str) -> Message:
    """A message with the last letters of one header changed."""
    text = message().headers[name]
    return changed(name, text[:-6] + ("000000" if text[-6:] != "000000" else "111111"))


def forged_for_all() -> list[Message]:
    """Changed in what all schemes sign, or too old, or of the future."""
    made = message()
    return [
        replace(made, body=made.body.replace("succeeded", "failed")),
        replace(made, body=made.body + " "),
        message(ago_s=301 + 60),
        message(ago_s=-361),
    ]


def forged_for_ours() -> list[Message]:
    """Changed in what Standard Webhooks signs: its id, its time, its signature."""
    raw, stranger = message().body.encode(), Ed25519PrivateKey.generate()
    foreign = signing.headers([signing.new_secret()], "msg_1", now(), raw, private_key=stranger)
    return [
        changed("webhook-id", "msg_2"),
        changed("webhook-timestamp", str(int(time.time()) - 7)),
        changed("webhook-timestamp", "soon"),
        changed("webhook-signature", "v1,"),
        changed("webhook-signature", foreign["webhook-signature"]),
    ]


def forged_for_fal() -> list[Message]:
    """Changed in what fal's scheme signs."""
    return [altered(f"x-fal-webhook-{name}") for name in ("request-id", "user-id", "timestamp", "signature")]


def cases() -> tuple[list[Message], list[dict[str, bool]]]:
    """Current messages, and which verifiers must accept each of them."""
    genuine = [message(), *(replace(message(), secret=secret) for secret in SECRETS)]
    found: list[Message] = []
    expected = []
    for kind, ours, fal in (
        (genuine, True, True),
        (forged_for_all(), False, False),
        (forged_for_ours(), False, True),
        (forged_for_fal(), True, False),
    ):
        found += kind
        expected += [{**dict.fromkeys(OURS, ours), "v1a": ours, "fal": fal}] * len(kind)
    return found, expected


def takes(verify: Callable[..., Any], *given: Any) -> bool:
    """True when a verifier raises nothing."""
    try:
        verify(*given)
    except (ValueError, WebhookVerificationError):
        return False
    return True


def test_python_takes_what_is_genuine_and_nothing_else() -> None:
    """Both packages and the page: changed in body, id, time or signature, or late, it is refused."""
    verified = []
    given, expected = cases()
    for case in given:
        raw = case.body.encode()
        verified.append(
            {
                "svix": takes(svix.webhooks.Webhook(case.secret).verify, raw, case.headers),
                "standardwebhooks": takes(Webhook(case.secret).verify, raw, case.headers),
                "documented": takes(DOCUMENTED["verify"], case.secret, case.headers, raw),
                "v1a": takes(DOCUMENTED["verify_v1a"], case.jwks, case.headers, raw),
                "fal": takes(DOCUMENTED["verify_fal"], case.jwks, case.headers, raw),
            }
        )
    assert verified == expected


def as_fal_documents(decode: Callable[[str], bytes], case: Message) -> bool:
    """The steps of fal's page about webhooks, as its Python has them: a key that does not decode is passed over."""
    names = ("request-id", "user-id", "timestamp", "signature")
    request_id, user_id, stamp, signature = (case.headers[f"x-fal-webhook-{name}"] for name in names)
    if abs(int(time.time()) - int(stamp)) > 300:
        return False
    digest = hashlib.sha256(case.body.encode()).hexdigest()
    signed = f"{request_id}\n{user_id}\n{stamp}\n{digest}".encode()
    for key in case.jwks["keys"]:
        try:
            Ed25519PublicKey.from_public_bytes(decode(key["x"])).verify(bytes.fromhex(signature), signed)
        except (ValueError, InvalidSignature):
            continue
        return True
    return False


def go_raw(text: str) -> bytes:
    """Go's `base64.RawURLEncoding`: padding is an error."""
    if "=" in text:
        raise ValueError("illegal base64 data")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize("decode", [base64.urlsafe_b64decode, go_raw], ids=["fal's Python", "Go"])
def test_decoders_that_need_padding_and_those_that_forbid_it_find_a_key(decode: Callable[[str], bytes]) -> None:
    """Fal's documented Python fails without padding, Go's raw decoder with it; what is forged is still refused."""
    given, expected = cases()
    assert [as_fal_documents(decode, case) for case in given] == [each["fal"] for each in expected]


@pytest.mark.anyio
async def test_javascript_takes_what_is_genuine_and_nothing_else() -> None:
    """The same cases in Node: `svix`, `standardwebhooks`, and the page with WebCrypto."""
    folder = await install_packages()
    module = folder / "documented-webhooks.mjs"
    await asyncio.to_thread(module.write_text, snippets("javascript"), "utf-8")
    given, expected = cases()
    async with piped(str(find_node().path), str(folder / "verify-webhook.mjs"), str(module)) as program:
        output, errors = await program.process.communicate(json.dumps([asdict(case) for case in given]).encode())
    assert program.process.returncode == 0, errors.decode()
    assert json.loads(output) == expected


@given(
    st.text(max_size=400),
    st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1, max_size=40),
    st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=3, unique=True),
    st.binary(min_size=24, max_size=64),
)
@settings(max_examples=100)
def test_every_active_secret_verifies_and_no_other(
    body: str, message_id: str, active: list[bytes], other: bytes
) -> None:
    """For any UTF-8 body, any id and any secrets of the specified lengths."""
    secrets = [f"whsec_{base64.b64encode(raw).decode()}" for raw in active]
    raw_body = body.encode("utf-8", "ignore")
    headers = signing.headers(secrets, message_id, now(), raw_body)
    for secret in secrets:
        Webhook(secret).verify(raw_body, headers, json_parse=False)
        svix.webhooks.Webhook(secret).verify(raw_body, headers)
    if other not in active:
        stranger = f"whsec_{base64.b64encode(other).decode()}"
        with pytest.raises(WebhookVerificationError):
            Webhook(stranger).verify(raw_body, headers, json_parse=False)
