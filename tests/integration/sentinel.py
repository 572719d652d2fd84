"""A real Sentinel that watches a store."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import Process, clean_environment, free_port
from tests.support.redis_server import engine_under_test


@contextmanager
def sentinel(folder: Path, *lines: str) -> Iterator[int]:
    """A Sentinel with these lines in its configuration; its port."""
    port = free_port()
    config = folder / f"sentinel-{port}.conf"
    config.write_text("\n".join([f"port {port}", "bind 127.0.0.1", f"dir {folder}", *lines, ""]))
    command = [str(engine_under_test().path), str(config), "--sentinel"]
    process = Process(command, clean_environment(), log=folder / "sentinel.log").start()
    try:
        yield port
    finally:
        process.stop()
