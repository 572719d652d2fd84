"""The administration in a browser: people, keys and limits, the state of the gateway, and the audit log."""

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.clients.accessible import assert_accessible
from tests.e2e.clients.browser import new_page
from tests.e2e.clients.customers import Customers
from tests.e2e.clients.steps import Steps
from tests.e2e.clients.visitors import sign_in, trusting
from tests.support.stack import ADMIN_KEY
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

TEAM, COLLEAGUE, RENAMED = "Trailers", "Grace", "Grace Hopper"
OTHERS = ["Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gita", "Hugo", "Ines", "Jan"]
REASON = "The invoice is being checked."


async def add_team(page: Page) -> None:
    """From the list of teams: a team with nobody in it."""
    await page.get_by_role("button", name="Add a team").click()
    await page.get_by_role("button", name="Add the team").click()
    await page.get_by_text("A name is 1 to 100 printable characters.").wait_for()
    await page.get_by_label("Name").fill(TEAM)
    await page.get_by_role("button", name="Add the team").click()
    await page.get_by_role("heading", name=TEAM).wait_for()
    await page.get_by_text("Nobody is in this team yet").wait_for()


async def add_colleague(page: Page) -> str:
    """From an empty team: a user with $50 a month and the key, which is shown once."""
    steps = Steps()
    await steps.press(page.get_by_role("button", name="Add users"))
    await steps.type(page.get_by_label("Name"), COLLEAGUE)
    await page.get_by_text("$50 a month. It begins anew on the first of the month").wait_for()
    await steps.press(page.get_by_role("radio", name="A key"))
    await steps.press(page.get_by_role("button", name="Add the user"))
    key = await page.locator("#shown-once").inner_text()
    await steps.press(page.get_by_role("button", name="Copy the key"))
    steps.tell("a colleague's key with $50 a month")
    await page.get_by_role("button", name="I have kept it").click()
    await expect(page.get_by_role("region", name=COLLEAGUE)).to_contain_text("$50.00 left this month")
    return key


async def look_at_a_menu_on_a_phone(page: Page) -> None:
    """All of it is in sight; Escape closes it, and the button has the focus again."""
    await page.set_viewport_size({"width": 390, "height": 900})
    more = page.get_by_label(f"More about {COLLEAGUE}")
    await more.click()
    box = await page.locator(".menu[open] ul").bounding_box()
    assert box is not None
    assert 0 <= box["x"] < box["x"] + box["width"] <= 390
    await page.keyboard.press("Escape")
    await expect(page.locator(".menu[open]")).to_have_count(0)
    await expect(more).to_be_focused()
    await page.set_viewport_size({"width": 1440, "height": 900})


async def add_ten(page: Page) -> str:
    """Ten more at once, with $50 each and a link each; the link of the first. Nobody is added twice."""
    await page.get_by_role("button", name="Add users").click()
    await page.get_by_label("Name").fill("\n".join([*OTHERS, COLLEAGUE]))
    await page.get_by_role("button", name="Add 11 users").click()
    await page.get_by_text(f"{COLLEAGUE}: there is somebody of this name in {TEAM}").wait_for()
    await assert_accessible(page, "the form for several users")
    await page.get_by_role("button", name="Cancel").click()

    steps = Steps()
    await steps.press(page.get_by_role("button", name="Add users"))
    await steps.type(page.get_by_label("Name"), "\n".join(OTHERS))
    await steps.press(page.get_by_role("button", name="Add 10 users"))
    given = page.get_by_role("list", name="What each got").get_by_role("listitem")
    await expect(given).to_have_count(len(OTHERS))
    await steps.press(page.get_by_role("button", name="Copy all, with names"))
    steps.tell("ten colleagues with $50 a month")
    await assert_accessible(page, "links of several users")
    link = await given.first.locator("code").inner_text()
    await page.get_by_role("button", name="I have kept it").click()
    for name in OTHERS:
        await expect(page.get_by_role("region", name=name)).to_contain_text("$50.00 left this month")
        await expect(page.get_by_role("list", name=f"Open invitations of {name}")).to_be_visible()
    return link


async def look_for(page: Page) -> None:
    """One of eleven by a part of the name, by keys alone; nobody; and by the id. The address has it."""
    people, hugo = page.locator(".team > .user"), OTHERS[7]
    await expect(people).to_have_count(len(OTHERS) + 1)
    await page.keyboard.press("/")
    await expect(page.get_by_label("Name, or a user's id")).to_be_focused()
    await page.keyboard.type(hugo[:3].upper())
    await expect(people).to_have_count(1)
    await expect(people).to_contain_text(hugo)
    await expect(page.get_by_role("status").filter(has_text="1 of 11 users")).to_be_visible()
    await page.reload()
    await expect(people).to_have_count(1)
    await assert_accessible(page, "people who were looked for")
    await page.get_by_label(f"More about {hugo}").click()
    jobs = (
        await page.locator(".menu[open]").get_by_role("link", name="Jobs of this user").get_attribute("href") or ""
    )
    await page.keyboard.press("Escape")
    await page.get_by_label("Name, or a user's id").fill("Nemo")
    await page.get_by_role("button", name="Show everybody").click()
    await expect(people).to_have_count(len(OTHERS) + 1)
    await page.get_by_label("Name, or a user's id").fill(jobs.partition("user=")[2])
    await expect(people).to_have_count(1)
    await page.get_by_label("Name, or a user's id").fill("")
    await expect(people).to_have_count(len(OTHERS) + 1)


async def choose(page: Page, of: str, what: str) -> None:
    """One of the further actions, behind the button with the dots."""
    await page.get_by_label(f"More about {of}").click()
    await page.get_by_role("listitem").get_by_role("button", name=what).locator("visible=true").click()


async def accept(page: Page, customers: Customers, link: str) -> str:
    """The key that the colleague gets by the link, in a browser that knows nobody."""
    browser = page.context.browser
    assert browser is not None
    context = await browser.new_context()
    try:
        theirs = await context.new_page()
        await theirs.goto(f"{customers.installation.serve.url}/invite#{link.partition('#')[2]}")
        await theirs.get_by_role("button", name="Get my key").click()
        return await theirs.locator("#new-key").inner_text()
    finally:
        await context.close()


async def refused(customers: Customers, key: str) -> bool:
    """Whether the key opens nothing."""
    reply = await customers.web.get("/v1/me", headers={"Authorization": f"Bearer {key}"})
    return bool(reply.status_code == 401)


async def test_an_administrator_brings_colleagues_in_and_runs_the_gateway(customers: Customers) -> None:
    """A team, eleven users with $50 a month, limits, keys that are replaced and revoked, names, an end; a pause."""
    async with new_page(trusting(customers)) as page:
        await sign_in(page, customers, ADMIN_KEY)
        await page.get_by_role("link", name="Administration").click()
        await add_team(page)
        key = await add_colleague(page)
        assert not await refused(customers, key)
        await assert_accessible(page, "people")
        await look_at_a_menu_on_a_phone(page)
        invited = await accept(page, customers, await add_ten(page))
        assert not await refused(customers, invited)

        await page.reload()
        await look_for(page)
        user = page.get_by_role("region", name=COLLEAGUE)
        await user.get_by_role("button", name="Limits").click()
        await expect(page.get_by_label("Amount")).to_have_value("50.00")
        await page.get_by_label("Amount").fill("60")
        await page.get_by_role("button", name="Set these limits").click()
        await expect(user).to_contain_text("$60.00 left this month")
        await raise_and_end(page, user)
        keys = page.get_by_role("list", name=f"Keys of {COLLEAGUE}")
        await keys.get_by_role("button", name="Replace").click()
        await page.get_by_label("The old key still works for").select_option("3600")
        await page.get_by_role("button", name="Make the new key").click()
        await page.get_by_text("works until").wait_for()
        new = await page.locator("#shown-once").inner_text()
        await page.get_by_role("button", name="I have kept it").click()
        assert not await refused(customers, new)
        assert not await refused(customers, key)
        await keys.filter(has_text="replaced").get_by_role("button", name="End it now").click()
        await page.get_by_role("button", name="Revoke it").click()
        await page.get_by_text("The key is revoked.").wait_for()
        await wait_until(lambda: refused(customers, key), "the old key opens nothing")
        await rename_and_delete(page)
        await wait_until(lambda: refused(customers, new), "a deleted user's key opens nothing")
        await limit_the_gateway(page)
        await run_the_gateway(page)
        await delete_the_team(page)
        await wait_until(lambda: refused(customers, invited), "a deleted team's key opens nothing")


async def raise_and_end(page: Page, user: Locator) -> None:
    """$80 for a week, and back; the page says until when, and that setting limits would end it."""
    await choose(page, COLLEAGUE, "Raise a limit")
    await page.get_by_label("The higher amount").fill("80")
    await page.get_by_text("then $60.00 a month again").wait_for()
    await assert_accessible(page, "a raise")
    await page.get_by_role("button", name="Raise it").click()
    await expect(user).to_contain_text("$80.00 left this month")
    await expect(user).to_contain_text("Raised from $60.00; it ends in")
    await user.get_by_role("button", name="Limits").click()
    await page.get_by_text("Setting limits ends that").wait_for()
    await page.get_by_role("button", name="Set these limits").click()
    await expect(user).to_contain_text("$60.00 left this month")


async def rename_and_delete(page: Page) -> None:
    """Another name; then the user ends, when the name is typed."""
    await choose(page, COLLEAGUE, "Rename")
    await page.get_by_label("Name", exact=True).fill(RENAMED)
    await page.get_by_role("button", name="Rename", exact=True).click()
    await page.get_by_role("region", name=RENAMED).wait_for()
    await choose(page, RENAMED, "Delete the user")
    await assert_accessible(page, "the question before an end")
    end = page.get_by_role("button", name="Delete the user", exact=True)
    await page.get_by_label(f"Type {RENAMED} to confirm").fill(COLLEAGUE)
    await expect(end).to_have_attribute("aria-disabled", "true")
    await page.get_by_label(f"Type {RENAMED} to confirm").fill(RENAMED)
    await end.click()
    await page.get_by_text(f"{RENAMED} is deleted.").wait_for()
    await expect(page.get_by_role("region", name=RENAMED)).to_have_count(0)


async def delete_the_team(page: Page) -> None:
    """Its name has to be typed; then it is in no list."""
    await page.get_by_role("link", name="People and keys").click()
    teams = page.get_by_role("region", name="Teams")
    await teams.get_by_role("link", name=TEAM, exact=True).click()
    await choose(page, f"the team {TEAM}", "Delete the team")
    await page.get_by_text(f"Its {len(OTHERS)} users are deleted").wait_for()
    await page.get_by_label(f"Type {TEAM} to confirm").fill(TEAM)
    await page.get_by_role("button", name="Delete the team", exact=True).click()
    await page.get_by_text(f"{TEAM} is deleted.").wait_for()
    await expect(teams.get_by_role("link", name=TEAM, exact=True)).to_have_count(0)


async def limit_the_gateway(page: Page) -> None:
    """The limits of all teams together: set, seen, and taken away."""
    await page.get_by_role("link", name="Gateway's limits").click()
    limits = page.get_by_role("region", name="Limits of the whole gateway")
    await limits.get_by_role("button", name="Set a limit").click()
    await page.get_by_role("button", name="Add a limit").click()
    await page.get_by_label("Amount").fill("1000000")
    await page.get_by_text("on the first of the month, in UTC").wait_for()
    await page.get_by_role("button", name="Set these limits").click()
    await expect(limits).to_contain_text("$1000000.00 a month")
    await assert_accessible(page, "the gateway's limits")
    await limits.get_by_role("button", name="Change the limits").click()
    await page.get_by_role("button", name="Take this limit away").click()
    await page.get_by_role("button", name="Set these limits").click()
    await expect(limits).to_contain_text("Nothing limits all teams together")


async def run_the_gateway(page: Page) -> None:
    """Pause with a reason, resume; then the audit log, which has both, is checked."""
    await page.get_by_role("link", name="Status").click()
    buying = page.get_by_role("region", name="Buying")
    await buying.get_by_role("button", name="Pause …").click()
    await page.get_by_role("button", name="Pause buying").click()
    await page.get_by_text("Give a reason").wait_for()
    await page.get_by_label("Reason").fill(REASON)
    await page.get_by_role("button", name="Pause buying").click()
    try:
        await expect(buying).to_contain_text(REASON)
        await expect(buying).to_contain_text("Paused by administrator, just now")
        await expect(page.get_by_role("region", name="Workers").locator("dd").first).to_have_text("1")
        await assert_accessible(page, "the status")
    finally:
        await buying.get_by_role("button", name="Resume …").click()
        await page.get_by_role("button", name="Resume buying").click()
        await expect(buying).not_to_contain_text(REASON)
    await page.get_by_role("link", name="Audit log").click()
    log = page.get_by_role("region", name="The audit log")
    await expect(log).to_contain_text(REASON)
    await log.locator("span[title^=team_]").first.wait_for()  # a team by name, its id on hover
    await expect(log).not_to_contain_text("null")
    await page.get_by_role("button", name="Check it").click()
    await page.get_by_text("Intact: all").wait_for()
