"""Whom this process trusts."""

import ssl
from functools import cache

import httpx


@cache
def trusted_roots() -> ssl.SSLContext:
    """What every client of this process trusts. Reading the roots takes 20 ms, so it is done once."""
    return httpx.create_ssl_context(trust_env=False)
