"""The dashboard in a browser: the form has the fields of each kind of model and explains its price."""

import pytest
from playwright.async_api import Page, expect

from tests.e2e.clients.browser import new_page
from tests.e2e.clients.customers import Customers

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


async def choose(page: Page, model: str) -> None:
    """Select a model of the form."""
    await page.select_option("#model", model)


async def test_the_form_makes_a_clip_of_a_newer_model_and_shows_a_ceiling(customers: Customers) -> None:
    """A length as a number, a price at most with its reason, a voice without a prompt."""
    async with new_page(f"--ignore-certificate-errors-spki-list={customers.certificates.pin}") as page:
        await page.goto(f"{customers.installation.serve.url}/")
        await page.fill("#key", customers.key)
        await page.press("#key", "Enter")
        await page.wait_for_selector("#model option", state="attached")
        groups = await page.locator("#model optgroup").evaluate_all("all => all.map(one => one.label)")
        assert groups[0] == "From a picture"
        assert "From a video" in groups
        first = await page.locator("#model optgroup[label='From words alone'] option").first.inner_text()
        assert first == "Kling 4.0 text to video (in part unverified)"

        await choose(page, "fal-ai/kling-video/o1/video-to-video/edit")
        await page.fill("#prompt", "Make it snow.")
        await page.fill("#setting-video_url", "https://example.com/clip.mp4")
        await expect(page.locator("#price")).to_contain_text(
            "costs at most $1.68. The length of video_url is not known"
        )

        await choose(page, "fal-ai/kling-video/create-voice")
        assert not await page.locator("#prompt").is_visible()
        await page.fill("#setting-voice_url", "https://example.com/voice.mp3")
        await expect(page.locator("#price")).to_contain_text("costs $0.007.")

        await choose(page, "kling/v4/text-to-video")
        await page.fill("#prompt", "A cat walks.")
        await page.select_option("#duration", "3")
        await page.select_option("#setting-resolution", "720p")
        await expect(page.locator("#submit")).to_have_text("Make this clip for $0.471")
        await page.click("#submit")
        await expect(page.locator("li[data-status=succeeded] .about").first).to_contain_text("3 s · $0.471 charged")
