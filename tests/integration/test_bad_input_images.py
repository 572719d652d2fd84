"""Images that are refused before anything is bought: URLs, data URIs, uploaded files."""

import base64
import struct
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.refusals import assert_problem, nothing_changes
from tests.integration.uploads import picture
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio

CANARY = "kan4rie"


@pytest.fixture(scope="module")
async def real(redis_server: RedisServer, emulator: Emulator) -> AsyncIterator[Stack]:
    """A gateway whose fal is on another machine, so private addresses are refused; it has no workers."""
    redis_server.flush()
    settings = {"FILMGATE_FAL_QUEUE_URL": "https://queue.fal.run", "FILMGATE_EGRESS_ALLOW": ""}
    async with open_stack(redis_server, emulator, **settings) as made:
        yield made


ADDRESSES = {
    "http": ("http://example.com/kan4rie.png", "url_scheme"),
    "ftp": ("ftp://example.com/kan4rie.png", "url_scheme"),
    "file": ("file:///etc/kan4rie", "url_scheme"),
    "javascript": ("javascript:kan4rie", "url_scheme"),
    "gopher": ("gopher://example.com/kan4rie", "url_scheme"),
    "no scheme": ("example.com/kan4rie.png", "url_scheme"),
    "relative": ("//example.com/kan4rie.png", "url_scheme"),
    "empty": ("", "url_scheme"),
    "user": ("https://kan4rie:pw@example.com/a.png", "url_invalid"),
    "port 22": ("https://example.com:22/kan4rie.png", "url_invalid"),
    "port 0": ("https://example.com:0/kan4rie.png", "url_invalid"),
    "8,420 characters": ("https://example.com/" + "kan4rie" * 1200, "too_long"),
    "space": ("https://example.com/kan4rie a.png", "url_invalid"),
    "tab": ("https://example.com/kan4rie\ta.png", "url_invalid"),
    "line break": ("https://example.com/kan4rie\r\nHost: evil", "url_invalid"),
    "backslash": ("https://example.com\\@10.0.0.1/kan4rie", "url_invalid"),
    "no host": ("https:///kan4rie.png", "url_invalid"),
    "loopback": ("https://127.0.0.1/kan4rie", "url_not_allowed"),
    "loopback, short": ("https://127.1/kan4rie", "url_not_allowed"),
    "loopback, decimal": ("https://2130706433/kan4rie", "url_not_allowed"),
    "loopback, hexadecimal": ("https://0x7f000001/kan4rie", "url_not_allowed"),
    "loopback, octal": ("https://0177.0.0.1/kan4rie", "url_not_allowed"),
    "private": ("https://10.1.2.3/kan4rie", "url_not_allowed"),
    "metadata": ("https://169.254.169.254/latest/kan4rie", "url_not_allowed"),
    "IPv6 loopback": ("https://[::1]/kan4rie", "url_not_allowed"),
    "IPv6 mapped": ("https://[::ffff:10.0.0.1]/kan4rie", "url_not_allowed"),
    "IPv6 NAT64": ("https://[64:ff9b::a00:1]/kan4rie", "url_not_allowed"),
    "localhost": ("https://localhost/kan4rie", "url_not_allowed"),
    "internal": ("https://metadata.google.internal/kan4rie", "url_not_allowed"),
    "full width": ("https://１２７.0.0.1/kan4rie", "url_not_allowed"),  # noqa: RUF001 - digits in disguise
    "name without a dot": ("https://redis/kan4rie", "url_not_allowed"),
}


@pytest.mark.parametrize("case", ADDRESSES)
async def test_an_address_that_cannot_be_a_public_image_is_refused(real: Stack, case: str) -> None:
    """422 with a pointer to the member, in the model's own field and in the list of images."""
    url, code = ADDRESSES[case]
    body = real.body()
    async with nothing_changes(real):
        body["input"]["image_url"] = url
        one = await real.api.post("/v1/jobs", json=body)
        body["input"] |= {"image_url": "https://example.com/a.png", "input_image_urls": [url]}
        listed = await real.api.post("/v1/jobs", json=body)
    problem = assert_problem(one, 422, code, secret=CANARY)
    assert problem["errors"][0]["pointer"] == "/input/image_url"
    assert_problem(listed, 422, code, secret=CANARY)


async def test_all_refused_hosts_get_the_same_answer(real: Stack) -> None:
    """The answer does not reveal which internal addresses exist."""
    texts = set()
    for url, code in ADDRESSES.values():
        if code == "url_not_allowed":
            body = {"input": {"prompt": "a", "image_url": url}}
            texts.add((await real.api.post("/v1/jobs", json=body)).json()["errors"][0]["message"])
    assert len(texts) == 1


def bomb() -> bytes:
    """A PNG of a few bytes that claims 30,000 pixels on each side."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(b"\0" * 90_001)) + chunk(b"IEND", b"")


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="480"><script>kan4rie</script></svg>'
FILES = {
    "no bytes": (b"", "not_an_image"),
    "text": (b"kan4rie" * 100, "not_an_image"),
    "a page": (b"<!doctype html><script>kan4rie</script>", "not_an_image"),
    "cut off": (picture()[:-20], "not_an_image"),
    "only the beginning": (picture()[:20], "not_an_image"),
    "a PDF": (b"%PDF-1.7 kan4rie", "not_an_image"),
    "SVG": (SVG, "unsupported_image"),
    "ICO": (picture("ico", size=(256, 256)), "unsupported_image"),
    "a GIF of 1 by 1": (picture("gif", size=(1, 1)), "image_too_small"),
    "a bomb": (bomb(), "image_too_large"),
    "1 by 1": (picture(size=(1, 1)), "image_too_small"),
    "299 high": (picture(size=(400, 299)), "image_too_small"),
    "too wide": (picture(size=(1000, 399)), "image_ratio"),
    "too tall": (picture(size=(300, 751)), "image_ratio"),
}


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """The bytes as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@pytest.mark.parametrize("case", FILES)
async def test_a_file_that_kling_would_refuse_is_refused(real: Stack, case: str) -> None:
    """422 as an upload and as a data URI, whatever its name and type; nothing is stored."""
    content, code = FILES[case]
    async with nothing_changes(real):
        upload = await real.api.post("/v1/files", files={"file": ("kan4rie.png", content, "image/png")})
        body = real.body()
        body["input"]["image_url"] = data_uri(content)
        embedded = await real.api.post("/v1/jobs", json=body)
    assert_problem(upload, 422, code, secret=CANARY)
    assert_problem(embedded, 422, code if content else "bad_data_uri", secret=CANARY)


URIS = {
    "HTML": (data_uri(b"<html>kan4rie</html>", "image/png"), 422, "not_an_image"),
    "SVG": (data_uri(SVG, "image/svg+xml"), 422, "unsupported_image"),
    "no base64": ("data:image/png,kan4rie", 422, "bad_data_uri"),
    "bad base64": ("data:image/png;base64,kan4rie!!", 422, "bad_data_uri"),
    "odd base64": ("data:image/png;base64,abcde", 422, "bad_data_uri"),
    "nothing": ("data:image/png;base64,", 422, "bad_data_uri"),
    "parameters": ("data:image/png;charset=utf-8,aaaa", 422, "bad_data_uri"),
    "only the word": ("data:", 422, "bad_data_uri"),
    "12 MB": (data_uri(b"\x89PNG" * 3_000_000), 413, "payload_too_large"),
    "5 MB that is no image": (data_uri(b"\x89PNG" * 1_250_000), 422, "not_an_image"),
}


@pytest.mark.parametrize("case", URIS)
async def test_a_data_uri_that_is_no_image_is_refused(real: Stack, case: str) -> None:
    """413 or 422, and nothing is stored."""
    uri, status, code = URIS[case]
    body = real.body()
    body["input"]["image_url"] = uri
    async with nothing_changes(real):
        reply = await real.api.post("/v1/jobs", json=body)
    assert_problem(reply, status, code, secret=CANARY)


async def test_a_second_fault_keeps_an_image_from_being_stored(real: Stack) -> None:
    """A valid data URI is not stored when another member is wrong."""
    body = real.body()
    body["input"] |= {"image_url": data_uri(picture()), "duration": "7"}
    async with nothing_changes(real):
        assert_problem(await real.api.post("/v1/jobs", json=body), 422, "one_of")


FORMS: dict[str, tuple[Any, int]] = {
    "another part": ({"image": ("a.png", picture(), "image/png")}, 422),
    "a field": ({"file": (None, "kan4rie")}, 422),
    "two files": ([("file", ("a.png", picture(), "image/png")), ("file", ("b.png", picture(), "image/png"))], 422),
}


@pytest.mark.parametrize("case", FORMS)
async def test_a_form_without_its_one_file_is_refused(real: Stack, case: str) -> None:
    """422 for a form with no file, or with more than one; the sentence says which."""
    files, status = FORMS[case]
    async with nothing_changes(real):
        reply = await real.api.post("/v1/files", files=files)
    assert_problem(reply, status, "invalid_input" if case == "two files" else "missing", secret=CANARY)


NO_FORMS = {
    "no type": (None, b"x", 415),
    "JSON": ("application/json", b"{}", 415),
    "PNG": ("image/png", picture(), 415),
    "no boundary": ("multipart/form-data", b"x", 400),
    "no parts": ("multipart/form-data; boundary=b", b"kan4rie", 400),
    "empty": ("multipart/form-data; boundary=b", b"", 422),
    "cut off": ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="file"; f', 422),
    "nothing but the end": ("multipart/form-data; boundary=b", b"--b--\r\n", 422),
    "no name": (
        "multipart/form-data; boundary=b",
        b"--b\r\nContent-Disposition: form-data\r\n\r\n\r\n--b--\r\n",
        400,
    ),
}


@pytest.mark.parametrize("case", NO_FORMS)
async def test_an_upload_that_is_no_form_is_refused(real: Stack, case: str) -> None:
    """415 for another type, 400 for an unreadable form, 422 for one without a file."""
    kind, content, status = NO_FORMS[case]
    headers = {} if kind is None else {"Content-Type": kind}
    async with nothing_changes(real):
        reply = await real.api.post("/v1/files", content=content, headers=headers)
    assert_problem(reply, status, reply.json()["code"], secret=CANARY)


async def test_a_file_over_30_mb_is_refused(real: Stack) -> None:
    """413 by its declared length, and 413 or 422 when the form just fits."""
    async with nothing_changes(real):
        long = await real.api.post("/v1/files", files={"file": ("a.png", b"\0" * 32_600_000, "image/png")})
        fits = await real.api.post("/v1/files", files={"file": ("a.png", b"\0" * 32_000_000, "image/png")})
    assert_problem(long, 413, "payload_too_large")
    assert_problem(fits, 413, "payload_too_large")
