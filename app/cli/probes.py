"""`filmgate alive` and `filmgate ready`: probes for containers, which ask the process beside them.

Only the standard library, and little of it: an orchestrator starts one every few seconds.
"""

import http.client
import os
import ssl
import time
from pathlib import Path
from typing import Literal

from app.domain.heartbeats import READY_FILE, READY_FILE_FRESH_S
from app.domain.ports import LAST_PORT

TIMEOUT_S = 3.0
OWN_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  where a wildcard is reached
OK = 200

Role = Literal["api", "worker"]


def why_not_alive() -> str | None:
    """Why the API of this machine does not answer; None when it does."""
    return _why_not_ok("/livez")


def why_not_ready(role: Role) -> str | None:
    """Why the API or the workers of this machine cannot do their work now; None when they can."""
    return why_workers_not_ready() if role == "worker" else _why_not_ok("/readyz")


def why_workers_not_ready() -> str | None:
    """Why the workers with this data directory are not ready; None when they are."""
    path = Path(os.environ.get("FILMGATE_DATA_DIR") or ".filmgate") / READY_FILE
    try:
        age_s = time.time() - path.stat().st_mtime
    except OSError:
        when = "they write it when each queue has a worker and the store answers"
        return f"The workers are not ready: there is no {path}; {when}."
    if abs(age_s) > READY_FILE_FRESH_S:
        return f"The workers are not ready: {path} is {age_s:.0f} s old; they write it every few seconds."
    return None


def _why_not_ok(path: str) -> str | None:
    """Why the API does not answer this path with 200; None when it does."""
    host = os.environ.get("FILMGATE_HOST") or "127.0.0.1"
    port = os.environ.get("FILMGATE_PORT") or "8000"
    where = f"The API at {host}, port {port},"
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= LAST_PORT):
        return f"FILMGATE_PORT must be the port where the API listens, 1 to {LAST_PORT}, not {port!r}."
    try:
        api = _connection(OWN_ADDRESS.get(host, host), int(port))
    except http.client.InvalidURL:
        return f"FILMGATE_HOST must be the address where the API listens, not {host!r}."
    try:
        api.request("GET", path)
        reply = api.getresponse()
        body = reply.read(2000).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        why = error.strerror if isinstance(error, OSError) else None
        return f"{where} does not answer: {why or str(error) or type(error).__name__}."
    finally:
        api.close()
    return None if reply.status == OK else f"{where} answers {path} with {reply.status}: {body.rstrip('.')}."


def _connection(host: str, port: int) -> http.client.HTTPConnection:
    if not os.environ.get("FILMGATE_TLS_CERT"):
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    context = ssl.create_default_context()
    context.check_hostname = False  # it is for the name that callers know
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
