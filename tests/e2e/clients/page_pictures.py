"""Takes the pictures of docs/pictures from the running page: `.venv/bin/python -m tests.e2e.clients.page_pictures`.

The views of `page_views.py` in a studio's weeks (`studio.py`), light and dark. It takes a minute, and needs a
Chromium, a C compiler for the store's clock, and the font Inter (Debian: fonts-inter), so that all look alike.

`shown.json` beside them notes what they show: of each the page's own words, and those of its controls and headings.
`tests/guards/test_pictures_agree.py` finds words that a view does not have any more, and other colours, sizes or
fonts in tokens.css; `test_page_pictures.py` finds controls and headings that a view has since. Both say so. Neither
sees another arrangement of the same words: who changes how a view looks runs this too.
"""

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import structlog
from PIL import Image
from playwright.async_api import Page, expect

from tests.e2e.clients.browser import close_browsers, new_page
from tests.e2e.clients.page_views import FOLDER, SCALE, SHOWN, VIEWS, Stage, colours, look, read
from tests.e2e.clients.paintings import PAINTINGS, jpeg
from tests.e2e.clients.store_clock import running_store
from tests.e2e.clients.studio import LIGHTS, MARA, SPRAY, STUDIO, TOWER, open_studio
from tests.support.emulator import running_emulator
from tests.support.installation import running
from tests.support.processes import free_port
from tests.support.server import Server
from tests.support.workers import Workers

FONT = "Inter"
RULE = (
    '<match><test name="family"><string>{}</string></test>'
    '<edit name="family" mode="prepend" binding="strong"><string>{}</string></edit></match>'
)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
QUALITY = 82
WEEK_S = 604_800
SETTLED_MS = 1500  # for what the browser itself draws late


def use_font(folder: Path) -> None:
    """Chromium's font of the system is this one."""
    if FONT not in subprocess.run(["fc-list", ":", "family"], capture_output=True, text=True, check=True).stdout:  # noqa: S607
        sys.exit(f"The font {FONT} is missing; in Debian the package fonts-inter has it.")
    rules = "".join(RULE.format(family, FONT) for family in ("sans", "sans-serif", "system-ui"))
    head = '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">'
    file = folder / "fonts.conf"
    file.write_text(f"{head}<fontconfig><include>/etc/fonts/fonts.conf</include>{rules}</fontconfig>")
    os.environ["FONTCONFIG_FILE"] = str(file)


@asynccontextmanager
async def open_stage(folder: Path) -> AsyncIterator[Stage]:
    """The studio, with API and workers as processes."""
    port, log = free_port(), folder / "log"
    with running_store(folder) as (redis, clock):
        async with running_emulator("--plain-clips", "--queue-seconds", "0.2", "--run-seconds", "600") as emulator:
            url = f"http://127.0.0.1:{port}"
            async with open_studio(redis, clock, emulator, FILMGATE_PUBLIC_URL=url) as studio:
                share = await studio.share(TOWER, seconds=WEEK_S)
                settings = studio.stack.environment
            serve, workers = Server(settings, port=port, log=log), Workers(settings, log=log)
            async with running(serve, workers, studio.keys[MARA]) as api:
                await serve.ready()
                for key in studio.keys.values():  # used just now
                    await api.get("/v1/me", headers={"Authorization": f"Bearer {key}"})
                photo = folder / "northern-lights.jpg"
                photo.write_bytes(jpeg(PAINTINGS[photo.stem]()))

                async def finish() -> None:
                    await emulator.set_speed(10_000)

                yield Stage(url, studio.keys[MARA], STUDIO, MARA, studio.jobs[SPRAY], share, LIGHTS, photo, finish)


async def photograph(name: str, page: Page) -> None:
    """Write a view's two files."""
    await page.mouse.move(0, 0)
    await expect(page.locator(".toasts p")).to_have_count(0, timeout=20_000)
    await page.wait_for_timeout(SETTLED_MS)
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        with Image.open(io.BytesIO(await page.screenshot())) as shot:
            shot.convert("RGB").save(FOLDER / f"{name}-{scheme}.webp", quality=QUALITY, method=6)


async def main() -> None:
    """All of them, or those that are named."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    FOLDER.mkdir(exist_ok=True)
    shown: dict[str, Any] = {"tokens.css": colours()}

    async def take(name: str, page: Page) -> None:
        await photograph(name, page)
        shown[name] = await read(name, page)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        use_font(folder)
        async with open_stage(folder) as stage, new_page() as page:
            assert page.context.browser is not None
            await look(page.context.browser, stage, take, scale=SCALE)
        await close_browsers()
    assert shown.keys() == {"tokens.css", *VIEWS}
    SHOWN.write_text(json.dumps(shown, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    asyncio.run(main())
