"""The graph of states: the drawing matches the table, and every state leads to an end."""

import re

from app.domain import jobs as domain
from app.domain.jobs import TERMINAL_STATES, TRANSITIONS, Status


def drawn() -> dict[Status, frozenset[Status]]:
    """The graph in the docstring: `from → to · to (remark) · to   remark`."""
    found = {}
    for line in (domain.__doc__ or "").splitlines():
        before, arrow, after = line.partition("→")
        if arrow:
            plain = re.sub(r"\([^)]*\)", "", after)
            words = [re.split(r"\s{2,}", part.strip())[0] for part in plain.split("·")]
            found[Status(before.strip())] = frozenset(map(Status, words))
    return found


def test_the_drawing_is_the_list() -> None:
    """Every state with transitions is drawn, with all of them; the others are terminal."""
    assert drawn() == {state: ways for state, ways in TRANSITIONS.items() if ways}
    assert {state for state, ways in TRANSITIONS.items() if not ways} == TERMINAL_STATES
    assert set(TRANSITIONS) == set(Status)


def test_every_state_is_reached_and_every_live_one_can_end() -> None:
    """No state is unreachable or without a way to an end."""
    reached = {Status.QUEUED}
    while more := {after for state in reached for after in TRANSITIONS[state]} - reached:
        reached |= more
    assert reached == set(Status)
    for start in Status:
        seen = {start}
        while more := {after for state in seen for after in TRANSITIONS[state]} - seen:
            seen |= more
        assert seen & TERMINAL_STATES
