"""Upload tokens: the permission for uploads until a time, as text that fits into a header or a URL.

It is `team.item.expires.mac`; the mac is HMAC-SHA256 with the installation's secret, cut to 128 bits. It has ids
only: no key, and no user's name.
"""

import hmac
import re
from dataclasses import dataclass

from app.domain.ids import mac

PATTERN = re.compile(r"(team_[0-9a-f]{32})\.([a-z]{2,10}_[0-9a-f]{32})\.([0-9]{1,15})\.([0-9a-f]{32})", re.ASCII)


@dataclass(frozen=True, slots=True)
class UploadToken:
    """The id of an upload, or of a permission (`pass_…`), and the end (ms, by the store's clock)."""

    team: str
    item: str
    expires_ms: int


def _mac(secret: str, token: UploadToken) -> str:
    return mac(secret, "pass", token.team, token.item, str(token.expires_ms))


def write_upload_token(secret: str, token: UploadToken) -> str:
    """The token as text, safe in URLs and headers."""
    return f"{token.team}.{token.item}.{token.expires_ms}.{_mac(secret, token)}"


def read_upload_token(secret: str, text: str) -> UploadToken | None:
    """The token in `text`, also an expired one; None when this installation did not write it."""
    parts = PATTERN.fullmatch(text)
    if parts is None:
        return None
    token = UploadToken(parts[1], parts[2], int(parts[3]))
    return token if hmac.compare_digest(_mac(secret, token), parts[4]) else None
