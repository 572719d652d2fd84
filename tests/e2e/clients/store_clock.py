"""A store whose clock can be set back, so that what happens seems to have happened earlier. Needs a C compiler."""

import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.redis_server import RedisServer

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>

int gettimeofday(struct timeval *time, void *zone) {
    static volatile long *back; /* seconds */
    static int (*real)(struct timeval *, void *);
    if (!real) {
        back = mmap(0, sizeof *back, PROT_READ, MAP_SHARED, open(getenv("STORE_CLOCK"), O_RDONLY), 0);
        real = (int (*)(struct timeval *, void *))dlsym(RTLD_NEXT, "gettimeofday");
    }
    int result = real(time, zone);
    time->tv_sec -= *back;
    return result;
}
"""


class StoreClock:
    """The clock of one server."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.back(0)

    def back(self, seconds: float) -> None:
        """From now on the store's time is so many seconds ago; only ever fewer, as a clock runs."""
        self._file.touch()
        with self._file.open("r+b") as file:  # the server has it mapped
            file.write(struct.pack("q", round(seconds)))


@contextmanager
def running_store(folder: Path) -> Iterator[tuple[RedisServer, StoreClock]]:
    """A server and its clock."""
    source, library, file = folder / "clock.c", folder / "clock.so", folder / "clock"
    source.write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)  # noqa: S603, S607
    clock = StoreClock(file)
    changed = {"LD_PRELOAD": str(library), "STORE_CLOCK": str(file)}
    os.environ.update(changed)
    redis = RedisServer()
    try:
        redis.start()
    finally:
        for name in changed:
            del os.environ[name]
    try:
        yield redis, clock
    finally:
        redis.stop()
