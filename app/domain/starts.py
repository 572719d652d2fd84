"""Beginnings (ms) of the calendar periods that a job or entry counts in, as text: `minute=1795… day=1795…/1795…`.

Each word is a window's name, the start of the team's period, and after the `/` the gateway's where it differs.
Texts from before a window was added do not name it, and count in none of its periods. Older versions wrote numbers
without names: the team's minute, hour, day and month, then the gateway's unless all four were equal.
`lua/lib/sums.lua` reads both forms as well.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.domain.limits import Periods, Window

WORD = re.compile(r"(\w+)=(\d+)(?:/(\d+))?")
UNNAMED = (Window.MINUTE, Window.HOUR, Window.DAY, Window.MONTH)


@dataclass(frozen=True, slots=True)
class Starts:
    """By window, the beginning (ms) of the team's period and of the gateway's; empty where it counts in none."""

    team: Mapping[Window, int]
    gateway: Mapping[Window, int]

    @classmethod
    def read(cls, text: str, at: Callable[[str], int] = int) -> "Starts":
        """Read either form; `at` converts each number. Windows that only a newer version knows are left out."""
        if "=" in text:
            found = (match for match in WORD.findall(text) if match[0] in WINDOW_NAMES)
            words = [(Window(name), team, gateway or team) for name, team, gateway in found]
        else:
            numbers = text.split()
            own = len(UNNAMED) if len(numbers) > len(UNNAMED) else 0
            words = list(zip(UNNAMED, numbers, numbers[own:], strict=False))
        return cls({window: at(own) for window, own, _ in words}, {window: at(own) for window, _, own in words})


WINDOW_NAMES = frozenset(Window)


def write_starts(team: Periods, gateway: Periods) -> str:
    """The beginnings of these periods."""
    return _text({w: (period.start_ms, gateway[w].start_ms) for w, period in team.items()})


def write_ends(team: Periods, gateway: Periods) -> str:
    """Their ends, in the same form."""
    return _text({w: (period.end_ms, gateway[w].end_ms) for w, period in team.items()})


def _text(pairs: Mapping[Window, tuple[int, int]]) -> str:
    return " ".join(f"{w}={team}" if team == other else f"{w}={team}/{other}" for w, (team, other) in pairs.items())
