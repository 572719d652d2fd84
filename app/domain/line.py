"""The line of queued jobs, and how many of them will probably be served before one."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UserWaiting:
    """A user's jobs in line. A team's user with the lowest virtual time is next; a job's price is added to it."""

    virtual_time: float
    jobs: int


@dataclass(frozen=True, slots=True)
class TeamWaiting:
    """A team's users in line. The team with the lowest virtual time is next; price // weight is added to it."""

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
    """A job's place: its team's and user's virtual time, and its rank in its user's line, 0 for the first."""

    team: str
    weight: int
    team_time: float
    user: str
    user_time: float
    rank: int


@dataclass(frozen=True, slots=True)
class TeamLoad:
    """A team's jobs: how many wait (with a slot or without), are at fal or being submitted, or are held."""

    queued: int
    running: int
    held: int


def position(queue: QueueState, job: LinePosition, *, micro: int) -> int:
    """How many jobs will be served before this one, if no new ones come and all cost the same (micro-dollars).

    Exact then: `grant_slots.lua` serves the lowest virtual time, and of equal ones the name that sorts first.
    The job's turn has a virtual time, and of each other line all jobs with a lower one come before it. Where prices
    differ, a team or user with dearer jobs gets fewer turns before this one, and one with cheaper jobs more.
    """
    own = queue.get(job.team)
    turn = job.user_time + job.rank * micro
    in_team = job.rank
    for name, user in own.users.items() if own is not None else ():
        if name != job.user:
            in_team += _turns_before((turn, job.user), (user.virtual_time, name), step=micro, jobs=user.jobs)
    turn = job.team_time + in_team * (micro // job.weight)
    before = in_team
    for name, team in queue.items():
        if name != job.team and not team.paused:
            step = micro // team.weight
            before += _turns_before((turn, job.team), (team.virtual_time, name), step=step, jobs=team.jobs)
    return before


def _turns_before(ours: tuple[float, str], theirs: tuple[float, str], *, step: int, jobs: int) -> int:
    """How many of `jobs`, with virtual times from theirs upwards in steps, come before ours; ties go by name."""
    if theirs > ours:
        return 0
    if step == 0:
        return jobs
    turns, rest = divmod(ours[0] - theirs[0], step)
    return min(jobs, int(turns) + (rest > 0 or theirs[1] < ours[1]))
