"""The load, in a separate process: `send` starts `python -m benchmarks.load`, which posts and reports.

aiohttp, because httpx would use more CPU to send a request than the server to answer it.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
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
    """What to send: every body once, to one URL, over kept connections."""

    url: str
    bodies: list[dict[str, Any]]
    key: str | None = None
    connections: int = 16


@dataclass(frozen=True, slots=True)
class Sent:
    """The result; `bytes_back` is the size of the last reply."""

    accepted: int
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


async def send(order: Order) -> Sent:
    """Send the order from another process.

    Raises:
        NotMeasured: something was not accepted, or it took longer than two minutes.
    """
    late = f"The load was not through after {LONGEST_S} s."
    sent = Sent(**await report_of("benchmarks.load", order, seconds=LONGEST_S, failed=late))
    if sent.refusal is not None or sent.accepted != len(order.bodies):
        raise NotMeasured(f"Only {sent.accepted} of {len(order.bodies)} were accepted: {sent.refusal}")
    return sent


async def post_all(order: Order) -> Sent:
    """Post every body, `connections` at a time; stops at the first that is not accepted."""
    headers = {"Content-Type": "application/json"}
    if order.key is not None:
        headers["Authorization"] = f"Bearer {order.key}"
    waiting = iter([json.dumps(body).encode() for body in order.bodies])
    connector = aiohttp.TCPConnector(limit=order.connections)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        began = time.perf_counter()
        ends = await asyncio.gather(*(_post(session, order.url, waiting) for _ in range(order.connections)))
        seconds = time.perf_counter() - began
    refusals = [refusal for _, _, refusal in ends if refusal]
    return Sent(sum(end[0] for end in ends), seconds, ends[0][1], refusals[0] if refusals else None)


async def _post(session: aiohttp.ClientSession, url: str, waiting: Iterator[bytes]) -> tuple[int, int, str | None]:
    accepted, size = 0, 0
    for body in waiting:
        async with session.post(url, data=body) as answer:
            reply = await answer.read()
            if answer.status != ACCEPTED:
                return accepted, size, f"{answer.status} {reply[:300].decode(errors='replace')}"
            accepted, size = accepted + 1, len(reply)
    return accepted, size, None


def main(arguments: Sequence[str]) -> None:
    """Reads an order from a file or stdin, sends it, prints the result as JSON."""
    text = Path(arguments[0]).read_text(encoding="utf-8") if arguments else sys.stdin.read()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(asdict(runner.run(post_all(Order(**json.loads(text)))))))


if __name__ == "__main__":
    main(sys.argv[1:])
