"""A verifier of fal's webhooks with the test's own clock, and the server that has fal's keys."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

import pytest

from app.fal.signature import NotGenuine, VerifiedWebhook, Verifier
from tests.support.receiver import Answer, Receiver
from tests.support.signed import PREFIX, Signer, webhook_body

Changed: TypeAlias = dict[str, str | None]
NOW = 1767225600
REQUEST = "01234567-89ab-7cde-8f01-23456789abcd"
FAL = Signer()
NEWER = Signer(b"n" * 32)
FORGER = Signer(b"f" * 32)
BODY = webhook_body(REQUEST)
VECTOR_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}  # 00 01 … 1f


@dataclass
class VerifierSetup:
    """A verifier, the server with fal's keys, and its clock."""

    verifier: Verifier
    server: Receiver
    at: list[float]

    @property
    def key_requests(self) -> int:
        """How often the keys were read."""
        return len(self.server.requests)

    def pass_time(self, seconds: float) -> None:
        """Advance the clock by this many seconds."""
        self.at[0] += seconds

    async def verify(
        self, signer: Signer = FAL, *, body: bytes = BODY, now_s: float = NOW, changed: Changed | None = None
    ) -> VerifiedWebhook:
        """A delivery of this signer, with some of its headers replaced or, by None, left out."""
        headers: dict[str, str | None] = dict(signer.headers(REQUEST, body, at=NOW))
        headers |= {PREFIX + name: value for name, value in (changed or {}).items()}
        pairs = [(name, value) for name, value in headers.items() if value is not None]
        return await self.verifier.verify(pairs, body, now_s=now_s)


@asynccontextmanager
async def verifier_setup(*answers: Answer, user_id: str | None = None) -> AsyncIterator[VerifierSetup]:
    """A verifier whose fal gives these answers, in turn, to requests for its keys."""
    at = [5.0]
    async with Receiver() as server:
        server.answers(answers)
        verifier = Verifier(f"{server.url}/jwks.json", user_id=user_id, clock=lambda: at[0])
        try:
            yield VerifierSetup(verifier, server, at)
        finally:
            await verifier.aclose()


async def reason_refused(verification: Awaitable[VerifiedWebhook]) -> str:
    """Why the delivery was refused."""
    with pytest.raises(NotGenuine) as caught:
        await verification
    return caught.value.reason
