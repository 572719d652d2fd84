"""Whole ids in place of what is given for them: the beginning of an id, or the name of a team or a user."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.cli.admin_calls import AdminCalls, View
from app.cli.exits import Failure
from app.domain.counting import first_of
from app.domain.limits import GATEWAY

OWNER_PARAMETERS = {
    "team": ("team",),
    "team_id": ("team",),
    "user": ("user",),
    "user_id": ("user",),
    "owner": ("team", "user"),
}
OTHER_PARAMETERS = frozenset({"key_id", "job", "job_id", "job_ids"})
ID = re.compile(r"(team|user|key|job)_([0-9a-f]{1,32})")
WHOLE_DIGITS = 32
LEAST_DIGITS = 4  # of an id that is not given whole
SEARCHED_JOBS = 500  # newest ones, in which a job is found by the beginning of its id
MOST_NAMED = 5  # ids in one sentence


async def with_whole_ids(calls: AdminCalls, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a command, each of its teams, users, keys and jobs by its whole id.

    An id of which nothing is known is kept: whoever is asked for it says so. Failure for what several have, and for
    a name that nobody has.
    """
    lists = _Lists(calls)
    found = dict(arguments)
    for name, value in arguments.items():
        if name in OWNER_PARAMETERS and isinstance(value, str):
            found[name] = await _owner(lists, value, OWNER_PARAMETERS[name])
        elif name in OTHER_PARAMETERS and isinstance(value, str):
            found[name] = await _whole(lists, value)
        elif name in OTHER_PARAMETERS and isinstance(value, list | tuple):
            found[name] = [await _whole(lists, text) for text in value]
    return found


def only_id(text: str, views: Iterable[View]) -> str:
    """The only id of a view that begins so; the text itself when there is none. Failure for several."""
    found = {str(view["id"]) for view in views if view["id"].startswith(text)}
    if len(found) > 1:
        raise Failure(f"{text} is the beginning of {len(found)} ids; give more of it.")
    return found.pop() if found else text


class _Lists:
    """The things of each kind, asked for when they are first needed."""

    def __init__(self, calls: AdminCalls) -> None:
        self._calls = calls
        self._listed: dict[str, Sequence[View]] = {}

    async def of(self, kind: str) -> Sequence[View]:
        if kind not in self._listed:
            self._listed[kind] = await self._ask(kind)
        return self._listed[kind]

    async def _ask(self, kind: str) -> Sequence[View]:
        match kind:
            case "team":
                return await self._calls.teams()
            case "user":
                return await self._calls.users()
            case "key":
                return await self._calls.keys()
        held = await self._calls.jobs(status="held", team=None, count=SEARCHED_JOBS)
        return [*held, *await self._calls.jobs(status=None, team=None, count=SEARCHED_JOBS)]


async def _whole(lists: _Lists, text: str) -> str:
    """The only id that begins so; the text itself when there is none."""
    kind = ID.fullmatch(text)
    if kind is None or not LEAST_DIGITS <= len(kind[2]) < WHOLE_DIGITS:
        return text
    return only_id(text, await lists.of(kind[1]))


async def _owner(lists: _Lists, text: str, kinds: Sequence[str]) -> str:
    """The id of a team or a user; a name may look like the beginning of an id, as `team_a` does."""
    form = ID.fullmatch(text)
    is_id = form is not None and form[1] in kinds
    if is_id:
        whole = await _whole(lists, text)
        if whole != text or len(text.partition("_")[2]) == WHOLE_DIGITS:
            return whole
    elif text == GATEWAY and len(kinds) > 1:
        return text
    owners = [one for kind in kinds for one in await lists.of(kind)]
    found = _named(text, owners)
    if len(found) == 1:
        return str(found[0]["id"])
    if is_id and not found:
        return text
    raise Failure(_why_not_one(text, kinds, found))


def _named(name: str, owners: Sequence[View]) -> Sequence[View]:
    """Those of this name: as it is written, or else in any case."""
    exact = [view for view in owners if view["name"] == name]
    return exact or [view for view in owners if str(view["name"]).casefold() == name.casefold()]


def _why_not_one(name: str, kinds: Sequence[str], found: Sequence[View]) -> str:
    if not found:
        nobody = "Nobody" if len(kinds) > 1 else f"No {kinds[0]}"
        lists = " and ".join(f"`filmgate {kind}s list`" for kind in kinds)
        return f"{nobody} is called {name}: {lists} {'show' if len(kinds) > 1 else 'shows'} names and ids."
    ids = first_of([str(view["id"]) for view in found], MOST_NAMED)
    return f"{len(found)} {' and '.join(f'{kind}s' for kind in kinds)} are called {name}; give an id: {ids}."
