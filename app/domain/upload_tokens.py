"""A pass: the right to do one thing for a while, written so that it can travel in a header or an address.

It is `team.item.expires.mac`; the mac is HMAC-SHA256 with the installation's secret, cut to 128 bits. It names what
the store knows, and says nothing else: no key, and nobody's name.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass

FORM = re.compile(r"(team_[0-9a-f]{32})\.([a-z]{2,10}_[0-9a-f]{32})\.([0-9]{1,15})\.([0-9a-f]{32})", re.ASCII)
MAC_DIGITS = 32


@dataclass(frozen=True, slots=True)
class UploadToken:
    """What it opens, and until when (ms, by the store's clock). The item's prefix says what it is good for."""

    team: str
    item: str
    expires_ms: int


def _mac(secret: str, one: UploadToken) -> str:
    what = f"pass\n{one.team}\n{one.item}\n{one.expires_ms}"
    return hmac.new(secret.encode(), what.encode(), hashlib.sha256).hexdigest()[:MAC_DIGITS]


def write_upload_token(secret: str, one: UploadToken) -> str:
    """The pass as text, safe in URLs and headers."""
    return f"{one.team}.{one.item}.{one.expires_ms}.{_mac(secret, one)}"


def read_upload_token(secret: str, text: str) -> UploadToken | None:
    """The pass in `text`, an expired one too; None when this installation did not write it."""
    found = FORM.fullmatch(text)
    if found is None:
        return None
    one = UploadToken(found[1], found[2], int(found[3]))
    return one if hmac.compare_digest(_mac(secret, one), found[4]) else None
