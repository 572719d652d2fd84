"""The conditions of a figure: machine, versions and load."""

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

from app.engines import Engine

PACKAGES = ("fastapi", "starlette", "uvicorn", "pydantic", "redis", "hiredis", "rq", "aiohttp", "uvloop")


def machine_facts(engine: Engine) -> dict[str, str]:
    """Names and values for the head of the report."""
    load = os.getloadavg()[0]
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {_processor()}; load average before: {load:.1f}",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "store": f"{engine.name}, {_malloc(engine)}, appendonly yes, appendfsync always",
        "packages": packages,
    }


def _malloc(engine: Engine) -> str:
    """Who gives the store its memory."""
    if (library := engine.jemalloc) is not None:
        return f"with {library}"
    return "libc's malloc" if engine.libc_malloc else "its own malloc"


def _processor() -> str:
    """The processor's name, on Linux."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
