"""A gateway that sends its alarms to a receiver, and what the receiver got."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from standardwebhooks import Webhook

from tests.support.emulator import Emulator
from tests.support.receiver import Receiver
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

SECRET = "whsec_c2VjcmV0IG9mIHRoZSBvcGVyYXRvcnMgaW4gdGVzdHM="


def alert_settings(receiver: Receiver, **more: str) -> dict[str, str]:
    """The settings by which alarms are sent to this receiver."""
    return {"FILMGATE_ALERT_WEBHOOK": f"{receiver.url}/alarms", "FILMGATE_ALERT_SECRET": SECRET, **more}


@asynccontextmanager
async def alerting(store: RedisServer, emulator: Emulator, receiver: Receiver, **more: str) -> AsyncIterator[Stack]:
    """A gateway with such settings; the test calls `gateway.alerts.send_due` itself."""
    async with open_stack(store, emulator, **alert_settings(receiver, **more)) as stack:
        await stack.gateway.alerts.send_due()  # says that messages are wanted
        yield stack
        await stack.gateway.alerts.close()


def verified(receiver: Receiver) -> list[dict[str, Any]]:
    """The messages that arrived, each verified with the secret."""
    return [dict(Webhook(SECRET).verify(one.body, dict(one.headers))) for one in receiver.requests]


def arrived(receiver: Receiver) -> list[tuple[str, str]]:
    """The type and the alarm's kind of each message, without checking the signature."""
    bodies = [json.loads(one.body) for one in receiver.requests]
    return [(body["type"], body["data"]["kind"]) for body in bodies]
