"""A hostile fal on raw sockets: it answers each call with the raw bytes of a shape, and closes the connection.

A prompt `status 17` selects shape 17 for that job's status replies; other calls get valid answers.
Calls that concern no job (storage, history, bill, keys) get the shape that `now` names.
"""

import json
import re
from collections import Counter

from tests.integration.hostile.odd_answers import CLIP_BODY, SHAPES, http
from tests.support.tcp_server import Reader, TcpServer, Writer

PLACES = {
    "/storage/upload/initiate": "storage",
    "/put": "put",
    "/v1/models/billing-events": "bill",
    "/v1/models/requests/by-endpoint": "history",
    "/jwks.json": "jwks",
}
NAME = re.compile(r"\b(submit|status|result) (\d+)")
LONGEST_BODY = 1_000_000


class HostileFal(TcpServer):
    """`async with HostileFal() as fal:` listens at `fal.url`; `asked` counts the calls by kind."""

    def __init__(self) -> None:
        super().__init__()
        self.now: dict[str, bytes] = {"put": http(b"{}")}
        self.asked: Counter[str] = Counter()
        self._shapes = {kind: list(shapes.values()) for kind, shapes in SHAPES.items()}

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.host}:{self.port}"

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """Answer one call."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = re.search(r"content-length: *(\d+)", head, re.IGNORECASE)
        body = await reader.readexactly(min(int(length[1]) if length else 0, LONGEST_BODY))
        method, target, _ = head.split(" ", 2)
        writer.write(self._answer(method, target, body))
        await writer.drain()

    def _answer(self, method: str, target: str, body: bytes) -> bytes:
        path = target.partition("?")[0]
        if path in PLACES:
            kind = PLACES[path]
            self.asked[kind] += 1
            return self.now.get(kind, b"")
        if method == "POST":
            prompt = str(json.loads(body).get("prompt"))
            self.asked[prompt] += 1
            kind, number = NAME.findall(prompt)[0]
            if kind == "submit":
                return self._shapes[kind][int(number)]
            return http(json.dumps({"request_id": f"{kind}-{number}"}).encode())
        return self._about_a_request(path)

    def _about_a_request(self, path: str) -> bytes:
        request_id, _, call = path.partition("/requests/")[2].partition("/")
        kind, _, number = request_id.partition("-")
        if call == "cancel":
            return http(b'{"status": "CANCELLATION_REQUESTED"}', "202 Accepted")
        here = "status" if call == "status" else "result"
        if kind == here:
            self.asked[f"{kind} {number}"] += 1
            return self._shapes[kind][int(number)]
        return http(b'{"status": "COMPLETED"}') if here == "status" else http(CLIP_BODY)
