"""The line: who waits, and how many jobs will probably be served before one."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UserWaiting:
    """A user's jobs in line; the lowest mark of a team is served next."""

    mark: float
    jobs: int


@dataclass(frozen=True, slots=True)
class TeamWaiting:
    """A team's users in line; the lowest mark of all is served next, and a turn moves it by dollars over weight."""

    weight: int
    mark: float
    users: Mapping[str, UserWaiting]

    @property
    def jobs(self) -> int:
        """How many jobs of the team are in line."""
        return sum(user.jobs for user in self.users.values())


Standings = Mapping[str, TeamWaiting]


def position(standings: Standings, *, team: str, user: str, rank: int) -> int:
    """How many jobs will be served before this one, if nothing new comes and all cost the same.

    `rank` is its place in its user's own line. Users of its team take turns; other teams get their weight's share.
    """
    own = standings.get(team)
    mine = own.users.get(user) if own is not None else None
    ours = rank
    for name, other in own.users.items() if own is not None else ():
        if name != user:
            ours += min(other.jobs, rank + (mine is None or other.mark <= mine.mark))
    ahead = ours
    for name, others in standings.items():
        if name != team:
            first = own is None or others.mark <= own.mark
            turns = (ours + first) * others.weight / (own.weight if own is not None else 1)
            ahead += min(others.jobs, int(turns))
    return ahead
