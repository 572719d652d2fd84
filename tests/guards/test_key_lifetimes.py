"""Every key has a declared lifetime, and none is kept forever by accident."""

import inspect
import re
from pathlib import Path
from typing import Any

from app.store import keys
from app.store.keys import LIFETIMES, PREFIX, Lifetime
from tests.support.checks import lifetime_of

STORE = Path(inspect.getfile(keys)).parent
ARGUMENTS: dict[str, Any] = {"number": 1}


def names() -> dict[str, str]:
    """An example of every key: each constant, and each function called with words."""
    found = {}
    for name, value in vars(keys).items():
        if inspect.isfunction(value):
            arguments = {word: ARGUMENTS.get(word, f"a-{word}") for word in inspect.signature(value).parameters}
            found[name] = value(**arguments)
        elif name.isupper() and isinstance(value, str) and name not in {"PREFIX", "JOB_PREFIX"}:
            found[name] = value
    return found


def test_every_key_has_a_lifetime() -> None:
    """A new key is given a class on purpose, and begins with the prefix."""
    found = names()
    assert len(found) > 40
    assert [name for name, key in found.items() if not key.startswith(PREFIX) or lifetime_of(key) is None] == []


def test_what_a_browser_token_leaves_behind_expires() -> None:
    """Its limits and sums share their names with those of teams and users, which do not expire."""
    assert lifetime_of(keys.total("tok_1")) is lifetime_of(keys.limits("tok_1")) is Lifetime.EXPIRING
    assert lifetime_of(keys.total("team_1")) is lifetime_of(keys.limits("user_1")) is Lifetime.PERMANENT


def test_every_declared_lifetime_has_a_key() -> None:
    """Every key in the table still exists."""
    used = set()
    of_a_token = [keys.limits("tok_1"), keys.total("tok_1")]
    for example in [*names().values(), *of_a_token]:
        rest = example.removeprefix(PREFIX)
        used |= {
            prefix
            for prefix in LIFETIMES
            if rest == prefix or (prefix.endswith((":", "_")) and rest.startswith(prefix))
        }
    assert used == set(LIFETIMES)


def test_no_two_kinds_of_key_share_a_name() -> None:
    """Different functions never make the same key, whatever their arguments."""
    examples = list(names().values())
    assert len(set(examples)) == len(examples)


def test_keys_are_made_in_one_place() -> None:
    """The prefix is written nowhere else: not in Python, not in Lua."""
    writers = [
        path.name
        for path in [*STORE.rglob("*.py"), *STORE.rglob("*.lua")]
        if re.search(rf"""["'`]{PREFIX}""", path.read_text("utf-8"))
    ]
    assert writers == ["keys.py"]


def test_accounts_and_money_never_expire() -> None:
    """The ledger outlives every job."""
    permanent = {prefix for prefix, lifetime in LIFETIMES.items() if lifetime is Lifetime.PERMANENT}
    assert permanent >= {"total:", "reservations:", "ledger:", "team:", "user:", "key:"}
