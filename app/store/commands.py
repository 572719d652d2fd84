"""The parts of an administrative act (`audit.py`): its writes as Redis commands, and its conditions."""

from dataclasses import dataclass
from typing import Any

from app.domain.accounts import NO_TEAM, NO_USER
from app.domain.errors import FilmgateError, NotFound
from app.store import keys

Command = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Require:
    """A condition of an act, as `lua/commit_admin.lua` reads it, and the error where it does not hold."""

    condition: Command
    error: FilmgateError


def team_exists(team: str) -> Require:
    """The team exists and was not deleted."""
    return Require(("not_deleted", keys.team(team)), NotFound(NO_TEAM))


def user_exists(team: str, user: str) -> Require:
    """The user exists and was not deleted."""
    return Require(("not_deleted", keys.user(team, user)), NotFound(NO_USER))


def flatten(fields: dict[str, Any]) -> list[str | int]:
    """`field, value, …` for a hash or a stream."""
    return [part for pair in fields.items() for part in pair]
