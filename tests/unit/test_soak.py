"""When a soak says that a process grows."""

import pytest

from tests.crash.soak_faults import FAULTS
from tests.crash.soak_figures import Use, growth_of

STEADY = Use(100_000, 40)


@pytest.mark.parametrize(
    ("last", "grows"),
    [
        (STEADY, False),
        (Use(110_000, 45), False),
        (Use(90_000, 30), False),
        (Use(120_000, 40), True),
        (Use(100_000, 60), True),
    ],
)
def test_a_process_grows_when_the_last_third_has_clearly_more(last: Use, grows: bool) -> None:  # noqa: FBT001  a parameter
    """The first third is not looked at, because caches fill, and one high sample changes nothing."""
    first, high = [Use(20_000, 10)] * 5, Use(900_000, 900)
    assert growth_of([*first, *[STEADY] * 4, high, *[last] * 4, high]).grows is grows


def test_twenty_minutes_have_room_for_every_fault_once() -> None:
    """One a minute."""
    assert 10 <= len(FAULTS) < 20
