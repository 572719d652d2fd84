"""Shares: links under which people without a key see one clip, or a wall of the clips of a period."""

from dataclasses import dataclass
from typing import Literal

from app.domain.ids import join_ref

SHARE_PREFIX = "fg_share_"
SHORTEST_SHARE_S, USUAL_SHARE_S, LONGEST_SHARE_S = 60, 7 * 86_400, 30 * 86_400
MAX_WALL_MS = 366 * 86_400_000
MOST_OF_JOB, MOST_WALLS = 20, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share, without its secret. Times are Unix milliseconds.

    Attributes:
        job: the shared job; empty for a wall.
        from_ms: a wall has the clips of jobs admitted from here until before `to_ms`; 0 for a job.
        user: who made it, with the key of this id.
        prompt: the prompts are shown.
        digest: SHA-256 of the secret.
    """

    id: str
    team: str
    user: str
    key: str
    digest: str
    created_ms: int
    expires_ms: int
    prompt: bool
    job: str = ""
    from_ms: int = 0
    to_ms: int = 0
    title: str = ""

    @property
    def kind(self) -> Literal["job", "wall"]:
        """What is shared."""
        return "job" if self.job else "wall"

    @property
    def subject(self) -> str:
        """Of what it is one of few: of the team's walls, or of the job's shares."""
        return join_ref(self.team, self.job) if self.job else self.team

    @property
    def lists(self) -> tuple[str, str, str]:
        """Under what it is listed: its subject, all shares of its team, and those that its user made."""
        return self.subject, all_of_team(self.team), join_ref(self.team, self.user)


def all_of_team(team: str) -> str:
    """The list of all shares of a team, walls and jobs' alike; no job has such an id."""
    return join_ref(team, "all")
