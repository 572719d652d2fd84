"""The administrator: a client with the administrator's key, and helpers that create accounts with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.callers import calling
from tests.support.stack import ADMIN_KEY, Stack

NEVER = "0" * 32  # the random part of an id that was never given out
CANARY = "kan4rie-vogel"  # part of bad input; must be in no reply
ABSENT = object()  # a member that is omitted


class Administrator:
    """Calls of the admin API; `made` and the like expect success and return the reply's document."""

    def __init__(self, api: httpx.AsyncClient) -> None:
        self.api = api

    async def call(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        """One call; `path` is below /v1/admin/."""
        sent = {} if body is None else {"json": body}
        return await self.api.request(method, f"/v1/admin/{path.removeprefix('/')}", params=query, **sent)

    async def done(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """One call that succeeds; its document, or None."""
        reply = await self.call(method, path, body, **query)
        assert reply.status_code == {"POST": 201, "DELETE": 204}.get(method, 200), reply.text
        return reply.json() if reply.content else None

    async def team(self, name: str = "a team", **more: Any) -> dict[str, Any]:
        """A new team."""
        made: dict[str, Any] = await self.done("POST", "teams", {"name": name, **more})
        return made

    async def user(self, team: str, name: str = "a user", **more: Any) -> dict[str, Any]:
        """A new user."""
        made: dict[str, Any] = await self.done("POST", "users", {"team": team, "name": name, **more})
        return made

    async def key(self, user: str, **more: Any) -> dict[str, Any]:
        """A new key."""
        made: dict[str, Any] = await self.done("POST", "keys", {"user": user, **more})
        return made

    async def audit(self) -> list[dict[str, Any]]:
        """The audit log's last hundred lines, newest first."""
        lines: list[dict[str, Any]] = (await self.done("GET", "audit", limit=100))["data"]
        return lines


@asynccontextmanager
async def administrator(stack: Stack) -> AsyncIterator[Administrator]:
    """The administrator of a stack."""
    async with calling(stack, ADMIN_KEY) as api:
        yield Administrator(api)


Call = tuple[str, str, Any, str]  # method, path, body, pointer


async def assert_refused(admin: Administrator, stack: Stack, *calls: Call) -> None:
    """Each call is 422 with its pointer, and changes nothing; `{team}` and `{user}` in a path are the account's."""
    ids = {"team": stack.account.team.id, "user": stack.account.user.id}
    async with nothing_changes(stack):
        replies = [await admin.call(method, path.format(**ids), body) for method, path, body, _ in calls]
    for reply, (_, _, _, pointer) in zip(replies, calls, strict=True):
        problem = assert_problem(reply, 422, "invalid_input", secret=CANARY)
        assert pointer in [error["pointer"] for error in problem["errors"]], problem["errors"]
        assert "Body" not in reply.text, "a class of ours is named"
