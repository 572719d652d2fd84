"""Refused bodies: each has its status and code, nothing is written, echoed or bought."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.api.v1.bodies import JobBody
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio

CANARY = "kan4rie-vogel"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
async def stack(redis_server: RedisServer, emulator: Emulator) -> AsyncIterator[Stack]:
    """One gateway for all cases: a refusal changes nothing, which each case proves."""
    redis_server.flush()
    async with open_stack(redis_server, emulator) as made:
        yield made


# Bodies that are no JSON object, or that two parsers read differently.
MANY_MEMBERS = b"{" + b", ".join(b'"m%d": 0' % i for i in range(200_000)) + b"}"
RAW: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "body_missing"),
    "white space": (b" \n", 400, "body_missing"),
    "a word": (CANARY.encode(), 400, "json_invalid"),
    "cut off": (b'{"input": {"prompt": "kan4rie-vogel', 400, "json_invalid"),
    "two values": (b"{} {}", 400, "json_invalid"),
    "single quotes": (b"{'input': {}}", 400, "json_invalid"),
    "trailing comma": (b'{"input": {},}', 400, "json_invalid"),
    "comment": (b'{"input": {}} // kan4rie-vogel', 400, "json_invalid"),
    "raw control character": (b'{"input": {"prompt": "a\x01"}}', 400, "json_invalid"),
    "list": (b"[]", 422, "body_not_object"),
    "null": (b"null", 422, "body_not_object"),
    "number": (b"1", 422, "body_not_object"),
    "string": (b'"kan4rie-vogel"', 422, "body_not_object"),
    "NaN": (b'{"input": {"cfg_scale": NaN}}', 400, "json_invalid"),
    "Infinity": (b'{"input": {"cfg_scale": Infinity}}', 400, "json_invalid"),
    "-Infinity": (b'{"input": {"cfg_scale": -Infinity}}', 400, "json_invalid"),
    "301 digits": (b'{"input": {"cfg_scale": 1' + b"0" * 300 + b"}}", 400, "json_invalid"),
    "5,000 digits": (b'{"input": {"seed": ' + b"9" * 5000 + b"}}", 400, "json_invalid"),
    "-5,000 digits": (b'{"input": {"seed": -' + b"9" * 5000 + b"}}", 400, "json_invalid"),
    "duplicate member": (b'{"input": {"prompt": "a", "prompt": "b"}}', 400, "duplicate_key"),
    "duplicate at the top": (b'{"input": {}, "input": {}}', 400, "duplicate_key"),
    "duplicate by escape": (b'{"input": {"a": 1, "\\u0061": 1}}', 400, "duplicate_key"),
    "invalid UTF-8": (b'{"input": {"prompt": "\xff\xfe\xfa"}}', 400, "json_invalid"),
    "overlong UTF-8": (b'{"input": {"prompt": "\xc0\xaf"}}', 400, "json_invalid"),
    "surrogate in UTF-8": (b'{"input": {"prompt": "\xed\xa0\x80"}}', 400, "json_invalid"),
    "only a byte order mark": (b"\xef\xbb\xbf", 400, "body_missing"),
    "UTF-16": ('{"input": {}}'.encode("utf-16"), 415, "unsupported_media_type"),
    "UTF-16 without BOM": ('{"input": {}}'.encode("utf-16-le"), 415, "unsupported_media_type"),
    "UTF-32": ('{"input": {}}'.encode("utf-32"), 415, "unsupported_media_type"),
    "depth 21": (b'{"input":' + b"[" * 20 + b"]" * 20 + b"}", 400, "too_deep"),
    "depth 1,000": (b'{"input":' + b"[" * 999 + b"]" * 999 + b"}", 400, "too_deep"),
    "depth 9,000": (b'{"input":' + b"[" * 9_000 + b"]" * 9_000 + b"}", 400, "too_deep"),
    "depth 100,000": (b'{"input":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "too_many_members"),
    "100,000 opened": (b'{"a":' * 100_000, 400, "too_many_members"),
    "lone surrogate": (b'{"input": {"prompt": "\\ud800"}}', 422, "invalid_unicode"),
    "lone surrogate in a name": (b'{"input": {"\\udfff": 1}}', 422, "invalid_unicode"),
    "200,000 members": (MANY_MEMBERS, 400, "too_many_members"),
    "200,000 input members": (b'{"input": ' + MANY_MEMBERS + b"}", 400, "too_many_members"),
    "10 MB": (b'{"input": {"prompt": "' + b"kan4rie-vogel" * 800_000 + b'"}}', 413, "payload_too_large"),
    "60 MB": (b" " * 60_000_000, 413, "payload_too_large"),
}


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/quotes"])
@pytest.mark.parametrize("case", RAW)
async def test_a_body_that_is_no_json_object_is_refused(stack: Stack, case: str, path: str) -> None:
    """Status and code as the table says, in less than a second; the store is unchanged."""
    raw, status, code = RAW[case]
    async with nothing_changes(stack):
        began = time.process_time()
        reply = await stack.api.post(path, content=raw, headers=JSON)
        assert time.process_time() - began < 1
    assert_problem(reply, status, code, secret=CANARY)


ABSENT = object()
LONG_NAME = CANARY * 1000

# Members of `input`, merged into a valid one.
INPUT: dict[str, tuple[dict[str, Any], str, str]] = {
    "no prompt": ({"prompt": ABSENT}, "/input/prompt", "missing"),
    "no image": ({"image_url": ABSENT}, "/input/image_url", "missing"),
    "prompt null": ({"prompt": None}, "/input/prompt", "wrong_type"),
    "prompt 7": ({"prompt": 7}, "/input/prompt", "wrong_type"),
    "prompt list": ({"prompt": [CANARY]}, "/input/prompt", "wrong_type"),
    "prompt object": ({"prompt": {CANARY: 1}}, "/input/prompt", "wrong_type"),
    "prompt empty": ({"prompt": ""}, "/input/prompt", "empty"),
    "prompt of spaces": ({"prompt": " \t\n"}, "/input/prompt", "empty"),
    "prompt of nothing visible": ({"prompt": "\u200b\u2060\ufeff"}, "/input/prompt", "empty"),
    "prompt 2,501": ({"prompt": "é" * 2501}, "/input/prompt", "too_long"),
    "prompt 2,500 joined emoji": ({"prompt": "👩\u200d🚀" * 2500}, "/input/prompt", "too_long"),
    "prompt NUL": ({"prompt": "a\x00" + CANARY}, "/input/prompt", "control_char"),
    "prompt ESC": ({"prompt": "a\x1b[31m"}, "/input/prompt", "control_char"),
    "duration 5": ({"duration": 5}, "/input/duration", "wrong_type"),
    "duration 6": ({"duration": "6"}, "/input/duration", "one_of"),
    "duration 05": ({"duration": "05"}, "/input/duration", "one_of"),
    "duration 5.0": ({"duration": "5.0"}, "/input/duration", "one_of"),
    "duration ' 5'": ({"duration": " 5"}, "/input/duration", "one_of"),
    "duration list": ({"duration": []}, "/input/duration", "wrong_type"),
    "cfg_scale 1.01": ({"cfg_scale": 1.01}, "/input/cfg_scale", "out_of_range"),
    "cfg_scale -0.01": ({"cfg_scale": -0.01}, "/input/cfg_scale", "out_of_range"),
    "cfg_scale '0.5'": ({"cfg_scale": "0.5"}, "/input/cfg_scale", "wrong_type"),
    "cfg_scale true": ({"cfg_scale": True}, "/input/cfg_scale", "wrong_type"),
    "cfg_scale 10^299": ({"cfg_scale": 10**299}, "/input/cfg_scale", "out_of_range"),
    "unknown member": ({CANARY: 1}, "/input/kan4rie-vogel", "unknown_field"),
    "unknown long name": ({LONG_NAME: 1}, "/input", "unknown_field"),
    "unknown strange name": ({"a\u202e\x00b": 1}, "/input", "unknown_field"),
    "webhook inside": ({"webhook_url": "https://example.com"}, "/input/webhook_url", "unknown_field"),
    "__proto__": ({"__proto__": {}}, "/input/__proto__", "unknown_field"),
    "five images": ({"input_image_urls": ["https://example.com/a.png"] * 5}, "/input/input_image_urls", "too_long"),
    "5,000 images": ({"input_image_urls": [1] * 5_000}, "/input/input_image_urls", "too_long"),
}


@pytest.mark.parametrize("case", INPUT)
async def test_a_wrong_input_is_refused_with_its_place(stack: Stack, case: str) -> None:
    """422 with a pointer to the member; values are never echoed, and nothing is reserved."""
    change, pointer, code = INPUT[case]
    body = stack.body(CANARY)
    body["input"] = {name: value for name, value in (body["input"] | change).items() if value is not ABSENT}
    async with nothing_changes(stack):
        reply = await stack.api.post("/v1/jobs", json=body)
    named = pointer.endswith(CANARY)
    problem = assert_problem(reply, 422, code, secret="" if named else CANARY)
    assert (pointer, code) in [(error["pointer"], error["code"]) for error in problem["errors"]]


# Members next to `input`.
BESIDE: dict[str, tuple[dict[str, Any], int, str]] = {
    "no input": ({"input": ABSENT}, 422, "missing"),
    "input null": ({"input": None}, 422, "wrong_type"),
    "input list": ({"input": []}, 422, "wrong_type"),
    "input text": ({"input": CANARY}, 422, "wrong_type"),
    "tenant": ({"tenant": CANARY}, 422, "unknown_field"),
    "price": ({"price": "0.01"}, 422, "unknown_field"),
    "team": ({"team": CANARY}, 422, "unknown_field"),
    "id": ({"id": "job_1"}, 422, "unknown_field"),
    "status": ({"status": "succeeded"}, 422, "unknown_field"),
    "long unknown name": ({LONG_NAME: 1}, 422, "unknown_field"),
    "forty unknown names": ({f"{CANARY}{i}" * 30: 1 for i in range(40)}, 422, "unknown_field"),
    "strange unknown name": ({"\u202e\x00": 1}, 422, "unknown_field"),
    "model 7": ({"model": 7}, 422, "wrong_type"),
    "model unknown": ({"model": f"fal-ai/{CANARY}"}, 404, "model_not_found"),
    "priority": ({"priority": CANARY}, 422, "invalid"),
    "deadline '60'": ({"deadline": "60"}, 422, "wrong_type"),
    "deadline 60.5": ({"deadline": 60.5}, 422, "wrong_type"),
    "deadline true": ({"deadline": True}, 422, "wrong_type"),
    "deadline 9": ({"deadline": 9}, 422, "out_of_range"),
    "deadline -1": ({"deadline": -1}, 422, "out_of_range"),
    "deadline 10^30": ({"deadline": 10**30}, 422, "out_of_range"),
    "start_deadline 0": ({"start_deadline": 0}, 422, "out_of_range"),
    "start after end": ({"deadline": 60, "start_deadline": 61}, 422, "out_of_range"),
    "max_usd text": ({"max_usd": CANARY}, 422, "invalid"),
    "max_usd long text": ({"max_usd": CANARY * 1000}, 422, "invalid"),
    "max_usd -1": ({"max_usd": "-1"}, 422, "invalid"),
    "max_usd NaN": ({"max_usd": "NaN"}, 422, "invalid"),
    "max_usd sNaN": ({"max_usd": "sNaN"}, 422, "invalid"),
    "max_usd Infinity": ({"max_usd": "Infinity"}, 422, "invalid"),
    "max_usd 1e999999": ({"max_usd": "1e999999"}, 422, "invalid"),
    "max_usd 1e3": ({"max_usd": "1e3"}, 422, "invalid"),
    "max_usd 1_000": ({"max_usd": "1_000"}, 422, "invalid"),
    "max_usd ' 2 '": ({"max_usd": " 2 "}, 422, "invalid"),
    "max_usd full width": ({"max_usd": "２"}, 422, "invalid"),  # noqa: RUF001 - a digit, but none of ours
    "max_usd 7 places": ({"max_usd": "1.4000001"}, 422, "invalid"),
    "max_usd 33 places": ({"max_usd": "2.000000000000000000000000000000001"}, 422, "invalid"),
    "max_usd 10^299": ({"max_usd": 10**299}, 422, "invalid"),
    "max_usd true": ({"max_usd": True}, 422, "invalid"),
    "max_usd list": ({"max_usd": [1]}, 422, "invalid"),
    "max_usd too little": ({"max_usd": "1.399999"}, 402, "over_max_usd"),
    "metadata list": ({"metadata": []}, 422, "wrong_type"),
    "metadata number": ({"metadata": {"a": 1}}, 422, "wrong_type"),
    "metadata long name of a number": ({"metadata": {LONG_NAME: 1}}, 422, "wrong_type"),
    "metadata nine pairs": ({"metadata": {f"m{i}": "v" for i in range(9)}}, 422, "invalid"),
    "metadata name": ({"metadata": {"Upper": "v"}}, 422, "invalid"),
    "metadata name empty": ({"metadata": {"": "v"}}, 422, "invalid"),
    "metadata name with line feed": ({"metadata": {"a\n": "v"}}, 422, "invalid"),
    "metadata name 41": ({"metadata": {"a" * 41: "v"}}, 422, "invalid"),
    "metadata value 201": ({"metadata": {"a": "v" * 201}}, 422, "invalid"),
    "metadata value bytes": ({"metadata": {"a": "é" * 101}}, 422, "invalid"),
    "metadata value NUL": ({"metadata": {"a": f"{CANARY}\x00"}}, 422, "invalid"),
    "webhook number": ({"webhook_url": 7}, 422, "wrong_type"),
    "webhook scheme": ({"webhook_url": "ftp://example.com/kan4rie-vogel"}, 422, "url_scheme"),
    "webhook http": ({"webhook_url": "http://example.com/kan4rie-vogel"}, 422, "url_scheme"),
    "webhook javascript": ({"webhook_url": "javascript:kan4rie-vogel"}, 422, "url_scheme"),
    "webhook user": ({"webhook_url": "https://u:kan4rie-vogel@example.com/"}, 422, "url_not_allowed"),
    "webhook private": ({"webhook_url": "https://10.0.0.1/kan4rie-vogel"}, 422, "url_not_allowed"),
    "webhook metadata": ({"webhook_url": "https://169.254.169.254/latest"}, 422, "url_not_allowed"),
    "webhook port": ({"webhook_url": "https://example.com:22/kan4rie-vogel"}, 422, "url_not_allowed"),
    "webhook long": ({"webhook_url": f"https://example.com/{CANARY * 700}"}, 422, "too_long"),
}


@pytest.mark.parametrize("case", BESIDE)
async def test_a_wrong_member_beside_the_input_is_refused(stack: Stack, case: str) -> None:
    """Status and code as the table says, with the member's place; values and overlong names are not echoed."""
    change, status, code = BESIDE[case]
    body = {name: value for name, value in (stack.body() | change).items() if value is not ABSENT}
    async with nothing_changes(stack):
        reply = await stack.api.post("/v1/jobs", json=body)
    problem = assert_problem(reply, status, code, secret=CANARY)
    if named := tuple(f"/{name}" for name in change if name in JobBody.model_fields):
        assert problem["errors"][0]["pointer"].startswith(named)


async def test_an_exponent_beyond_a_double_is_out_of_range(stack: Stack) -> None:
    """`1e400` is valid JSON, but no usable number: 422."""
    image = json.dumps(stack.emulator.sample_image).encode()
    raw = b'{"input": {"prompt": "a", "cfg_scale": 1e400, "image_url": ' + image + b"}}"
    async with nothing_changes(stack):
        reply = await stack.api.post("/v1/jobs", content=raw, headers=JSON)
        beside = await stack.api.post("/v1/jobs", content=b'{"input": {}, "max_usd": -1e400}', headers=JSON)
    assert_problem(reply, 422, "out_of_range")
    assert_problem(beside, 422, "invalid")


# Content types and encodings: only one is accepted.
TYPES: dict[str, dict[str, str]] = {
    "none": {},
    "text": {"Content-Type": "text/plain"},
    "form": {"Content-Type": "application/x-www-form-urlencoded"},
    "multipart": {"Content-Type": "multipart/form-data; boundary=x"},
    "problem": {"Content-Type": "application/problem+json"},
    "prefix": {"Content-Type": "application/jsonp"},
    "garbage": {"Content-Type": ";;="},
    "UTF-16 declared": {"Content-Type": "application/json; charset=utf-16"},
    "Latin-1 declared": {"Content-Type": "application/json; charset=iso-8859-1"},
    "gzip": {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    "br": {"Content-Type": "application/json", "Content-Encoding": "br"},
}


@pytest.mark.parametrize("case", TYPES)
async def test_a_body_of_another_type_is_refused(stack: Stack, case: str) -> None:
    """415 for everything that is not plain `application/json` in UTF-8."""
    async with nothing_changes(stack):
        reply = await stack.api.post("/v1/jobs", content=json.dumps(stack.body()).encode(), headers=TYPES[case])
    assert_problem(reply, 415, "unsupported_media_type")


# Unusual but valid: accepted, and stored as given.
FINE: dict[str, str] = {
    "2,500 characters": "é" * 2500,
    "2,500 emoji of four bytes": "🚀" * 2500,
    "2,500 digits": "7" * 2500,
    "right to left": "a \u202e b \u2066 c \u2069",
    "line separators": "a\u2028b\u2029c",
    "line feed and tab": "a\n\tb",
    "not normalised": "e\u0301",
    "a script": "<script>alert(1)</script>",
    "a template": "{{7*7}} ${7*7} %s %n",
    "an escaped pair": "\U0001f600",
}


@pytest.mark.parametrize("case", FINE)
async def test_an_unusual_prompt_is_stored_as_it_was_given(stack: Stack, case: str) -> None:
    """202, and the prompt reads back unchanged, even when it was sent with escapes."""
    job = await stack.submit(FINE[case])
    assert (await stack.job(job["id"]))["input"]["prompt"] == FINE[case]


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"']
)
async def test_json_in_utf_8_may_say_so(stack: Stack, kind: str) -> None:
    """The spellings of the one accepted type."""
    raw = json.dumps(stack.body()).encode()
    assert (await stack.api.post("/v1/jobs", content=raw, headers={"Content-Type": kind})).status_code == 202


async def test_optional_members_given_as_null_read_as_absent(stack: Stack) -> None:
    """A generated client may write null for a member that it omits."""
    empty: dict[str, Any] = dict.fromkeys(("model", "webhook_url", "deadline", "start_deadline", "max_usd"))
    assert (await stack.submit(**empty))["status"] == "queued"


async def test_an_amount_is_a_decimal_string_of_dollars(stack: Stack) -> None:
    """A `max_usd` that covers the price is accepted; a number, which is ambiguous, is refused."""
    for amount in ("1.40", "1.4", "2"):
        assert (await stack.submit(max_usd=amount))["quoted_usd"] == "1.40"
    for path in ("/v1/jobs", "/v1/quotes", "/v1/tokens"):
        for number in (1400000, 140, 2, 1.4):
            body = {"max_usd": number} if path == "/v1/tokens" else stack.body(max_usd=number)
            async with nothing_changes(stack):
                refused = await stack.api.post(path, json=body)
            assert_problem(refused, 422, "invalid_input")
            assert 'such as "1.40"' in refused.json()["detail"], (path, number)
            assert refused.json()["errors"][0]["pointer"] == "/max_usd"
