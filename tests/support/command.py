"""Runs `filmgate` in this process, which takes milliseconds, as an operator would run it on a store."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from app.cli.command import run
from tests.support.redis_server import RedisServer


@dataclass(frozen=True, slots=True)
class Ended:
    """The command's exit code and output."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The output of a command that must succeed."""
        assert (self.code, self.err) == (0, ""), self.err
        return json.loads(self.out)

    def refused(self, code: int) -> str:
        """The one sentence of a command that failed."""
        assert (self.code, self.out) == (code, ""), self
        (line,) = self.err.splitlines()
        assert line.startswith("filmgate: ")
        assert line.endswith((".", "?"))
        return line.removeprefix("filmgate: ")


Command = Callable[..., Ended]
On = Callable[[RedisServer], Command]


def command_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], server: RedisServer, login: str = "olga"
) -> Command:
    """A function that runs the command with these arguments on this store, as an operator with this login name."""
    for name in [name for name in os.environ if name.startswith(("FILMGATE_", "FAL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FILMGATE_REDIS_URL", server.url)
    monkeypatch.setenv("LOGNAME", login)

    def call(*words: str) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run(words)
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, printed.out, printed.err)

    return call
