"""Keys and scopes: their form, their checksum, their digest."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.accounts import ALPHABET, Caller, Scope, digest, new_key, well_formed

KEY = re.compile(r"fg_live_[0-9A-Za-z]{49}")


def test_keys_have_their_form_and_differ() -> None:
    """Ten thousand keys: all well formed, all different, all of the same length."""
    keys = {new_key() for _ in range(10_000)}
    assert len(keys) == 10_000
    assert all(KEY.fullmatch(key) and well_formed(key) for key in keys)


@given(st.integers(8, 56), st.sampled_from(ALPHABET))
def test_one_wrong_letter_is_seen(at: int, letter: str) -> None:
    """A key with one letter replaced is not well formed, so a typo costs no lookup."""
    key = new_key()
    changed = key[:at] + letter + key[at + 1 :]
    assert well_formed(changed) == (changed == key)


@given(st.integers(8, 55))
def test_two_letters_swapped_are_seen(at: int) -> None:
    """A key with two neighbours swapped is not well formed."""
    key = new_key()
    changed = key[:at] + key[at + 1] + key[at] + key[at + 2 :]
    assert well_formed(changed) == (changed == key)


@given(
    st.text()
    | st.text(string.printable, min_size=57, max_size=57)
    | st.just("fg_live_").map(lambda p: p + "é" * 49)
)
def test_other_text_is_no_key(text: str) -> None:
    """For any other text the result is False, not an error."""
    assert not well_formed(text)


@pytest.mark.parametrize(
    "change", [str.upper, str.lower, lambda key: key[:-1], lambda key: key + "0", lambda _: ""]
)
def test_a_changed_key_is_none(change: object) -> None:
    """Another case, one letter less or more, an empty text."""
    key = new_key()
    assert callable(change)
    assert not well_formed(change(key))


def test_a_digest_does_not_hold_the_key() -> None:
    """SHA-256 in hexadecimal, of the whole key."""
    key = new_key()
    assert re.fullmatch(r"[0-9a-f]{64}", digest(key))
    assert digest(key) != digest(new_key())
    assert key[8:] not in digest(key)


@pytest.mark.parametrize(
    ("scopes", "sees", "acts"),
    [
        ({Scope.JOBS_READ, Scope.JOBS_WRITE}, False, False),
        ({Scope.TEAM_READ}, True, False),
        ({Scope.TEAM_ADMIN}, True, True),
        (set[Scope](), False, False),
    ],
)
def test_a_scope_says_what_it_opens(scopes: set[Scope], sees: bool, acts: bool) -> None:  # noqa: FBT001 - a table
    """`team:read` sees the team's jobs, `team:admin` changes them too."""
    caller = Caller(team="t", user="u", key="k", scopes=frozenset(scopes))
    assert (caller.sees_team, caller.acts_for_team) == (sees, acts)
