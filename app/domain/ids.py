"""Ids: a prefix that names the kind, and 128 random bits."""

import secrets


def new_id(kind: str) -> str:
    """An id such as `job_5f0c…` (32 hex digits): unguessable, safe in URLs, RQ arguments and Redis keys."""
    return f"{kind}_{secrets.token_hex(16)}"


def new_nonce() -> str:
    """The nonce of one submission attempt: 128 random bits as hex."""
    return secrets.token_hex(16)


def join_ref(team: str, item: str) -> str:
    """`team/item`: the name of a job or a delivery in the store and in tasks."""
    return f"{team}/{item}"


def split_ref(ref: str) -> tuple[str, str]:
    """The team and the item of a ref."""
    team, _, item = ref.partition("/")
    return team, item
