"""Whether everybody can use a page: axe's rules, at two widths, light and dark."""

from functools import cache
from typing import Literal

from playwright.async_api import Page

from tests.support.node import MODULES, install_packages

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
CONTRAST = {"type": "rule", "values": ["color-contrast"]}  # all that differs in the dark
WIDTHS = (390, 1440)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
RUN = """async rules => (await axe.run({runOnly: rules, resultTypes: ['violations']})).violations.map(
    one => [one.id, one.nodes[0].html, one.nodes.length]
)"""
STILL = """() => Promise.allSettled(document.getAnimations()
    .filter(one => one.effect.getComputedTiming().endTime !== Infinity).map(one => one.finished))"""
TOO_WIDE = "document.documentElement.scrollWidth > innerWidth"


@cache
def _axe() -> str:
    return (MODULES / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


async def assert_accessible(page: Page, what: str) -> None:
    """No rule of axe is broken, and nothing is wider than the page."""
    await install_packages()
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_axe())
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            await page.evaluate(STILL)  # a colour on its way from one to another, as after a change of the width
            rules = RULES if scheme == "light" else CONTRAST
            broken = await page.evaluate(RUN, rules)
            assert broken == [], f"{what}, {width} wide, {scheme}: {broken}"
        assert not await page.evaluate(TOO_WIDE), f"{what}, {width} wide"
