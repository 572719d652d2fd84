"""A Chromium that shows pages of an installation under test."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FETCH_SECONDS = 100
NO_BROWSER = (
    "There is no Chromium here, and it could not be fetched: install the package `chromium`, "
    "or run `.venv/bin/playwright install chromium`, then run the tests again."
)


_open = AsyncExitStack()  # Playwright, and its browsers
_browsers: dict[tuple[str, ...], Browser] = {}  # by their options


@asynccontextmanager
async def new_page(*options: str) -> AsyncIterator[Page]:
    """An empty page, with cookies and storage of its own, of a browser with these options.

    The browser is started once for all tests of this process, because that takes seconds; `close_browsers` ends it.
    """
    page = await (await _browser(*options)).new_page()
    try:
        yield page
    finally:
        await page.close()  # its context too: it was made with the page


async def close_browsers() -> None:
    """End every browser of this process; whoever opens an installation does so before it ends."""
    _browsers.clear()
    await _open.aclose()


async def _browser(*options: str) -> Browser:
    if options not in _browsers:
        playwright = await _open.enter_async_context(async_playwright())
        chromium = await asyncio.to_thread(_find, Path(playwright.chromium.executable_path))
        root = ("--no-sandbox",) if os.geteuid() == 0 else ()
        browser = await playwright.chromium.launch(executable_path=chromium, args=[*options, *root])
        _browsers[options] = browser
        _open.push_async_callback(browser.close)
    return _browsers[options]


def _find(own: Path) -> str:
    """The path of a Chromium: on the PATH, or Playwright's own, which is downloaded if there is none."""
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    if not own.exists():
        fetch = [sys.executable, "-m", "playwright", "install", "chromium"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(fetch, timeout=FETCH_SECONDS, check=False)  # noqa: S603  our own tool
    assert own.exists(), NO_BROWSER
    return str(own)
