"""Requests as fal's JavaScript client sends them to a proxy, and the targets that no proxy may follow."""

from typing import Any

import httpx

from tests.support.fal_door import APP, MODEL, given
from tests.support.stack import Stack

PROXY = "/fal/proxy"
QUEUE = f"https://queue.fal.run/{MODEL}"
RUN = f"https://fal.run/{MODEL}"
REST = "https://rest.fal.ai"
CDN = "https://v3.fal.media"
HEADERS = {"Accept": "application/json", "Content-Type": "application/json"}  # of every request, without a body too

MALFORMED, OUTSIDE, NO_PATH = 400, 412, 404
OPEN_PROXY: list[tuple[bytes, int]] = [
    # another host, plainly
    (b"https://evil.com", OUTSIDE),
    (b"https://evil.com/fal-ai/kling-video", OUTSIDE),
    (b"https://evil.com/https:/queue.fal.run/fal-ai/kling-video", MALFORMED),
    (b"https://evil.com/?https://queue.fal.run/", OUTSIDE),
    (b"https://127.0.0.1/fal-ai/kling-video", OUTSIDE),
    (b"https://169.254.169.254/latest/meta-data", OUTSIDE),
    (b"https://2130706433/fal-ai/kling-video", OUTSIDE),
    (b"https://localhost/fal-ai/kling-video", OUTSIDE),
    # a host that looks like fal's
    (b"https://queue.fal.run.evil.com/fal-ai/kling-video", OUTSIDE),
    (b"https://evilfal.run/fal-ai/kling-video", OUTSIDE),
    (b"https://evilqueue.fal.run/fal-ai/kling-video", OUTSIDE),
    (b"https://evil.queue.fal.run/fal-ai/kling-video", OUTSIDE),
    (b"https://queue.fal.run./fal-ai/kling-video", OUTSIDE),
    (b"https://.fal.run/fal-ai/kling-video", OUTSIDE),
    (b"https://fal.ai/fal-ai/kling-video", OUTSIDE),
    (b"https://api.fal.ai/v1/models", OUTSIDE),
    (b"https://gateway.fal.run/fal-ai/kling-video", OUTSIDE),
    (b"https://v3b.fal.media/files/upload", OUTSIDE),
    (b"https://xn--queue-fal-run.example/fal-ai/kling-video", OUTSIDE),
    (b"https://xn--fl-qja.run/fal-ai/kling-video", OUTSIDE),
    (b"https://QUEUE.FAL.RUN/fal-ai/kling-video", OUTSIDE),
    # a user, a port, an encoded or international host
    (b"https://queue.fal.run@evil.com/fal-ai/kling-video", MALFORMED),
    (b"https://fal.run:443@evil.com/fal-ai/kling-video", MALFORMED),
    (b"https://key:secret@queue.fal.run/fal-ai/kling-video", MALFORMED),
    (b"https://@queue.fal.run/fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run:443/fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run:8443/fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run:/fal-ai/kling-video", MALFORMED),
    (b"https://queue%2efal%2erun/fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run%2f@evil.com/fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run%00.evil.com/fal-ai/kling-video", MALFORMED),
    ("https://queue。fal。run/fal-ai/kling-video".encode(), MALFORMED),
    ("https://queue.fàl.run/fal-ai/kling-video".encode(), MALFORMED),
    (b"https://[::1]/fal-ai/kling-video", MALFORMED),
    (b"https:///fal-ai/kling-video", MALFORMED),
    # no https
    (b"http://queue.fal.run/fal-ai/kling-video", MALFORMED),
    (b"HTTPS://queue.fal.run/fal-ai/kling-video", MALFORMED),
    (b"https:/queue.fal.run/fal-ai/kling-video", MALFORMED),
    (b"https:queue.fal.run/fal-ai/kling-video", MALFORMED),
    (b"//queue.fal.run/fal-ai/kling-video", MALFORMED),
    (b"/fal-ai/kling-video", MALFORMED),
    (b"queue.fal.run/fal-ai/kling-video", MALFORMED),
    (b"wss://fal.run/fal-ai/kling-video/realtime", MALFORMED),
    (b"file:///etc/passwd", MALFORMED),
    (b"javascript:alert(1)", MALFORMED),
    (b"", MALFORMED),
    # characters that readers of URLs treat in different ways
    (b"https://queue.fal.run\\@evil.com/fal-ai/kling-video", MALFORMED),
    (b"https:\\\\queue.fal.run\\fal-ai\\kling-video", MALFORMED),
    (b"https://queue.fal.run/fal-ai\\kling-video", MALFORMED),
    (b"https://queue.fal.run\t.evil.com/fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run/fal-ai/\tkling-video", MALFORMED),
    (b"https://queue.fal.run /fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run/fal-ai/kling-video https://evil.com", MALFORMED),
    (b"https://queue.fal.run/fal-ai/kling-video, https://evil.com", MALFORMED),
    (b"https://queue.fal.run#@evil.com/fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run/fal-ai/kling-video#status", MALFORMED),
    # paths that lead elsewhere when they are decoded or put in order
    (b"https://queue.fal.run/../v1/admin/teams", MALFORMED),
    (b"https://queue.fal.run/fal-ai/../../../v1/admin/teams", MALFORMED),
    (b"https://queue.fal.run/./fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run/%2e%2e/v1/admin/teams", MALFORMED),
    (b"https://queue.fal.run/fal-ai%2fkling-video", MALFORMED),
    (b"https://queue.fal.run/fal-ai/kling%00video", MALFORMED),
    (b"https://queue.fal.run//evil.com/fal-ai/kling-video", MALFORMED),
    (b"https://queue.fal.run/fal-ai/kling-video;a=b", MALFORMED),
    (b"https://queue.fal.run/" + b"a" * 9000, MALFORMED),
    # fal's hosts, at paths that its clients never ask for
    (b"https://queue.fal.run", NO_PATH),
    (b"https://queue.fal.run/", NO_PATH),
    (b"https://queue.fal.run/fal-ai", NO_PATH),
    (b"https://rest.fal.ai/billing", NO_PATH),
    (b"https://rest.fal.ai/tokens/requests", NO_PATH),
    (b"https://rest.fal.ai/storage/upload/initiate/", NO_PATH),
    (b"https://rest.fal.ai/.well-known/jwks.json", MALFORMED),
    (b"https://v3.fal.media/files/b/penguin/out.mp4", NO_PATH),
    (b"https://v3.fal.media/uploads/file_1", NO_PATH),
]


def request_url(request_id: str, rest: str = "", *, app: str = APP) -> str:
    """Fal's URL of a request, or of what stands below it."""
    return f"https://queue.fal.run/{app}/requests/{request_id}{rest}"


async def ask(api: httpx.AsyncClient, method: str, target: str | bytes, **more: Any) -> httpx.Response:
    """One request through the proxy; `more` is what httpx takes."""
    headers = httpx.Headers({**HEADERS, **more.pop("headers", {})})
    raw = [*headers.raw, (b"x-fal-target-url", target if isinstance(target, bytes) else target.encode())]
    return await api.request(method, PROXY, headers=raw, **more)


def assert_fals(reply: httpx.Response, status: int) -> None:
    """A refusal as fal's clients read it."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    assert reply.json().keys() - {"error_type", "status"} == {"detail", "message"}
    assert reply.headers["x-fal-request-id"]


async def submitted(stack: Stack, prompt: str = "a quiet lake") -> str:
    """The id of a request that came in through the proxy."""
    reply = await ask(stack.api, "POST", QUEUE, json=given(stack, prompt))
    assert reply.status_code == 200, reply.text
    return str(reply.json()["request_id"])
