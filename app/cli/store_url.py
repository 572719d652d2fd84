"""Which store a command on this machine talks to: the configured one, or that of a running `filmgate up`."""

import os

from pydantic import SecretStr

from app.cli.exits import Failure
from app.embedded import socket_url
from app.settings import Settings, load_settings


def settings_with_store() -> Settings:
    """The settings, with the embedded store's address when none is configured; Failure when nothing runs."""
    settings = load_settings(os.environ)
    if settings.redis_url is not None:
        return settings
    url = socket_url(settings.data_dir)
    if url is None:
        raise Failure(f"Nothing runs in {settings.data_dir}: start `filmgate up`, or set FILMGATE_REDIS_URL.")
    return settings.model_copy(update={"redis_url": SecretStr(url)})
