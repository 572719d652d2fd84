"""The parts of an administrative act (`audit.py`): its writes as Redis commands, and what must hold for them."""

from dataclasses import dataclass
from typing import Any

from app.domain.accounts import NO_TEAM, NO_USER
from app.domain.errors import FilmgateError, NotFound
from app.store import keys

Command = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Require:
    """What must hold for an act, in the words of `lua/commit_admin.lua`, and the error that says it does not."""

    condition: Command
    error: FilmgateError


def team_exists(team: str) -> Require:
    """That the team is there and was not deleted."""
    return Require(("not_deleted", keys.team(team)), NotFound(NO_TEAM))


def user_exists(team: str, user: str) -> Require:
    """The same of a user."""
    return Require(("not_deleted", keys.user(team, user)), NotFound(NO_USER))


def flat(fields: dict[str, Any]) -> list[str | int]:
    """`field, value, …` for a hash or a stream."""
    return [part for pair in fields.items() for part in pair]
