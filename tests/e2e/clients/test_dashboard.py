"""The dashboard in a browser: a phone's photograph is chosen, and the page says what became of it."""

from pathlib import Path

import pytest

from tests.e2e.clients.browser import new_page
from tests.e2e.clients.customers import Customers
from tests.support.pictures import encoded

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


async def test_a_phones_photograph_is_taken_by_the_page(customers: Customers, tmp_path: Path) -> None:
    """The file is offered and uploaded; its note names both kinds, and no broken picture is shown."""
    photo = tmp_path / "IMG_0001.HEIC"
    photo.write_bytes(encoded("HEIF"))
    async with new_page(f"--ignore-certificate-errors-spki-list={customers.certificates.pin}") as page:
        await page.goto(f"{customers.installation.serve.url}/")
        await page.locator("#key").fill(customers.key)
        await page.locator("#key").press("Enter")
        await page.locator("#model option").first.wait_for(state="attached")
        assert ".heic" in str(await page.locator("#file").get_attribute("accept"))
        await page.locator("#file").set_input_files(photo)
        await page.get_by_text("IMG_0001.HEIC, 640 × 480, converted from HEIC to JPEG").wait_for()  # noqa: RUF001  the page's sign
        assert await page.locator("#preview").is_hidden()
