"""The line: who waits, and how many jobs will probably be served before one."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UserWaiting:
    """A user's jobs in line; the lowest mark of a team is served next, and a turn moves it by dollars."""

    virtual_time: float
    jobs: int


@dataclass(frozen=True, slots=True)
class TeamWaiting:
    """A team's users in line; the lowest mark of all is served next, and a turn moves it by dollars over weight."""

    weight: int
    virtual_time: float
    users: Mapping[str, UserWaiting]
    paused: bool = False

    @property
    def jobs(self) -> int:
        """How many jobs of the team are in line."""
        return sum(user.jobs for user in self.users.values())


QueueState = Mapping[str, TeamWaiting]


@dataclass(frozen=True, slots=True)
class LinePosition:
    """Where a job stands: its team's and its user's mark, and its rank in its user's own line, 0 for the first."""

    team: str
    weight: int
    team_time: float
    user: str
    user_time: float
    rank: int


@dataclass(frozen=True, slots=True)
class TeamLoad:
    """A team's jobs: how many wait (with a slot or without), are at fal or on their way, or are held."""

    queued: int
    running: int
    held: int


def position(queue: QueueState, place: LinePosition, *, micro: int) -> int:
    """How many jobs will be served before this one, if nothing new comes and all cost the same (micro-dollars).

    Exact then: `grant_slots.lua` serves the lowest mark, and of equal ones the name that sorts first, so the job's
    turn has a mark of its own, and of each other line as many jobs go first as have a lower one. Where prices
    differ, a team or user with dearer jobs gets fewer turns before this one, and one with cheaper jobs more.
    """
    own = queue.get(place.team)
    mark = place.user_time + place.rank * micro
    ours = place.rank
    for name, user in own.users.items() if own is not None else ():
        if name != place.user:
            ours += _turns_before((mark, place.user), (user.virtual_time, name), step=micro, jobs=user.jobs)
    mark = place.team_time + ours * round(micro / place.weight)
    ahead = ours
    for name, team in queue.items():
        if name != place.team and not team.paused:
            step = round(micro / team.weight)
            ahead += _turns_before((mark, place.team), (team.virtual_time, name), step=step, jobs=team.jobs)
    return ahead


def _turns_before(ours: tuple[float, str], theirs: tuple[float, str], *, step: int, jobs: int) -> int:
    """How many of `jobs`, whose marks go up from theirs in steps, come before ours; ties go by name."""
    if theirs > ours:
        return 0
    if step == 0:
        return jobs
    turns, rest = divmod(ours[0] - theirs[0], step)
    return min(jobs, int(turns) + (rest > 0 or theirs[1] < ours[1]))
