"""The page in a browser, as a person goes through it: from the first visit to a clip that plays."""

import json
from pathlib import Path

import pytest
from playwright.async_api import Route, expect

from app.domain.limits import Limit, Unit, Window
from tests.e2e.clients.accessible import assert_accessible
from tests.e2e.clients.browser import new_page
from tests.e2e.clients.customers import Customers
from tests.e2e.clients.visitors import give_key, refused_reads, sign_in, trusting
from tests.support.pictures import encoded

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

SHOWN = "all => all.map(one => one.complete && one.naturalWidth > 0)"
DOLLARS = 1_000_000
# The fewest dollars left, though a smaller share of the team's is; and what gets room again by itself comes last.
FIRST_TO_REFUSE = """async () => {
    const { firstToRefuse } = await import("/static/views/playground/quote.js");
    const month = { unit: "usd", window: "month" };
    const team = { ...month, owner: "team:studio", amount: "120.00", left: "70.00" };
    const user = { ...month, owner: "user:aiko", amount: "50.00", left: "41.32" };
    const present = { unit: "jobs", window: "concurrent", owner: "team:other", amount: 4, left: 2 };
    const first = limits => firstToRefuse({ limits, quoted_usd: "1.40", video_seconds: 5 }, 1).owner;
    return [first([present, team, user]), first([present, team])];
}"""


async def test_from_the_first_visit_to_a_clip_that_plays(customers: Customers) -> None:
    """The price comes before the order; takes show how far they are, and play when they are ready."""
    prompt = customers.prompt().strip()
    async with new_page(trusting(customers)) as page:
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if "Policy" in message.text else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        refused = refused_reads(page)
        await sign_in(page, customers, "fg_nothing")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Clips from pictures")
        await expect(page.locator("#key-fault")).to_contain_text("key")
        await page.get_by_text("Where do I get a key?").click()
        await page.get_by_text("prints one when it starts").wait_for()

        await give_key(page, customers.key)
        await page.get_by_text("nothing costs money").wait_for()
        await page.get_by_role("button", name="Try a sample").first.click()
        await expect(page.locator(".preview img")).to_have_count(1)
        await page.fill("#input-prompt", prompt)
        await expect(page.locator("#order")).to_have_text("Make clip for $1.40")
        await page.locator(".order-row label", has_text="2").click()
        await expect(page.locator("#order")).to_have_text("Make 2 clips for $2.80")

        await page.get_by_role("button", name="The same call as code").click()
        for name in ("curl", "Python, fal-client", "Python, httpx", "JavaScript, fal-js", "JavaScript, fetch"):
            await page.get_by_role("tab", name=name).click()
            code = await page.locator(".snippet code").inner_text()
            assert prompt in code
            assert customers.key not in code
        await page.keyboard.press("Escape")

        customers.takes.add(prompt)
        await page.locator("#order").click()
        await page.get_by_role("progressbar").first.wait_for()
        await page.get_by_text("Being made").first.wait_for()
        await expect(page.locator(".take[data-status=succeeded] video")).to_have_count(2, timeout=30_000)
        await expect(page.locator(".take .note", has_text="$1.40 charged")).to_have_count(2)
        await page.locator(".take video").first.evaluate(
            "clip => new Promise(done => clip.addEventListener('timeupdate', done))"
        )
        await expect(page).to_have_title("Ready · Filmgate")
        assert await page.get_by_role("link", name="Download").first.get_attribute("href")

        ready = page.locator(".take[data-status=succeeded]")
        for number in range(2):
            await ready.nth(number).get_by_role("button", name="Compare", exact=True).click()
        await page.get_by_text("Both were made from the same input.").wait_for()
        await assert_accessible(page, "two clips side by side")
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Sign out").click()
        await page.locator("#key").wait_for()
        assert prompt not in await page.content()
        assert complaints == []
        assert refused == []


async def test_what_cannot_be_ordered_says_so_before_anybody_presses(customers: Customers) -> None:
    """Whose limit it is, what is left of it, and when it begins anew; the button is off."""
    key = await customers.limited(Limit(Unit.USD, Window.MONTH, 2 * DOLLARS))
    async with new_page(trusting(customers)) as page:
        await sign_in(page, customers, key)
        await page.get_by_role("button", name="Try a sample").first.click()
        await expect(page.locator("#order-facts")).to_contain_text(
            "Then $0.60 left this month of your $2.00 a month."
        )
        await page.locator(".order-row label", has_text="2").click()
        await expect(page.locator("#order")).to_have_attribute("aria-disabled", "true")
        await expect(page.locator("#order-facts .fault")).to_contain_text(
            "and this needs $2.80. It begins anew on 1 "
        )
        await expect(page.locator("#order-facts")).not_to_contain_text("start")
        assert await page.evaluate(FIRST_TO_REFUSE) == ["user:aiko", "team:studio"]
        await expect(page.locator(".limit")).to_contain_text("$2.00 left this month")
        await page.fill("#input-prompt", "word " * 600)  # nothing of it is cut off
        await page.get_by_text("3000 of 2500").wait_for()
        await expect(page.locator("#input-prompt-fault")).to_contain_text("2500")


async def test_a_lost_answer_is_asked_for_again_and_buys_nothing_twice(customers: Customers) -> None:
    """The first answer never arrives: the page says what to do, and the next press sends the same key."""
    prompt, sent = customers.prompt().strip(), list[str]()

    async def lose_the_first(route: Route) -> None:
        key = route.request.headers["idempotency-key"]
        sent.append(key)
        if len(sent) > 1:
            return await route.continue_()
        order = json.loads(route.request.post_data or "")
        await customers.web.post("/v1/jobs", json=order, headers={"Idempotency-Key": key})
        return await route.abort()

    async with new_page(trusting(customers)) as page:
        await sign_in(page, customers, customers.key)
        await page.get_by_role("button", name="Try a sample").first.click()
        await page.fill("#input-prompt", prompt)
        await page.route("**/v1/jobs", lose_the_first)
        await expect(page.locator("#order")).to_have_text("Make clip for $1.40")
        await page.click("#order")
        await page.get_by_text("the same order is never made twice").wait_for()
        await page.click("#order")
        await expect(page.locator(".take-prompt")).to_have_text(prompt)
        assert len(sent) == 2
        assert sent[0] == sent[1]


async def test_what_the_page_has_never_seen_is_text_and_a_field_for_json(customers: Customers) -> None:
    """A member of a new kind, and markup as a title, as a newer gateway or a careless operator could have them."""

    async def with_news(route: Route) -> None:
        models = (await customers.web.get("/v1/models")).json()
        for model in models["data"]:
            model["title"] = "<img src=x onerror=alert(1)>"
            model["input"]["properties"]["hologram"] = {"type": "tensor", "description": "<b>What</b> glows."}
        await route.fulfill(json=models)

    async with new_page(trusting(customers)) as page:
        await page.route("**/v1/models", with_news)
        await sign_in(page, customers, customers.key)
        await expect(page.locator("#model b")).to_have_text("<img src=x onerror=alert(1)>")
        await page.click(".advanced summary")
        await expect(page.locator("#input-hologram-note")).to_have_text("As JSON. <b>What</b> glows.")
        await page.fill("#input-hologram", '{"depth": [1,')
        await expect(page.locator("#input-hologram-fault")).to_have_text("This is not JSON yet.")
        await page.fill("#input-hologram", '{"depth": [1]}')
        await page.get_by_role("button", name="The same call as code").click()
        await expect(page.locator(".snippet code")).to_contain_text('"depth": [')


async def test_a_phones_photograph_is_taken_by_the_page(customers: Customers, tmp_path: Path) -> None:
    """The file is offered and uploaded; its note names both kinds, and no broken picture is shown."""
    photo = tmp_path / "IMG_0001.HEIC"
    photo.write_bytes(encoded("HEIF"))
    async with new_page(trusting(customers)) as page:
        await sign_in(page, customers, customers.key)
        choose = page.locator("#input-image_url-file")
        assert ".heic" in str(await choose.get_attribute("accept"))
        await choose.set_input_files(photo)
        await page.get_by_text("IMG_0001.HEIC, 640 × 480, converted from HEIC to JPEG").wait_for()  # noqa: RUF001  the page's sign
        await expect(page.locator(".preview img")).to_have_js_property("complete", value=True)
        assert False not in await page.locator(".preview img").evaluate_all(SHOWN)
