"""Images, and fal's upload protocols, step by step as its clients do them."""

import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from PIL import Image

from app.tls import trusted_roots
from tests.support.callers import BASE
from tests.support.stack import Stack

AUTH = "/fal/rest/storage/auth/token?storage_type=fal-cdn-v3"
INITIATE = "/fal/rest/storage/upload/initiate?storage_type=fal-cdn-v3"
IN_PARTS = "/fal/rest/storage/upload/initiate-multipart?storage_type=fal-cdn-v3"


def picture(
    kind: str = "png", size: tuple[int, int] = (640, 480), *, colour: int = 7, mode: str = "RGB", **options: Any
) -> bytes:
    """An image file; another colour gives other bytes."""
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, kind, **options)
    return file.getvalue()


async def uploaded(api: httpx.AsyncClient) -> str:
    """The URL of an image that was uploaded to `/v1/files`."""
    reply = await api.post("/v1/files", files={"file": ("a.png", picture(), "image/png")})
    assert reply.status_code == 201, reply.text
    return str(reply.json()["url"])


def cut(content: bytes, pieces: int) -> dict[int, bytes]:
    """The content in this many parts, by number from 1."""
    step = -(-len(content) // pieces)
    return {number + 1: content[number * step : (number + 1) * step] for number in range(pieces)}


@asynccontextmanager
async def without_key(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key, as JavaScript's is when it PUTs."""
    async with httpx.AsyncClient(transport=stack.api._transport, base_url=BASE) as web:
        yield web


async def upload_token(api: httpx.AsyncClient) -> str:
    """The token that Python's client requests first."""
    reply = await api.post(AUTH, json={})
    assert reply.status_code == 200, reply.text
    return str(reply.json()["token"])


def bearing(token: str) -> dict[str, str]:
    """The header that Python's client sends with it."""
    return {"Authorization": f"Bearer {token}"}


async def initiated(api: httpx.AsyncClient, *, name: str = "a.png", where: str = INITIATE) -> dict[str, str]:
    """The reply of `initiate`: `upload_url` and `file_url`."""
    reply = await api.post(where, json={"file_name": name, "content_type": "image/png"})
    assert reply.status_code == 200, reply.text
    upload: dict[str, str] = reply.json()
    return upload


async def started(api: httpx.AsyncClient, token: str) -> str:
    """Begin an upload in parts as Python's client does: the URL below which its parts go."""
    headers = {**bearing(token), "X-Fal-File-Name": "a.png", "Content-Type": "image/png"}
    reply = await api.post("/fal/cdn/files/upload/multipart", headers=headers)
    assert reply.status_code == 200, reply.text
    return "{access_url}/multipart/{uploadId}".format(**reply.json())


async def put_parts(
    web: httpx.AsyncClient, address: str, parts: dict[int, bytes], **headers: str
) -> list[dict[str, Any]]:
    """PUT the parts in this order; the list for `complete`."""
    named = []
    path, question, query = address.partition("?")
    for number, content in parts.items():
        reply = await web.put(f"{path}/{number}{question}{query}", content=content, headers=headers)
        assert reply.status_code == 200, reply.text
        assert reply.json() == {"partNumber": number, "etag": reply.headers["etag"]}
        named.append(reply.json())
    return named


async def completed(
    web: httpx.AsyncClient, address: str, named: Sequence[dict[str, Any]], **headers: str
) -> httpx.Response:
    """The last call, with these parts."""
    path, question, query = address.partition("?")
    return await web.post(f"{path}/complete{question}{query}", json={"parts": list(named)}, headers=headers)


async def content_at(url: str) -> bytes:
    """What fal reads at this URL."""
    async with httpx.AsyncClient(trust_env=False, verify=trusted_roots()) as web:
        reply = await web.get(url)
    assert reply.status_code == 200
    return reply.content


def assert_refused(reply: httpx.Response, status: int, *words: str) -> None:
    """The reply is a refusal in the shape that fal's clients read: `detail`, and a sentence in `message`."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    body = reply.json()
    assert body.keys() == {"detail", "message"}
    assert all(word in body["message"] for word in words), body


async def uploaded_as(api: httpx.AsyncClient, content: bytes, kind: str) -> httpx.Response:
    """The reply to a whole file, sent as Python's client does."""
    headers = {**bearing(await upload_token(api)), "X-Fal-File-Name": "a", "Content-Type": kind}
    return await api.post("/fal/cdn/files/upload", content=content, headers=headers)
