"""The views that docs/pictures shows, how one comes to them, and what of them is the page's own."""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, ViewportSize, expect

from app.web.routes import ADDRESSES, FILES, PAGES
from tests.support.repo import ROOT
from tests.support.stack import ADMIN_KEY

FOLDER = ROOT / "docs" / "pictures"
SHOWN = FOLDER / "shown.json"
COMMAND = ".venv/bin/python -m tests.e2e.clients.page_pictures"
SIZE: ViewportSize = {"width": 1280, "height": 800}
SCALE = 1.5
SHOWN_S = 60_000  # milliseconds for a clip
MODULE = re.compile(rb'modulepreload" href="/static/([^"]+)"')
FRAGMENT = re.compile(r"[A-Za-z][A-Za-z ',;:…?!-]*[A-Za-z…]")
UNIQUE = re.compile(r"[0-9a-f]{8}|\[emu:")  # names and prompts of tests
WORDS = re.compile(r"^[A-Z]...|\w \w")
GO = """address => {
    const link = document.createElement('a');
    link.href = address;
    document.body.append(link);
    link.click();
    link.remove();
}"""
READ = """() => {
    const seen = element => element.checkVisibility({visibilityProperty: true});
    const texts = root => {
        const found = [];
        const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const holder = walker.currentNode.parentElement;
            if (seen(holder) && !holder.closest('option')) found.push(walker.currentNode.data);
        }
        return found;
    };
    const controls = 'button, a, input, select, textarea, summary, label, legend, [role=tab]';
    const headings = 'h1, h2, h3, dt, th, [role=columnheader]';
    const named = [...document.querySelectorAll(`${controls}, ${headings}`)].filter(seen).map(
        element => [element.ariaLabel, element.placeholder, ...texts(element)].filter(Boolean)
    );
    return {words: texts(document.getElementById('app')), controls: named.flat()};
}"""


@dataclass
class Stage:
    """What the views are looked at with. `finish` lets fal end what it makes."""

    url: str
    key: str
    team: str
    person: str
    failed: str  # the id of a job
    share: str  # a link
    prompt: str
    photo: Path
    finish: Callable[[], Awaitable[None]]


Scene = Callable[[Page, Stage], Awaitable[None]]


async def first_page(page: Page, stage: Stage) -> None:
    """Before anybody has signed in."""
    await page.goto(f"{stage.url}/")
    await page.locator("#key").wait_for()


async def gallery(page: Page, stage: Stage) -> None:
    """The jobs as cards."""
    await page.evaluate(GO, "/jobs?look=gallery")
    await page.locator(".card").first.wait_for()


async def table(page: Page, stage: Stage) -> None:
    """The jobs as a table, with the filters."""
    await page.evaluate(GO, "/jobs?look=table")
    await page.locator(".line[data-job]").first.wait_for()
    await page.get_by_role("button", name="Filters").click()


async def failed_job(page: Page, stage: Stage) -> None:
    """Why a job failed."""
    await page.evaluate(GO, f"/jobs/{stage.failed}")
    await page.get_by_role("region", name="Why").wait_for()
    await page.get_by_role("region", name="Timeline").wait_for()


async def money(page: Page, stage: Stage) -> None:
    """Budgets and usage."""
    await page.evaluate(GO, "/money?period=30")
    await page.locator(".chart-day").first.wait_for()


async def form(page: Page, stage: Stage) -> None:
    """A form that is filled, with its price."""
    await page.evaluate(GO, "/")
    await page.locator("#model").click()
    await page.locator(".model-list button", has_text="Kling 2.5 Turbo Pro image").click()
    await page.locator("input[type=file]").first.set_input_files(stage.photo)
    await expect(page.locator(".preview img")).to_have_count(1)
    await page.fill("#input-prompt", stage.prompt)
    await expect(page.locator("#order")).to_contain_text("for $")
    await page.locator("#order").focus()
    await page.locator(".maker-body").evaluate("form => form.scrollTo(0, 0)")


async def clip(page: Page, stage: Stage) -> None:
    """The clip, after that form was sent."""
    await page.locator("#order").click()
    await page.get_by_role("progressbar").first.wait_for()
    await stage.finish()
    await page.locator(".take[data-status=succeeded]").wait_for(timeout=SHOWN_S)
    if await (no := page.get_by_role("button", name="No notices")).count():  # it is asked at the first clip
        await no.click()
    await _plays(page)


async def people(page: Page, stage: Stage) -> None:
    """A team, its users and their keys."""
    await page.evaluate(GO, "/admin/people")
    await page.get_by_text(stage.team).first.click()
    await page.get_by_role("region", name=stage.person).wait_for()


async def status(page: Page, stage: Stage) -> None:
    """How the gateway is."""
    await page.evaluate(GO, "/admin/status")
    await page.get_by_role("region", name="Workers").wait_for()


async def shared(page: Page, stage: Stage) -> None:
    """What a link shows to people without a key."""
    await page.goto(stage.share)
    await _plays(page)


async def _plays(page: Page) -> None:
    """The clip is all there."""
    film = page.locator("video").first
    await film.wait_for(timeout=SHOWN_S)
    await film.evaluate(
        "film => film.readyState > 3 || new Promise(go => film.addEventListener('canplaythrough', go))"
    )


# By whom they are seen; the address of each names the scripts that it has.
ADMINISTRATOR: dict[str, tuple[str, Scene]] = {
    "people": ("/admin/{view}", people),
    "status": ("/admin/{view}", status),
}
NOBODY: dict[str, tuple[str, Scene]] = {"sign-in": ("/", first_page), "share": ("/share", shared)}
USER: dict[str, tuple[str, Scene]] = {
    "jobs": ("/jobs", gallery),
    "jobs-table": ("/jobs", table),
    "job": ("/jobs/{job_id}", failed_job),
    "money": ("/money", money),
    "playground-form": ("/", form),
    "playground": ("/", clip),
}
VIEWS = {**ADMINISTRATOR, **NOBODY, **USER}


async def look(
    browser: Browser, stage: Stage, act: Callable[[str, Page], Awaitable[None]], *, scale: float = 1
) -> None:
    """Goes to each view as those who may see it; `act` gets its name and the page."""
    for key, views in ((ADMIN_KEY, ADMINISTRATOR), (None, NOBODY), (stage.key, USER)):
        context = await browser.new_context(
            viewport=SIZE,
            device_scale_factor=scale,
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="Europe/Berlin",
        )
        page = await context.new_page()
        if key is not None:
            await first_page(page, stage)
            await page.fill("#key", key)
            await page.press("#key", "Enter")
            await page.get_by_role("button", name="Sign out").wait_for()
        for name, (_, scene) in views.items():
            await scene(page, stage)
            await act(name, page)
        await context.close()


# --- what of it is the page's own ------------------------------------------------------------------------------


@cache
def scripts(name: str) -> str:
    """All scripts of a view."""
    page = PAGES[ADDRESSES[VIEWS[name][0]]].content
    return "\n".join(
        FILES[path.decode()].content.decode() for path in MODULE.findall(page) if b"vendor/" not in path
    )


async def read(name: str, page: Page) -> dict[str, list[str]]:
    """The words that one sees of a view, and those of its controls and headings; only such as its scripts have."""
    found: dict[str, list[str]] = await page.evaluate(READ)
    return {kind: sorted(_own(name, texts)) for kind, texts in found.items()}


def _own(name: str, texts: list[str]) -> set[str]:
    """Without data, as far as one can tell: names, prompts, amounts and times are not in the scripts."""
    parts = {part for text in texts if not UNIQUE.search(text) for part in FRAGMENT.findall(" ".join(text.split()))}
    return {part for part in parts if WORDS.search(part) and part in scripts(name)}


def colours() -> str:
    """A digest of the page's colours, sizes and fonts."""
    return sha256(FILES["tokens.css"].content).hexdigest()


def noted() -> dict[str, Any]:
    """What the pictures show, as it was noted when they were taken."""
    content: dict[str, Any] = json.loads(SHOWN.read_text("utf-8"))
    return content
