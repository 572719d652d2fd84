"""Beginnings (ms) of the calendar periods that something counts in, as text: `minute=1795… day=1795…/1795…`.

A window has its name, the team's period, and after the `/` the gateway's where it is another. So a window can be
added: what was written before has none of it, and counts in none. Versions before wrote numbers without names: the
team's minute, hour, day and month, then the gateway's, which were left out where all four were the same.
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
    """By window, the beginning of the team's period and of the gateway's; empty where something counts in none."""

    team: Mapping[Window, int]
    gateway: Mapping[Window, int]

    @classmethod
    def read(cls, text: str, at: Callable[[str], int] = int) -> "Starts":
        """Either form; `at` is what a number stands for. Windows that only a newer version knows are left out."""
        if "=" in text:
            words = [
                (Window(name), team, other or team) for name, team, other in WORD.findall(text) if name in KNOWN
            ]
        else:
            numbers = text.split()
            own = len(UNNAMED) if len(numbers) > len(UNNAMED) else 0
            words = list(zip(UNNAMED, numbers, numbers[own:], strict=False))
        return cls(
            {window: at(team) for window, team, _ in words}, {window: at(other) for window, _, other in words}
        )


KNOWN = frozenset(Window)


def write_starts(team: Periods, gateway: Periods) -> str:
    """The beginnings of these periods."""
    return _text({w: (period.start_ms, gateway[w].start_ms) for w, period in team.items()})


def write_ends(team: Periods, gateway: Periods) -> str:
    """Their ends, in the same form."""
    return _text({w: (period.end_ms, gateway[w].end_ms) for w, period in team.items()})


def _text(pairs: Mapping[Window, tuple[int, int]]) -> str:
    return " ".join(f"{w}={team}" if team == other else f"{w}={team}/{other}" for w, (team, other) in pairs.items())
