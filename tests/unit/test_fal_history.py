"""fal's request history on the wire: complete or nothing, and the markers in its payloads."""

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from app.fal.client import FalClient
from app.fal.errors import UnusableAnswer
from app.fal.history import HistoryRequest, history_query, read_history
from app.fal.protocol import PlatformPage

SENT = "2026-11-18T11:06:40Z"
SENT_MS = 1_795_000_000_000
IMAGE = "https://v3.fal.media/files/a.png"


def row(**more: Any) -> dict[str, Any]:
    """A request as fal lists it."""
    payload = {"prompt": "a lake", "image_url": f"{IMAGE}?filmgate=a.b.c"}
    return {"request_id": "r-1", "sent_at": SENT, "started_at": SENT, "json_input": payload, **more}


def page(*rows: Any, **more: Any) -> bytes:
    """An answer with these requests."""
    return json.dumps({"items": rows, "next_cursor": None, "has_more": False, **more}).encode()


def markers(payload: Any) -> tuple[str, ...]:
    """What is parsed from this payload."""
    read = read_history(page(row(json_input=payload)))
    assert isinstance(read, PlatformPage)
    return read.items[0].markers


def test_a_request_has_its_id_its_time_and_its_markers() -> None:
    """Unix milliseconds; without a zone the time is UTC."""
    assert read_history(page(row())) == PlatformPage([HistoryRequest("r-1", SENT_MS, ("a.b.c",))], None)
    for sent in ("2026-11-18T11:06:40", "2026-11-18T11:06:40.000+00:00", "2026-11-18T12:06:40+01:00"):
        assert read_history(page(row(sent_at=sent))) == read_history(page(row()))
    assert read_history(page()) == PlatformPage([], None)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({}, ()),
        ({"image_url": IMAGE}, ()),
        ({"image_url": f"{IMAGE}?filmgate="}, ()),
        ({"image_url": f"{IMAGE}?x=1&filmgate=a.b.c"}, ("a.b.c",)),
        ({"image_url": f"{IMAGE}?filmgate=a.b.c&filmgate=d.e.f"}, ("a.b.c", "d.e.f")),
        ({"image_url": f"{IMAGE}?filmgate=a", "tail_image_url": f"{IMAGE}?filmgate=a"}, ("a",)),
        ({"elements": [{"frontal_image_url": f"{IMAGE}?filmgate=deep"}]}, ("deep",)),
        ({"prompt": "see filmgate=a.b.c"}, ()),
        ({"image_url": f"{IMAGE}#filmgate=a.b.c"}, ()),
        ({"image_url": "ftp://x/?filmgate=a.b.c", "n": 7, "flag": True, "nothing": None}, ()),
        ({"image_url": "https://[?filmgate=a.b.c"}, ()),
        ({"image_url": f"{IMAGE}?filmgate=a.b.c&x={'x' * 5000}"}, ()),
    ],
)
def test_a_marker_stands_in_the_query_of_an_address(payload: dict[str, Any], expected: tuple[str, ...]) -> None:
    """Anywhere in the payload, but only there: a prompt with a marker's text does not count."""
    assert markers(payload) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502</html>",
        b"[]",
        b"null",
        b"{}",
        b'{"items": []}',
        b'{"items": {}, "has_more": false}',
        page(has_more="false"),
        page(has_more=None),
        page(has_more=True),
        page(has_more=True, next_cursor=""),
        page(has_more=True, next_cursor=7),
        page(has_more=True, next_cursor="x" * 1001),
        page(1),
        page(row(), None),
        page(row(request_id=None)),
        page(row(request_id="../x")),
        page(row(), row(sent_at=None)),
        page(row(), row(sent_at="yesterday")),
        page(row(), row(sent_at=1_795_000_000)),
        b"[" * 100_000,
    ],
)
def test_what_cannot_be_read_is_no_listing(body: bytes) -> None:
    """A row that cannot be parsed might be the wanted one."""
    assert read_history(body) == UnusableAnswer("unreadable")


@pytest.mark.parametrize("payload", [None, "a lake", [], 7])
def test_a_request_without_its_payload_makes_the_page_useless(payload: Any) -> None:
    """Its owner is unknown; the reason tells the operator why nothing is decided."""
    assert read_history(page(row(), row(json_input=payload))) == UnusableAnswer("no_payload")
    bare = row()
    del bare["json_input"]
    assert read_history(page(bare)) == UnusableAnswer("no_payload")


def test_a_page_names_the_next_one() -> None:
    """As long as there is one."""
    pages = [read_history(page(has_more=True, next_cursor="Mg==")), read_history(page(next_cursor="Mg=="))]
    assert [one.cursor if isinstance(one, PlatformPage) else "none" for one in pages] == ["Mg==", None]


def test_a_query_asks_for_payloads_of_one_model_in_a_span() -> None:
    """Times with their zone, the cursor unchanged."""
    asked = parse_qs(history_query("fal-ai/a/b", start_ms=SENT_MS, end_ms=SENT_MS + 1, limit=100, cursor="Mg=="))
    assert asked == {
        "endpoint_id": ["fal-ai/a/b"],
        "start": ["2026-11-18T11:06:40.000Z"],
        "end": ["2026-11-18T11:06:40.001Z"],
        "expand": ["payloads"],
        "limit": ["100"],
        "cursor": ["Mg=="],
    }


@pytest.mark.anyio
async def test_a_client_asks_only_with_an_admin_key() -> None:
    """Without the key nothing is called; without an answer, that is the reason."""
    urls: dict[str, Any] = dict.fromkeys(("queue_url", "rest_url", "api_url"), "http://127.0.0.1:9")
    keyless, client = FalClient(**urls, key="k"), FalClient(**urls, key="k", admin_key="admin")
    try:
        assert await keyless.history("fal-ai/a/b", start_ms=0, end_ms=1) == UnusableAnswer("no_admin_key")
        assert await client.history("fal-ai/a/b", start_ms=0, end_ms=1) == UnusableAnswer("no_answer")
    finally:
        await keyless.close()
        await client.close()
