"""The store that a command on this machine is about: the configured one, or that of a running `filmgate up`."""

from pydantic import SecretStr

from app.embedded import socket_url
from app.settings import Settings


def with_this_store(settings: Settings) -> Settings:
    """The settings with the address of a running embedded store, unless they name a store; else unchanged."""
    url = None if settings.redis_url is not None else socket_url(settings.data_dir)
    return settings if url is None else settings.model_copy(update={"redis_url": SecretStr(url)})
