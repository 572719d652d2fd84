"""Odd answers, as raw bytes: broken HTTP, broken JSON, and every member of an answer with every odd value."""

import json
from collections.abc import Iterator, Mapping

OK = "200 OK"
LONG = "x" * 200_000
DEEP = "[" * 300 + "]" * 300
# JSON texts, mostly: values to put where a word, a number or a list is expected.
VALUES = {
    "null": "null",
    "true": "true",
    "below zero": "-1",
    "beyond numbers": "1e999",
    "NaN": "NaN",
    "huge": "1" * 400,
    "longer than Python reads": "1" * 5000,
    "empty": '""',
    "half an emoji": r'"\ud83d"',
    "long": f'"{LONG}"',
    "control characters": r'"\u0000\u001b[31m\r\nX: y"',
    "a list": "[]",
    "an object": '{"a": NaN}',
    "deep": DEEP,
}
FEW = ("null", "beyond numbers", "half an emoji", "long", "an object", "deep")
DOCUMENTS = {
    "empty": b"",
    "spaces": b" " * 200_000,
    "null": b"null",
    "a list": b"[]",
    "a word": b'"COMPLETED"',
    "a number": b"0",
    "NaN alone": b"NaN",
    "an empty object": b"{}",
    "deep lists": DEEP.encode(),
    "deep for ever": b"[" * 100_000,
    "deep objects": b'{"a":' * 5000,
    "zeros": b"[" + b"0," * 200_000 + b"0]",
    "half a name": rb'{"\ud83d": "\ud83d"}',
    "a page": b"<!doctype html><title>502</title><h1>Bad gateway</h1>",
    "xml": b"<?xml version='1.0'?><Error><Code>Busy</Code></Error>",
    "a callback": b'cb({"status": "COMPLETED"})',
    "single quotes": b"{'status': 'COMPLETED'}",
    "zeros of bytes": bytes(5000),
}


def http(body: bytes, status: str = OK, *lines: str, length: int | str | None = None) -> bytes:
    """A complete answer; `length` overrides the body's length in the header."""
    length_line = len(body) if length is None else length
    head = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {length_line}", *lines]
    return "\r\n".join([*head, "Connection: close", "", ""]).encode("latin-1") + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n", lines: str = "") -> bytes:
    """An answer with these chunks, written as given."""
    return f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{lines}\r\n".encode() + b"".join(chunks) + end


def chunk(content: bytes) -> bytes:
    """One valid chunk."""
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


def wire(good: bytes) -> dict[str, bytes]:
    """A valid body in answers that are invalid HTTP, or in encodings that JSON does not allow."""
    whole, text = http(good), good.decode()
    return {
        "nothing": b"",
        "no http": b"hello\r\n\r\n",
        "ssh": b"SSH-2.0-OpenSSH_9.6\r\n",
        "a tls alert": b"\x15\x03\x01\x00\x02\x02\x28",
        "zeros on the wire": bytes(4000),
        "half a status line": b"HTTP/1.1 2",
        "no head": good,
        "http 3.7": whole.replace(b"HTTP/1.1", b"HTTP/3.7"),
        "a status of words": http(good, "abc OK"),
        "status 99": http(good, "099 Odd"),
        "status 1000": http(good, "1000 Odd"),
        "status below zero": http(good, "-200 Odd"),
        "no reason": http(good, "200"),
        "bare newlines": whole.replace(b"\r\n", b"\n"),
        "a header without colon": http(good, OK, "no colon here"),
        "a folded header": http(good, OK, "X-A: 1\r\n 2"),
        "NUL in a header": http(good, OK, "X-A: \x00"),
        "a header in Latin": http(good, OK, "X-Fal-Error-Type: \xff\xfe"),
        "a header of a megabyte": http(good, OK, "X-A: " + "a" * 1_000_000),
        "10,000 headers": http(good, OK, *(f"X-{i}: y" for i in range(10_000))),
        "two lengths": http(good, OK, "Content-Length: 3"),
        "two lengths alike": http(good, OK, f"Content-Length: {len(good)}"),
        "a length too long": http(good, length=len(good) + 100),
        "a length too short": http(good, length=len(good) // 2),
        "a length below zero": http(good, length=-1),
        "a length of words": http(good, length="many"),
        "a length beyond numbers": http(good, length="9" * 40),
        "chunks that are none": chunked(b"zz\r\nhello"),
        "a chunk without end": chunked(b"fffffffffffffffff\r\n", end=b""),
        "half a chunk": chunked(b"ff\r\n" + good[:5], end=b""),
        "no last chunk": chunked(chunk(good), end=b""),
        "chunks and a length": chunked(chunk(good), lines="Content-Length: 3\r\n"),
        "a megabyte of trailers": chunked(chunk(good), end=b"0\r\n" + b"x: y\r\n" * 170_000),
        "labelled gzip": http(good, OK, "Content-Encoding: gzip"),
        "half of a gzip": http(b"\x1f\x8b\x08\x00\x00\x00\x00\x00", OK, "Content-Encoding: gzip"),
        "labelled br": http(good, OK, "Content-Encoding: br"),
        "five hundred 100s": b"HTTP/1.1 100 Continue\r\n\r\n" * 500 + whole,
        "103 first": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + whole,
        "101": http(good, "101 Switching Protocols", "Upgrade: websocket"),
        "two answers": whole + whole,
        "a mark of byte order": http(b"\xef\xbb\xbf" + good),
        "utf-16": http(text.encode("utf-16")),
        "utf-32": http(text.encode("utf-32")),
        "half of utf-16": http(text.encode("utf-16")[:-3]),
        "two documents": http(good + good),
        "half a document": http(good[: len(good) // 2]),
        "a comma too many": http(good[:-1] + b",}"),
        "two megabytes": http(good + b" " * 2_000_000),
        "back to ourselves": http(good, "301 Moved", "Location: http://127.0.0.1:1/"),
        "to nowhere": http(good, "302 Found"),
        "to a script": http(good, "307 Temporary", "Location: javascript:alert(1)"),
        "to half a name": http(good, "308 Permanent", "Location: http://xn--a/"),
        "to a long place": http(good, "303 Other", "Location: https://fal.run/" + "a" * 30_000),
        "204 with a body": http(good, "204 No Content"),
        "205": http(b"", "205 Reset Content"),
        "206": http(good, "206 Partial", "Content-Range: bytes 0-1/9"),
        "304": http(b"", "304 Not Modified"),
        "402": http(b'{"detail": "pay"}', "402 Payment Required"),
        "407": http(b"", "407 Proxy Authentication Required", "Proxy-Authenticate: Basic"),
        "418": http(b'{"detail": "tea"}', "418 I'm a teapot"),
        "500 with a page": http(DOCUMENTS["a page"], "500 Oops"),
        "502 with a page": http(DOCUMENTS["a page"], "502 Bad Gateway"),
        "503 for ever": http(b"", "503 Busy", "Retry-After: 9999999999"),
        "520": http(b"error code: 520", "520 Odd"),
        "600": http(good, "600 Odd"),
        "999": http(good, "999 Odd"),
    }


def documents(status: str = OK) -> dict[str, bytes]:
    """Bodies that are not the expected object."""
    return {f"{name}, as a document": http(body, status) for name, body in DOCUMENTS.items()}


def members(template: str, name: str, *, status: str = OK, few: bool = False) -> dict[str, bytes]:
    """The template with each odd value in place of its `%s`."""
    values: Mapping[str, str] = {label: VALUES[label] for label in FEW} if few else VALUES
    return {f"{name} is {label}": http((template % text).encode(), status) for label, text in values.items()}


def every(shapes: Mapping[str, bytes], step: int) -> dict[str, bytes]:
    """Every `step`-th of them."""
    return dict(list(shapes.items())[::step])


CLIP = {"video": {"url": "https://v3.fal.media/files/a/output.mp4", "content_type": "video/mp4"}}
CLIP_BODY = json.dumps(CLIP).encode()
IDS = ("", "..", "../../admin", "a/b", "a b", "%2e%2e", "x" * 65, "é", "1", "0" * 64, "abc?x=1", "abc#x")


def _submit() -> Iterator[tuple[str, bytes]]:
    yield from wire(b'{"request_id": "of-the-wire"}').items()
    yield from documents().items()
    yield from members('{"request_id": %s}', "request_id").items()
    for given in IDS:
        yield f"the id {given[:12]!r}", http(json.dumps({"request_id": given}).encode())
    yield "the id twice", http(b'{"request_id": "one", "request_id": "two"}')
    yield from members('{"request_id": "fine", "status_url": %s}', "status_url", few=True).items()
    for code in (400, 401, 404, 409, 422, 429):
        yield f"{code} with half an emoji", http(rb'{"detail": "\ud83d"}', f"{code} No")


def _status() -> Iterator[tuple[str, bytes]]:
    yield from wire(b'{"status": "IN_PROGRESS"}').items()
    yield from documents().items()
    yield from members('{"status": %s}', "status").items()
    yield from members('{"status": "COMPLETED", "logs": %s}', "logs").items()
    yield from members('{"status": "COMPLETED", "logs": [%s]}', "a log line", few=True).items()
    yield from members('{"status": "COMPLETED", "logs": [{"message": %s}]}', "a message", few=True).items()
    yield from members('{"status": "COMPLETED", "logs": [{"message": "m", "timestamp": %s}]}', "a time").items()
    yield from members('{"status": "IN_QUEUE", "queue_position": %s}', "queue_position", few=True).items()
    yield "10,000 log lines", http(b'{"status": "COMPLETED", "logs": [' + b'{"message": "m"},' * 10_000 + b"0]}")
    yield "half a character in bytes", http(b'{"status": "COMPLETED", "logs": [{"message": "\xf0\x9f\x98"}]}')
    yield "404 for ever", http(b'{"detail": "Request not found"}', "404 Not Found")


def _result() -> Iterator[tuple[str, bytes]]:
    yield from wire(CLIP_BODY).items()
    yield from documents().items()
    yield from members('{"video": %s}', "video").items()
    yield from members('{"video": {"url": %s}}', "url").items()
    for name in ("file_name", "content_type", "file_size"):
        text = '{"video": {"url": "https://v3.fal.media/a.mp4", "' + name + '": %s}}'
        yield from members(text, name, few=True).items()
    yield from documents("422 No").items()
    yield from members('{"detail": %s}', "detail", status="422 No").items()
    yield from members('{"detail": [%s]}', "a finding", status="422 No", few=True).items()
    for name in ("loc", "msg", "type", "url", "ctx"):
        text = '{"detail": [{"loc": ["a"], "msg": "m", "type": "t", "' + name + '": %s}]}'
        yield from members(text, name, status="422 No", few=True).items()
    yield from members('{"detail": "d", "error_type": %s}', "error_type", status="500 No").items()
    yield "409", http(b'{"detail": "d"}', "409 No")
    yield "499", http(b'{"detail": "d"}', "499 No")


STORED = b'{"upload_url": "http://%s/put", "file_url": "https://v3.fal.media/files/a.png"}'


def _storage() -> Iterator[tuple[str, bytes]]:
    yield from every(wire(STORED), 3).items()
    yield from every(documents(), 3).items()
    yield from members('{"upload_url": %s, "file_url": "https://v3.fal.media/a.png"}', "upload_url").items()
    yield from members('{"upload_url": "http://127.0.0.1:1/put", "file_url": %s}', "file_url").items()


def _history() -> Iterator[tuple[str, bytes]]:
    row = '{"request_id": "a", "sent_at": "2026-11-28T12:00:00Z", "json_input": {"prompt": "p"}}'
    yield from every(wire(f'{{"items": [{row}], "has_more": false}}'.encode()), 4).items()
    yield from every(documents(), 3).items()
    yield from members('{"items": %s, "has_more": false}', "items", few=True).items()
    yield from members('{"items": [], "has_more": %s}', "has_more", few=True).items()
    yield from members('{"items": [], "has_more": true, "next_cursor": %s}', "next_cursor").items()
    for name in ("request_id", "sent_at", "json_input"):
        text = '{"items": [' + row[:-1] + ', "' + name + '": %s}], "has_more": false}'
        yield from members(text, name, few=True).items()


def _bill() -> Iterator[tuple[str, bytes]]:
    yield from every(
        wire(b'{"billing_events": [{"request_id": "a", "cost_total": 1.4}], "has_more": false}'), 4
    ).items()
    yield from every(documents(), 3).items()
    yield from members('{"billing_events": %s}', "billing_events", few=True).items()
    yield from members('{"billing_events": [], "has_more": true, "next_cursor": %s}', "next_cursor").items()
    for name in ("request_id", "cost_total", "cost_estimate_nano_usd"):
        text = '{"billing_events": [{"request_id": "a", "' + name + '": %s}]}'
        yield from members(text, name).items()


def _jwks() -> Iterator[tuple[str, bytes]]:
    yield from every(wire(b'{"keys": []}'), 4).items()
    yield from every(documents(), 3).items()
    yield from members('{"keys": %s}', "keys", few=True).items()
    yield from members('{"keys": [%s]}', "a key", few=True).items()
    yield from members('{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": %s}]}', "x").items()


SHAPES: dict[str, dict[str, bytes]] = {
    "submit": dict(_submit()),
    "status": dict(_status()),
    "result": dict(_result()),
    "storage": dict(_storage()),
    "history": dict(_history()),
    "bill": dict(_bill()),
    "jwks": dict(_jwks()),
}
