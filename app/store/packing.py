"""The bulky part of an ended job's record, packed: it is read rarely and kept for long.

What is packed is text that does not change any more. It is deflated with a dictionary of what such texts usually
say, and cut into pieces that a small hash of the store keeps inside itself, at a third of the memory.
"""

import base64
import re
import zlib
from collections.abc import Mapping

FIELDS = ("input", "images", "metadata", "webhook_url", "logs", "output", "error")
MOST = 16_384  # characters that are packed; more is left as it is
FORM = "1"  # of what follows, and of the dictionary, which is never changed: a new one has a new number
DICTIONARY = (
    b'error\n{"code":"upstream_rejected_input","message":"The ","retryable":false,"upstream":{"status":422,"detail'
    b'":","error_type":null}}\nmetadata\n{"":""}\nimages\n{"image_url":{"bytes":,"media_type":"image/png","sha256":"'
    b'logs\n[{"message":"Request started","timestamp":"2026-11-29T"},{"message":"Generating: 25%","timestamp":"202'
    b'},{"message":"Generating: 50%","timestamp":"},{"message":"Generating: 75%","timestamp":"},{"message":"'
    b'Generating: 100%","timestamp":"}]\noutput\n{"video":{"url":"https://v3.fal.media/files/","content_type":"'
    b'video/mp4","file_name":"output.mp4","file_size":}}\n","negative_prompt":"blur, distort, and low quality",'
    b'"tail_image_url":"https://","aspect_ratio":"16:9","cfg_scale":0.5}\n","image_url":"https://.jpg",'
    b'"duration":"10"","duration":"5","input\n{"prompt":"The camera slowly moves with the '
)
PIECE = re.compile(r"z\d+")


def pack(texts: Mapping[str, str]) -> str:
    """The texts of some FIELDS in one; "" where they are too long to be worth it. No text has a line break."""
    whole = "\n".join(f"{name}\n{text}" for name, text in texts.items())
    if not whole or len(whole) > MOST or whole.count("\n") != 2 * len(texts) - 1:
        return ""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=DICTIONARY)
    packed = deflate.compress(whole.encode()) + deflate.flush()
    return FORM + base64.b64encode(packed).decode()


def unpacked(record: Mapping[str, str]) -> Mapping[str, str]:
    """The record with what is packed in its pieces `z0`, `z1`, …; a field of its own is newer than a packed one."""
    if "z0" not in record:
        return record
    count = sum(1 for name in record if PIECE.fullmatch(name))
    packed = "".join(record[f"z{number}"] for number in range(count)).removeprefix(FORM)
    inflate = zlib.decompressobj(-zlib.MAX_WBITS, zdict=DICTIONARY)
    lines = inflate.decompress(base64.b64decode(packed), 4 * MOST).decode().split("\n")
    periods = f"{record['periods']} {record.get('gateway_periods', record['periods'])}"
    own = {name: text for name, text in record.items() if not PIECE.fullmatch(name)}
    return {**dict(zip(lines[::2], lines[1::2], strict=True)), **own, "periods": periods}
