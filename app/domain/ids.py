"""Ids: a prefix that names the kind, and 128 random bits; and codes that prove that an id is ours."""

import hashlib
import hmac
import secrets

MAC_DIGITS = 32


def new_id(kind: str) -> str:
    """An id such as `job_5f0c…` (32 hex digits): unguessable, safe in URLs, RQ arguments and Redis keys."""
    return f"{kind}_{secrets.token_hex(16)}"


def new_nonce() -> str:
    """The nonce of one submission attempt: 128 random bits as hex."""
    return secrets.token_hex(16)


def mac(secret: str, *parts: str) -> str:
    """HMAC-SHA256 over the parts with a line feed between, cut to 128 bits, as hex."""
    return hmac.new(secret.encode(), "\n".join(parts).encode(), hashlib.sha256).hexdigest()[:MAC_DIGITS]


def join_ref(team: str, item: str) -> str:
    """`team/item`: the name of a job or a delivery in the store and in tasks."""
    return f"{team}/{item}"


def split_ref(ref: str) -> tuple[str, str]:
    """The team and the item of a ref."""
    team, _, item = ref.partition("/")
    return team, item


def ref_names(ref: str) -> dict[str, str]:
    """What a log line names of a job or a delivery of which only the ref is known."""
    team, item = split_ref(ref)
    return {"team": team, "delivery" if item.startswith("msg_") else "job": item}
