"""The beginnings of calendar periods as text: by name, and in the older format."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.limits import Window, periods
from app.domain.starts import Starts, write_ends, write_starts

FOUR = (Window.MINUTE, Window.HOUR, Window.DAY, Window.MONTH)


@given(st.integers(2**40, 2**41), st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]))
def test_what_is_written_is_read(now_ms: int, zone: str) -> None:
    """Every window of the team and of the gateway; in UTC an equal number is written once."""
    team, gateway = periods(now_ms, zone), periods(now_ms, "UTC")
    read = Starts.read(write_starts(team, gateway))
    assert read.team == {window: period.start_ms for window, period in team.items()}
    assert read.gateway == {window: period.start_ms for window, period in gateway.items()}
    assert Starts.read(write_ends(team, gateway)).team[Window.DAY] == team[Window.DAY].end_ms
    assert ("/" in write_starts(team, gateway)) == (read.team != read.gateway)


@pytest.mark.parametrize(
    ("text", "team", "gateway"),
    [
        ("minute=4 day=2/1", {"minute": 4, "day": 2}, {"minute": 4, "day": 1}),
        ("day=2 aeon=1", {"day": 2}, {"day": 2}),
        ("1 2 3 4 5 6 7 8", dict(zip(FOUR, (1, 2, 3, 4), strict=True)), dict(zip(FOUR, (5, 6, 7, 8), strict=True))),
        ("1 2 3 4", dict(zip(FOUR, (1, 2, 3, 4), strict=True)), dict(zip(FOUR, (1, 2, 3, 4), strict=True))),
        ("", {}, {}),
    ],
    ids=["by name", "a newer version's", "eight numbers", "four numbers", "none"],
)
def test_either_form_is_read(text: str, team: dict[str, int], gateway: dict[str, int]) -> None:
    """A window that is not named has no period; unnamed numbers are those of the first four windows."""
    assert Starts.read(text) == Starts(team, gateway)  # type: ignore[arg-type]  # a window is its word


def test_a_number_may_be_a_distance() -> None:
    """The ledger stores how long before the admission a period began."""
    assert Starts.read("day=30/10", lambda text: 100 - int(text)) == Starts({Window.DAY: 70}, {Window.DAY: 90})
