"""Packing of an ended job's record, which is read rarely and kept for long.

The fields that no longer change are packed: texts such as prompt and clip, and facts such as ids and times. They
are deflated with a dictionary of typical texts, and cut into pieces that fit into a small hash of the store, in a
quarter of the memory. The pieces are bytes; our clients decode them with surrogate escapes.
"""

import base64
import zlib
from collections.abc import Mapping

from app.store.reads import pairs

# The caller's content: `DELETE` of the job erases these.
FIELDS = ("input", "images", "metadata", "webhook_url", "logs", "output", "error")
# Their order is the form of a packed record: new ones are added at the end.
FACTS = (
    "id",
    "team",
    "key",
    "nonce",
    "trace_id",
    "upstream_request_id",
    "periods",
    "created_ms",
    "claimed_ms",
    "submitted_ms",
    "upstream_done_ms",
    "deadline_ms",
    "start_deadline_ms",
    "cancel_requested_ms",
    "webhook_style",
    "model",
    "price_version",
    "quoted_micro",
    "seconds",
    "priority",
    "attempt",
    "upstream_status",
    "starts",
    "basis",
    "trace_sampled",
    "clip_secret",
    "clip_until_ms",
    "turns",
)
MAX_CHARS = 16_384  # longer records are not packed
# The first byte is the form of the rest; a form's dictionary never changes.
BASE64_FORM = "1"  # of older versions: base64, and no facts
FORM = "2"
_TEXTS_DICTIONARY = (
    b'error\n{"code":"upstream_rejected_input","message":"The ","retryable":false,"upstream":{"status":422,"detail'
    b'":","error_type":null}}\nmetadata\n{"":""}\nimages\n{"image_url":{"bytes":,"media_type":"image/png","sha256":"'
    b'logs\n[{"message":"Request started","timestamp":"2026-11-29T"},{"message":"Generating: 25%","timestamp":"202'
    b'},{"message":"Generating: 50%","timestamp":"},{"message":"Generating: 75%","timestamp":"},{"message":"'
    b'Generating: 100%","timestamp":"}]\noutput\n{"video":{"url":"https://v3.fal.media/files/","content_type":"'
    b'video/mp4","file_name":"output.mp4","file_size":}}\n","negative_prompt":"blur, distort, and low quality",'
    b'"tail_image_url":"https://","aspect_ratio":"16:9","cfg_scale":0.5}\n","image_url":"https://.jpg",'
    b'"duration":"10"","duration":"5","input\n{"prompt":"The camera slowly moves with the '
)
DICTIONARY = (
    b"facts\njob_\tteam_\tkey_\t1795 1795 1795 1795\t1795\t\t\tfal\t"
    b"fal-ai/kling-video/v1.6/standard/image-to-video\t"
    b"fal-ai/kling-video/v2/master/image-to-video\tfal-ai/kling-video/v2.1/master/image-to-video\t"
    b"fal-ai/kling-video/v2.5-turbo/pro/image-to-video\t2800000\t10\t700000\t5\t1400000\t5\tnormal\t1\tCOMPLETED\n"
) + _TEXTS_DICTIONARY
START = "start:"  # before a window's name: the start of its period, in a field of older versions
# Of live jobs only; `lib/packing.lua` has the same list.
DROPPED = frozenset(
    {"line_score", "start_timeout_ms", "misses", "cancel_sent_ms", "told_failed"}
    | {"polled_ms", "pending_output", "copy_failures"}
)


def pack(texts: Mapping[str, str], facts: Mapping[str, str]) -> bytes:
    """The texts of FIELDS and FACTS as one packed value; empty where they are too long.

    Empty too where a text has a line break or a fact a tabulator.
    """
    values = [facts.get(name, "") for name in FACTS]
    lines = [line for name, text in {"facts": "\t".join(values), **texts}.items() for line in (name, text)]
    content = "\n".join(lines)
    if len(content) > MAX_CHARS or content.count("\n") != len(lines) - 1 or content.count("\t") != len(values) - 1:
        return b""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=DICTIONARY)
    return FORM.encode() + deflate.compress(content.encode()) + deflate.flush()


def unpacked(record: Mapping[str, str]) -> Mapping[str, str]:
    """The record with the fields in its pieces `z0`, `z1`, …; an unpacked field is newer than a packed one."""
    if "z0" not in record:
        return record
    own = dict(record)
    pieces: list[str] = []
    while (piece := own.pop(f"z{len(pieces)}", None)) is not None:
        pieces.append(piece)
    texts = _inflated("".join(pieces))
    facts = zip(FACTS, texts.pop("facts", "").split("\t"), strict=False)
    if "periods" in own:
        own["periods"] = f"{own['periods']} {own.pop('gateway_periods', '')}".strip()
    if starts := [f"{name.removeprefix(START)}={text}" for name, text in own.items() if name.startswith(START)]:
        own["starts"] = " ".join(starts)
    return {**{name: text for name, text in facts if text}, **texts, **own}


def _inflated(packed: str) -> dict[str, str]:
    form, text = packed[:1], packed[1:]
    old = form == BASE64_FORM
    inflate = zlib.decompressobj(-zlib.MAX_WBITS, zdict=_TEXTS_DICTIONARY if old else DICTIONARY)
    content = base64.b64decode(text) if old else text.encode("utf-8", "surrogateescape")
    lines = inflate.decompress(content, 4 * MAX_CHARS).decode().split("\n")
    return pairs(lines)


def is_old_form(record: Mapping[str, str]) -> bool:
    """True for the record of an ended job that was not packed, or was packed in the form of an older version."""
    return "erased" not in record and ("gateway_periods" in record or not record.get("z0", "").startswith(FORM))


def repacked(record: Mapping[str, str]) -> tuple[bytes, list[str]] | None:
    """An ended job's record, packed: the bytes, and `field, value, …` of the rest; None where it is too long.

    Its facts are packed too, so its money must be decided: scripts read a dispute's facts.
    """
    whole = {name: text for name, text in unpacked(record).items() if not name.startswith((START, "gateway_"))}
    if "starts" in whole:
        whole.pop("periods", None)
    facts = {name: whole.pop(name) for name in FACTS if name in whole}
    texts = {name: whole.pop(name) for name in FIELDS if name in whole}
    content = pack(texts, facts)
    if not content:
        return None
    return content, [part for name, text in whole.items() if name not in DROPPED for part in (name, text)]
