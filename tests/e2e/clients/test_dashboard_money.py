"""The money in a browser: what is left of a budget, what was spent on which day, and the file of it."""

import asyncio
import csv
import io
from datetime import date, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from app.domain.accounts import USER_SCOPES, Scope
from app.domain.ids import new_id
from app.domain.limits import Limit, Unit, Window
from app.domain.times import iso
from tests.e2e.clients.accessible import assert_accessible
from tests.e2e.clients.browser import new_page
from tests.e2e.clients.customers import Customers
from tests.e2e.clients.test_dashboard import DOLLARS
from tests.e2e.clients.visitors import give_key, own_gateway, sign_in, trusting
from tests.support.accounts import new_account
from tests.support.stack import ADMIN_KEY
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

MINUS = "\N{MINUS SIGN}"
OTHERS = 20  # as many as a page of users has


async def open_money(page: Page) -> None:
    """From wherever one is."""
    await page.get_by_role("link", name="Money", exact=True).click()
    await page.get_by_role("heading", name="Money", level=1).wait_for()


async def make_a_clip(customers: Customers, key: str) -> None:
    """One clip of $1.40 and five seconds, to its end."""
    headers = {"Authorization": f"Bearer {key}"}
    reply = await customers.web.post(
        "/v1/jobs", json={"input": customers.input(customers.prompt())}, headers=headers
    )
    assert reply.status_code == 202, reply.text
    job = f"/v1/jobs/{reply.json()['id']}"

    async def made() -> bool:
        return bool((await customers.web.get(job, headers=headers)).json()["status"] == "succeeded")

    await wait_until(made, "the clip is made", timeout=30)


async def new_team(customers: Customers, name: str) -> tuple[str, str]:
    """A key of Ada, who may spend $2 a month and see the team's other users; and today's date."""
    async with own_gateway(customers) as gateway:
        people = gateway.administration
        team = await people.add_team("test", name=name)
        limits = [Limit(Unit.JOBS, Window.DAY, 100), Limit(Unit.USD, Window.MONTH, 2 * DOLLARS)]
        user = await people.add_user("test", team=team.id, name="Ada", limits=limits)
        for number in range(OTHERS):
            await people.add_user("test", team=team.id, name=f"Other {number}")
        made = await people.add_key("test", user=user.id, scopes=USER_SCOPES | {Scope.TEAM_READ})
        return made.key, iso(await gateway.stores.clock.now_ms())[:10]


async def test_money_shows_what_is_left_what_was_spent_on_which_day_and_by_whom(customers: Customers) -> None:
    """A limit of $2 a month, one clip of $1.40: budget, chart, table, CSV; the team's users; all teams."""
    team_name = new_id("money")
    key, today = await new_team(customers, team_name)
    async with new_page(trusting(customers)) as page:
        await sign_in(page, customers, key)
        await open_money(page)
        usage = page.get_by_role("region", name="Usage", exact=True)
        await expect(usage).to_contain_text("Nothing was spent in this period")
        await assert_accessible(page, "money without usage")
        await make_a_clip(customers, key)
        await usage.get_by_role("radio", name="7 days").check()
        await expect(usage.locator(".chart-day")).to_have_count(7)
        await page.reload()
        await expect(usage.locator(".chart-day")).to_have_count(7)  # the address has the period
        bar = usage.locator(f"[data-day='{today}']")
        await expect(bar.locator("title")).to_contain_text("$1.40")
        await expect(bar.locator("rect:not(.chart-hover)")).to_have_count(1)
        row = usage.locator("tbody tr")
        await expect(row).to_have_count(1)
        await expect(row).to_contain_text(f"{date.fromisoformat(today):%-d %B}")
        assert "$1.40" in await row.locator("td").all_text_contents()
        budget = page.locator(".budget").first
        await expect(budget).to_contain_text("Your $2.00 a month")
        await expect(budget).to_contain_text("$0.60 left this month")
        await expect(budget).to_contain_text("More than half is used or set aside.")
        await expect(budget.locator(".bar i")).to_have_count(2)
        await expect(page.locator(".limit")).to_contain_text("$0.60 left this monthof your $2.00 a month")
        await assert_accessible(page, "money with usage")
        await assert_file(page, usage, today)
        await usage.get_by_role("radio", name="User").check()
        await expect(row).to_contain_text("Ada")
        await page.wait_for_url("**/money?period=7&group=user")

        others = page.locator(".people > li")
        await expect(others).to_have_count(OTHERS)
        await page.get_by_role("button", name="Show more users").click()
        await expect(others).to_have_count(OTHERS + 1)
        await expect(others.filter(has_text="Ada")).to_contain_text("$0.60 left this month of $2.00 a month")
        await page.get_by_label("Name, or a user's id").fill("other 19")
        await expect(others).to_have_text(["Other 19No limits of their own; the team's apply."])
        await page.wait_for_url("**&text=other+19")
        await page.get_by_label("Name, or a user's id").fill("")
        await expect(others).to_have_count(OTHERS)
        await assert_every_measure(usage, today, ["Day", "Model", "User", "Key"])
        await page.get_by_role("button", name="Sign out").click()

        await give_key(page, ADMIN_KEY)
        await usage.get_by_role("radio", name="Team", exact=True).check()
        await expect(usage.locator("tbody tr", has_text=team_name)).to_contain_text("$1.40")
        await see_a_team(page, team_name, today)


async def assert_every_measure(usage: Locator, today: str, groups: list[str]) -> None:
    """One clip of $1.40 and five seconds in every grouping, and by every measure in the chart and its bars."""
    for group in groups:
        await usage.get_by_role("radio", name=group, exact=True).check()
        row = usage.locator("tbody tr")
        await expect(usage.locator("thead th").first).to_have_text(group)
        await expect(row).to_have_count(1)
        if group == "Model":
            await expect(row.locator("th")).to_have_text("Kling 2.0 Master")
        assert (await row.locator("td").all_text_contents())[-3:] == ["$1.40", "1", "5"]
        await expect(row.locator(".sums-share")).to_have_count(int(group != "Day"))
    for measure, amount in (("Jobs", "1 job"), ("Seconds", "5 s"), ("Dollars", "$1.40")):
        await usage.get_by_role("radio", name=measure, exact=True).check()
        await expect(usage.locator(f"[data-day='{today}'] title")).to_contain_text(f": {amount}, ")
        assert amount in (await usage.locator("svg[role=img]").get_attribute("aria-label") or "")


async def see_a_team(page: Page, team_name: str, today: str) -> None:
    """One team for the administrator: its usage, its users, its ledger; a credit, a correction, the file."""
    await page.get_by_label("Whose").select_option(team_name)
    usage = page.get_by_role("region", name="Usage", exact=True)
    await expect(usage.get_by_role("heading")).to_have_text(f"Usage of {team_name}")
    await assert_every_measure(usage, today, ["Model", "Key"])
    await expect(page.get_by_role("region", name="Budgets")).to_contain_text("no limit of its own")
    await expect(page.locator(".people > li")).to_have_count(OTHERS)
    ledger = page.get_by_role("region", name="Ledger", exact=True)
    lines = ledger.locator("tbody tr")
    await expect(lines).to_have_count(2)
    await expect(lines.first).to_contain_text("Charged")
    await expect(lines.last).to_contain_text("Set aside")
    await expect(lines.first).to_contain_text("Ada")
    job = await lines.first.get_by_role("link").get_attribute("href")
    assert job is not None

    await ledger.get_by_role("button", name="Credit …").click()
    await page.get_by_label("Dollars that the team may spend more").fill("25.00")
    await page.get_by_label("Reason").fill("spring campaign")
    await assert_accessible(page, "a credit")
    await page.get_by_role("button", name="Go on").click()
    credit = page.get_by_role("button", name="Credit it")
    await page.get_by_label("Type 25.00 to confirm").fill("2500")
    await expect(credit).to_have_attribute("aria-disabled", "true")
    await page.get_by_label("Type 25.00 to confirm").fill("25.00")
    await credit.click()
    await expect(lines.first).to_contain_text("Creditedspring campaign+$25.00administrator")

    await ledger.get_by_role("button", name="Correct …").click()
    await page.get_by_label("Job", exact=True).fill(job.rpartition("/")[2])
    await page.get_by_label("Dollars that it really cost").fill("0.70")
    await page.get_by_label("Reason").fill("fal gave half back")
    await page.get_by_role("button", name="Go on").click()
    await page.get_by_label("Type 0.70 to confirm").fill("0.70")
    await page.get_by_role("button", name="Correct it").click()
    await expect(lines.first).to_contain_text(f"Correctedfal gave half back{MINUS}$0.70Ada")
    await assert_accessible(page, "a team's money")
    await page.get_by_label("Span").select_option("This month")
    await page.wait_for_url("**&ledger=month")
    await expect(lines).to_have_count(4)
    rows = await saved_rows(page, ledger, "ledger-")
    assert [row["type"] for row in rows] == ["reserve", "settle", "credit", "correction"]
    assert {row["user_name"] for row in rows} == {"Ada", ""}


async def test_a_key_that_may_not_read_usage_sees_why_and_its_limits_all_the_same(customers: Customers) -> None:
    """The API's sentence and a next step; without limits the page says so."""
    async with own_gateway(customers) as gateway:
        account = await new_account(gateway.administration, team_name=new_id("money"), user_name="one")
        scopes = frozenset({Scope.JOBS_WRITE})
        key = (await gateway.administration.add_key("test", user=account.user.id, scopes=scopes)).key
    async with new_page(trusting(customers)) as page:
        await sign_in(page, customers, key)
        await open_money(page)
        usage = page.get_by_role("region", name="Usage", exact=True)
        await expect(usage.get_by_role("alert")).to_contain_text("jobs:read")
        await expect(usage.get_by_role("button", name="Try again")).to_be_visible()
        await expect(page.get_by_role("region", name="Budgets")).to_contain_text("Nothing limits what you spend.")
        await assert_accessible(page, "money without usage to see")


async def saved_rows(page: Page, part: Locator, name: str) -> list[dict[str, str]]:
    """The rows of the file of CSV that the button saves."""
    async with page.expect_download() as saving:
        await part.get_by_role("button", name="Download CSV").click()
    saved = await saving.value
    assert saved.suggested_filename.startswith(name)
    text = await asyncio.to_thread(Path(await saved.path()).read_text, "utf-8")
    return list(csv.DictReader(io.StringIO(text)))


async def assert_file(page: Page, usage: Locator, today: str) -> None:
    """The button saves the table as it is shown."""
    rows = await saved_rows(
        page, usage, f"usage-{(date.fromisoformat(today) - timedelta(days=6)).isoformat()}-by-day"
    )
    assert [one["day"] for one in rows] == [today]
    assert {rows[0]["spent_usd"], rows[0]["held_usd"]} == {"1.40", "0.00"}
