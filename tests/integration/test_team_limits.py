"""What is left to a team's users: for whoever may see the team, and for the administrator."""

import pytest

from app.domain.accounts import USER_SCOPES, Scope
from tests.integration.admin import Administrator
from tests.integration.refusals import assert_problem
from tests.support.callers import another_key, calling, colleague
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
CENTS = {"unit": "usd", "window": "month", "amount": "5.00"}
CLIPS = {"unit": "jobs", "window": "day", "amount": 3}


async def test_a_team_and_the_administrator_see_what_is_left_to_each_user(
    admin: Administrator, stack: Stack
) -> None:
    """Used, held, left and the limit that refuses first, by pages; a user without the scope sees nobody's."""
    own, team = stack.account.user.id, stack.account.team.id
    other = (await colleague(stack)).record.user
    await admin.done("PUT", f"users/{own}/limits", [CENTS, CLIPS])
    await admin.done("PUT", "limits", [{**CENTS, "amount": "3.00"}])
    await stack.submit()
    for method, path in (("GET", "/v1/team/users"), ("GET", f"/v1/admin/teams/{team}/users")):
        assert_problem(await stack.api.request(method, path), 403, "forbidden")
    month = {"owner": "user", "unit": "usd", "window": "month"}
    money = {**month, "amount": "5.00", "used": "0.00", "held": "1.40", "left": "3.60"}
    reader = await another_key(stack, scopes=USER_SCOPES | {Scope.TEAM_READ})
    async with calling(stack, reader.key) as api:
        first = (await api.get("/v1/team/users?limit=1")).json()
        assert first["has_more"] is True
        last = (await api.get(f"/v1/team/users?limit=1&cursor={first['next_cursor']}")).json()
        assert (last["next_cursor"], last["has_more"]) == (None, False)
        for text, found in (("LEAG Col", [other]), (own, [own]), ("user_", [own, other]), ("nobody", [])):
            page = (await api.get("/v1/team/users", params={"text": text, "limit": "100"})).json()
            assert [one["id"] for one in page["data"]] == found, text
    (ours,), (theirs,) = first["data"], last["data"]
    assert theirs == {"id": other, "name": "colleague", "limits": [], "tightest": None}
    assert (ours["id"], ours["name"]) == (own, "tester")
    assert [(one["unit"], one["held"], one["left"]) for one in ours["limits"]] == [
        ("jobs", 1, 2),
        ("usd", "1.40", "3.60"),
    ]
    assert {**ours["tightest"], **money} == ours["tightest"]
    assert ours["tightest"]["resets_at"].endswith("Z")
    assert (await admin.done("GET", f"teams/{team}/users"))["data"] == [ours, theirs]
    assert (await admin.done("GET", f"teams/{team}/users", text="tester"))["data"] == [ours]
    mine = (await stack.api.get("/v1/me")).json()["tightest"]
    assert (mine["owner"], mine["left"]) == ("gateway", "1.60")
