"""A Chromium that shows pages of an installation under test."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Page, async_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FETCH_SECONDS = 100
NO_BROWSER = (
    "There is no Chromium here, and it could not be fetched: install the package `chromium`, "
    "or run `.venv/bin/playwright install chromium`, then run the tests again."
)


@asynccontextmanager
async def new_page(*options: str) -> AsyncIterator[Page]:
    """An empty page of a separate browser, started with these options."""
    options += ("--no-sandbox",) if os.geteuid() == 0 else ()
    async with async_playwright() as playwright:
        chromium = await asyncio.to_thread(_find, Path(playwright.chromium.executable_path))
        browser = await playwright.chromium.launch(executable_path=chromium, args=options)
        try:
            yield await browser.new_page()
        finally:
            await browser.close()


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
