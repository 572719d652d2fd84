"""The types of the Lua scripts, app/store/scripts.pyi, generated from their headers; run it to write them."""

import re
import subprocess
import sys
from itertools import takewhile

from app.store.script_loader import FOLDER, Script, load, script_names
from tests.support.repo import ROOT

COMMITTED = ROOT / "app" / "store" / "scripts.pyi"
HEAD = '''"""What lua/*.lua take and return; `python -m tests.guards.script_stub` writes it from their headers."""

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from app.store.client import Client
'''


def _type(kind: str) -> str:
    """An argument's type in Python."""
    return f"{kind[:-1]} | None" if kind.endswith("?") else kind


def _reply(script: Script) -> str:
    """The reply's type in Python: a table is a tuple, a word is a literal; names of members are left out."""
    text = re.sub(r'"\w*"(?: \| "\w*")*', lambda found: f"Literal[{found[0].replace(' | ', ', ')}]", script.reply)
    text = re.sub(r"\*\w+: ([\w\[\]]+)", r"*tuple[\1, ...]", text)
    return re.sub(r"\w+: ", "", text).replace("{}", "tuple[()]").replace("{", "tuple[").replace("}", "]")


def _sentence(name: str) -> str:
    """The first sentence of a script's header."""
    lines = (FOLDER / f"{name}.lua").read_text("utf-8").splitlines()
    header = takewhile(lambda line: line.startswith("-- "), (line for line in lines if not line.startswith("#!")))
    text = " ".join(line.removeprefix("-- ") for line in header)
    return re.split(r"(?<=\.) ", text)[0]


def drawn() -> str:
    """The stub, formatted."""
    parts = [HEAD]
    for name in script_names():
        script = load(name)
        types = {name: "str" for name in script.keys if name not in script.fixed}
        types |= {name: _type(kind) for name, kind in script.args.items()}
        types |= {"rest": f"Iterable[{script.rest}]"} if script.rest else {}
        given = "".join(f", {name}: {kind}" for name, kind in types.items())
        reply = _reply(script)
        if "] | tuple" in reply:
            alias = f"{name.title().replace('_', '')}Reply"
            parts.append(f"{alias}: TypeAlias = {reply}\n")
            reply = alias
        reply = f"tuple[{reply}, bool]" if script.confirmed else reply
        signature = f"async def {name}(redis: Client{', *' if given else ''}{given}) -> {reply}"
        parts.append(f'{signature}:\n    """{_sentence(name)}"""\n')
    ruff = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(COMMITTED), "-"]
    done = subprocess.run(ruff, input="\n".join(parts), capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout


if __name__ == "__main__":
    COMMITTED.write_text(drawn(), encoding="utf-8")
