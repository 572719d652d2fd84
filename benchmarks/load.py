"""The load, in a separate process: `send` starts `python -m benchmarks.load`, which sends and reports.

aiohttp, because httpx would use more CPU to send a request than the server to answer it.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp
import uvloop

from benchmarks.processes import NotMeasured, report_of

ACCEPTED = 202
LONGEST_S = 120
IMAGE = "https://images.example.com"
SCENE = (
    "A red kite climbs over the dunes while the tide comes in; the camera follows it from below, slowly turning, "
    "until the sun stands behind it and the sand is in shadow. Wind, long grass, no people."
)


@dataclass(frozen=True, slots=True)
class Order:
    """What to send to `url`: each request once, over kept connections, expecting this status.

    A request is a path and, for a POST, its body.
    """

    url: str
    requests: list[tuple[str, dict[str, Any] | None]]
    key: str | None = None
    expected: int = ACCEPTED
    connections: int = 16


@dataclass(frozen=True, slots=True)
class Sent:
    """The result; `bytes_back` is the size of a reply."""

    answered: int
    seconds: float
    bytes_back: int
    refusal: str | None


def bodies(label: str, count: int) -> list[dict[str, Any]]:
    """Distinct submissions of ordinary size: some 200 characters of prompt, a public image, one choice."""
    return [
        {
            "input": {
                "prompt": f"{label} {number}. {SCENE}",
                "image_url": f"{IMAGE}/{label}/{number}.jpg",
                "duration": "5" if number % 2 else "10",
                "cfg_scale": 0.4,
            },
        }
        for number in range(count)
    ]


def submissions(label: str, count: int, path: str = "/v1/jobs") -> list[tuple[str, dict[str, Any] | None]]:
    """Requests for `send`: distinct submissions; at another path than `/v1/jobs`, the bare input."""
    return [(path, body if path == "/v1/jobs" else body["input"]) for body in bodies(label, count)]


async def send(order: Order) -> Sent:
    """Send the order from another process.

    Raises:
        NotMeasured: something got another status, or it took longer than two minutes.
    """
    late = f"The load was not through after {LONGEST_S} s."
    sent = Sent(**await report_of("benchmarks.load", order, seconds=LONGEST_S, failed=late))
    if sent.refusal is not None or sent.answered != len(order.requests):
        raise NotMeasured(
            f"Only {sent.answered} of {len(order.requests)} were answered as expected: {sent.refusal}"
        )
    return sent


async def send_all(order: Order) -> Sent:
    """Send every request, `connections` at a time; each connection stops at its first unexpected status."""
    headers = {"Content-Type": "application/json"}
    if order.key is not None:
        headers["Authorization"] = f"Bearer {order.key}"
    waiting = iter([(path, None if body is None else json.dumps(body).encode()) for path, body in order.requests])
    connector = aiohttp.TCPConnector(limit=order.connections)
    async with aiohttp.ClientSession(order.url, connector=connector, headers=headers) as session:
        began = time.perf_counter()
        ends = await asyncio.gather(*(_send(session, order.expected, waiting) for _ in range(order.connections)))
        seconds = time.perf_counter() - began
    refusals = [refusal for _, _, refusal in ends if refusal]
    return Sent(sum(end[0] for end in ends), seconds, ends[0][1], refusals[0] if refusals else None)


async def _send(
    session: aiohttp.ClientSession, expected: int, waiting: Iterator[tuple[str, bytes | None]]
) -> tuple[int, int, str | None]:
    answered, size = 0, 0
    for path, body in waiting:
        async with session.request("GET" if body is None else "POST", path, data=body) as answer:
            reply = await answer.read()
            if answer.status != expected:
                return answered, size, f"{answer.status} {reply[:300].decode(errors='replace')}"
            answered, size = answered + 1, len(reply)
    return answered, size, None


def main() -> None:
    """Reads an order from stdin, sends it, prints the result as JSON."""
    values = json.loads(sys.stdin.read())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(asdict(runner.run(send_all(Order(**values))))))


if __name__ == "__main__":
    main()
