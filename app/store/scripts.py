"""The Lua scripts as functions: `await scripts.take_due(redis, due=…, limit=…)`. Each is read at its first call.

`scripts.pyi` has their signatures, for mypy and editors; `python -m tests.guards.script_stub` makes it from the
headers of the Lua files.
"""

from app.store.script_loader import Script, load


def __getattr__(name: str) -> Script:
    try:
        globals()[name] = load(name)
    except FileNotFoundError:
        raise AttributeError(f"there is no lua/{name}.lua") from None
    return load(name)
