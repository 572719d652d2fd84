"""Images that are given as data URIs, read as programs write them; what the bytes are is decided elsewhere."""

import base64
import hashlib
import re
from dataclasses import dataclass

from app.domain.errors import Code, Unprocessable

_HEAD = re.compile(r"\s*data:[^,]{0,255};\s*base64\s*,", re.IGNORECASE)
_START = 64  # characters in which a data URI begins, behind white space
# What encoders of whole URLs make of the alphabet and of line ends. Anything else needs no encoding.
_ENCODED = {"%2B": "+", "%2F": "/", "%3D": "=", "%0A": "\n", "%0D": "\r", "%20": " "}
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_LINE_ENDS = b"\t\n\v\f\r"


@dataclass(frozen=True, slots=True)
class EmbeddedImage:
    """The content of a data URI."""

    content: bytes
    sha256: str


def is_data_uri(text: str) -> bool:
    """True for a text that begins as a data URI does, behind white space."""
    return text[:_START].lstrip()[:5].lower() == "data:"


def read_data_uri(text: str) -> EmbeddedImage:
    """The content of `data:…;base64,…`, whatever type and parameters it declares; Unprocessable `bad_data_uri`.

    Base64 is read as encoders write it: wrapped, without padding, percent-encoded or in the URL-safe alphabet, with
    white space around it. A space inside is refused: it may have been a `+`.

    Call it in a thread: hashing releases the interpreter lock.
    """
    head = _HEAD.match(text)
    if head is None:
        raise Unprocessable(
            "A data URI of an image begins with data:image/png;base64, or another type.", code=Code.BAD_DATA_URI
        )
    try:
        content = _decoded(text[head.end() :])
    except ValueError:
        content = b""
    if not content:
        sentence = "The data URI does not hold sound base64: after its comma comes the file, without spaces inside."
        raise Unprocessable(sentence, code=Code.BAD_DATA_URI)
    return EmbeddedImage(content, hashlib.sha256(content).hexdigest())


def _decoded(payload: str) -> bytes:
    """The bytes; ValueError when this is no base64."""
    try:
        return base64.b64decode(payload, validate=True)  # as most write it
    except ValueError:
        pass
    if "%" in payload:
        for written, meant in _ENCODED.items():
            payload = payload.replace(written, meant).replace(written.lower(), meant)
    plain = payload.strip().encode("ascii").translate(_URL_SAFE, _LINE_ENDS).rstrip(b"=")
    return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
