"""Row "page": how soon it shows something, how much script that takes, and how many steps four tasks take."""

import gzip
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from playwright.async_api import Browser, Page, expect

from app.web.routes import FILES
from benchmarks.figures import Figure, Options, at_most, spread_of
from benchmarks.up import started
from tests.e2e.clients.browser import close_browsers, new_page
from tests.e2e.clients.steps import Steps
from tests.support.receiver import Receiver
from tests.support.stack import ADMIN_KEY
from tests.support.up import LAST_LINE, Printed

ROW = "page"
VISITS, QUICK_VISITS = 11, 3
PHOTO = Path(__file__).parents[2] / "app" / "emulator" / "sample.jpg"
PAINTED = """() => new Promise(done => new PerformanceObserver(list => {
    for (const {name, startTime} of list.getEntries()) if (name === 'first-contentful-paint') done(startTime);
}).observe({type: 'paint', buffered: true}))"""
SCRIPTS = """() => performance.getEntriesByType('resource').filter(({name}) => name.endsWith('.js'))
    .reduce((sum, {encodedBodySize}) => sum + encodedBodySize, 0)"""
PLAYS = "clip => clip.currentTime > 0 || new Promise(done => clip.addEventListener('timeupdate', done))"
SIGN_OUT = "Sign out"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running `filmgate up`, and a browser."""

    printed: Printed
    browser: Browser

    @asynccontextmanager
    async def visitor(self) -> AsyncIterator[Page]:
        """A browser that has never been here."""
        context = await self.browser.new_context(viewport={"width": 1280, "height": 800})
        try:
            yield await context.new_page()
        finally:
            await context.close()


async def measure(folder: Path, options: Options) -> list[Figure]:
    """A gateway with the emulator; each visit and each task in a browser of its own."""
    log = folder / "up.log"
    settings = {"FILMGATE_ADMIN_KEY": ADMIN_KEY, "FILMGATE_EGRESS_ALLOW": "127.0.0.1"}
    async with started(folder, log, settings), new_page() as page:
        assert page.context.browser is not None
        while LAST_LINE not in (text := log.read_text("utf-8")):
            await page.wait_for_timeout(50)
        gateway = Gateway(Printed.read(text), page.context.browser)
        visits = [await first_visit(gateway) for _ in range(QUICK_VISITS if options.quick else VISITS)]
        tasks = [
            ("first clip by a designer, from the link", await first_clip(gateway)),
            ("a colleague's key with $50 a month", await colleagues_key(gateway)),
        ]
        async with Receiver() as receiver:
            tasks += await failed_job(gateway, receiver)
    await close_browsers()
    painted, usable, weights = zip(*visits, strict=True)
    whole = sum(len(gzip.compress(FILES[name].content, 6)) for name in of_the_page(FILES))
    return [
        Figure(ROW, "first content", "s", median(painted), target=at_most(1), spread=spread_of(painted)),
        Figure(ROW, "form for the key", "s", median(usable), target=at_most(1), spread=spread_of(usable)),
        Figure(ROW, "script until then, compressed", "kB", max(weights) / 1000, target=at_most(120)),
        Figure(ROW, "script of all views, compressed", "kB", whole / 1000),
        *(figure for name, steps in tasks for figure in of_task(name, steps)),
    ]


def of_the_page(files: Iterable[str]) -> list[str]:
    """The page's scripts, without those of the API's reference."""
    return [one for one in files if one.endswith(".js") and "swagger" not in one and one != "docs.js"]


def of_task(name: str, steps: Steps) -> list[Figure]:
    """Its steps and its time."""
    return [
        Figure(ROW, f"{name}: presses", "", steps.presses),
        Figure(ROW, f"{name}: texts", "", steps.texts),
        Figure(ROW, f"{name}: time of the machine", "s", steps.seconds),
    ]


async def first_visit(gateway: Gateway) -> tuple[float, float, float]:
    """Seconds to the first content, and to the form; the bytes of script that were there then."""
    async with gateway.visitor() as page:
        await page.goto(f"{gateway.printed.address}/", wait_until="commit")
        painted: float = await page.evaluate(PAINTED)
        await page.locator("#key").wait_for()
        usable: float = await page.evaluate("performance.now()")
        return painted / 1000, usable / 1000, await page.evaluate(SCRIPTS)


async def first_clip(gateway: Gateway) -> Steps:
    """From the banner's link to a clip that plays, of one's own picture and words."""
    async with gateway.visitor() as page:
        steps = Steps(presses=1)
        await page.goto(gateway.printed.sign_in)
        await page.locator("#model").wait_for()
        await page.locator("input[type=file]").first.set_input_files(PHOTO)
        steps.presses += 1
        await steps.type(page.locator("#input-prompt"), "The sun rises over the hills, slow zoom")
        await expect(page.locator("#order")).to_contain_text("for $")
        await steps.press(page.locator("#order"))
        await page.locator(".take[data-status=succeeded] video").evaluate(PLAYS, timeout=60_000)
        steps.end()
        return steps


async def sign_in(page: Page, gateway: Gateway, key: str, steps: Steps) -> None:
    """With a key."""
    await page.goto(f"{gateway.printed.address}/")
    await steps.type(page.locator("#key"), key)
    await steps.press(page.get_by_role("button", name="Sign in", exact=True))
    await page.get_by_role("button", name=SIGN_OUT).wait_for()


async def colleagues_key(gateway: Gateway) -> Steps:
    """An administrator, from the first page to the key in the clipboard."""
    async with gateway.visitor() as page:
        steps = Steps()
        await sign_in(page, gateway, ADMIN_KEY, steps)
        await steps.press(page.get_by_role("link", name="Administration"))
        await steps.press(page.get_by_role("button", name="Add users"))
        await steps.type(page.get_by_label("Name"), "Grace Hopper")
        await page.get_by_text("$50 a month").first.wait_for()
        await steps.press(page.get_by_role("radio", name="A key"))
        await steps.press(page.get_by_role("button", name="Add the user"))
        await steps.press(page.get_by_role("button", name="Copy the key"))
        steps.end()
        return steps


async def failed_job(gateway: Gateway, receiver: Receiver) -> list[tuple[str, Steps]]:
    """From the Playground: why a job failed; then its webhook, which was refused, once more."""
    receiver.answers([500])
    async with gateway.visitor() as page:
        await sign_in(page, gateway, gateway.printed.key, Steps())
        body = {
            "input": {
                "prompt": "[emu:422_content_policy] a lake",
                "image_url": f"{gateway.printed.address}/static/views/playground/sample.jpg",
            },
            "webhook_url": receiver.url,
        }
        headers = {"Authorization": f"Bearer {gateway.printed.key}"}
        reply = await page.request.post(f"{gateway.printed.address}/v1/jobs", data=body, headers=headers)
        job = f"/v1/jobs/{(await reply.json())['id']}"
        while (await (await page.request.get(f"{gateway.printed.address}{job}")).json())["status"] != "failed":
            await page.wait_for_timeout(100)
        why = Steps()
        await why.press(page.get_by_role("link", name="Jobs", exact=True))
        await why.press(page.locator(".filter-main label", has_text="Failed"))
        await why.press(page.locator("[data-job]").first.get_by_role("link"))
        await page.get_by_role("region", name="Why").get_by_text("fal's content check refused").wait_for()
        why.end()
        webhooks = page.get_by_role("region", name="Webhooks", exact=True)
        await webhooks.get_by_text("500").first.wait_for()
        replay = Steps()
        await replay.press(webhooks.get_by_role("button", name="Send again"))
        await webhooks.get_by_text("Delivered").first.wait_for()
        replay.end()
    return [("why a job failed, from the Playground", why), ("its webhook once more, from there", replay)]
