"""`./dev mutants` can make each of its mutations: it takes minutes, so nobody would see it soon."""

from tests.mutants import MUTATIONS
from tests.support.repo import ROOT


def test_every_protection_that_is_removed_is_still_there() -> None:
    """The text to be replaced stands once in its file; otherwise the protection is not looked at any more."""
    counts = {one.name: (ROOT / one.path).read_text("utf-8").count(one.old) for one in MUTATIONS}
    assert {name: count for name, count in counts.items() if count != 1} == {}


def test_every_test_that_should_notice_is_there() -> None:
    """A test that was renamed or has moved would leave its mutation without an answer."""
    named = [test.partition("::") for one in MUTATIONS for test in one.tests]
    assert [
        f"{path}::{name}" for path, _, name in named if f"def {name}" not in (ROOT / path).read_text("utf-8")
    ] == []
