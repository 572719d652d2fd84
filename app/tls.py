"""The trusted certificates of this process."""

import ssl
from functools import cache

import httpx


@cache
def trusted_roots() -> ssl.SSLContext:
    """The roots that every client of this process trusts, read once, which takes 20 ms."""
    return httpx.create_ssl_context(trust_env=False)
