"""The page in a browser: the form has the fields of each kind of model and explains its price."""

import pytest
from playwright.async_api import Page, expect

from tests.e2e.clients.browser import new_page
from tests.e2e.clients.customers import Customers
from tests.e2e.clients.visitors import sign_in, trusting

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


SAMPLED = """async () => {
  const { canSample, takeSample } = await import("/static/views/playground/sample.js");
  const { body, chooseModel, clearDraft, order } = await import("/static/views/playground/state.js");
  const { models } = await import("/static/core/models.js");
  const { post } = await import("/static/core/api.js");
  const basisOf = (input) => post("quotes", input).then((quote) => quote.basis, (error) => error.message);
  const priced = models.value.filter((one) => one.priced);
  const asked = [];
  for (const one of priced) {
    clearDraft();
    chooseModel(one.id);
    if (!canSample(one)) asked.push("no sample");
    else {
      await takeSample();
      const filled = body.value;
      asked.push(filled ? basisOf(JSON.parse(filled)) : JSON.stringify(order.value.missing));
    }
  }
  const said = await Promise.all(asked);
  clearDraft();
  return priced.map(({ id }, place) => [id, said[place]]);
}"""


async def choose(page: Page, model: str) -> None:
    """Search for a model in the list, and take it."""
    await page.click("#model")
    await page.get_by_role("searchbox").fill(model)
    await page.click(f'[data-model="{model}"]')


async def test_the_form_makes_a_clip_of_a_newer_model_and_shows_a_ceiling(customers: Customers) -> None:
    """A length as a number, a price at most and why, a voice without a prompt, a storyboard with its sum."""
    async with new_page(trusting(customers)) as page:
        await sign_in(page, customers, customers.key)
        await page.click("#model")
        groups = await page.locator("dialog .segments label").all_inner_texts()
        assert groups[0] == "From a picture"
        assert "From a video" in groups
        await page.locator("dialog .segments label", has_text="From words alone").click()
        await expect(page.locator("dialog section h3").first).to_have_text("Current")
        first = page.locator("dialog .model-list button").first
        await expect(first).to_contain_text("Kling 4.0 text to video")
        await expect(first).to_contain_text("$1.175 for 5 s")
        await expect(first).to_contain_text("Some of its fields could not be read")
        await page.locator("dialog .segments label", has_text="Speech").click()
        speech = page.locator("dialog .model-list button")
        await expect(speech).to_contain_text("No price is known yet")
        await expect(speech).to_have_attribute("aria-disabled", "true")
        await page.keyboard.press("Escape")

        await choose(page, "fal-ai/kling-video/o1/video-to-video/edit")
        await page.fill("#input-prompt", "Make it snow.")
        await page.fill("#input-video_url", "https://example.com/clip.mp4")
        await expect(page.locator("#order")).to_have_text("Make clip for at most $1.68")
        await expect(page.locator("#order-facts")).to_contain_text("The length of video_url is not known")

        await choose(page, "fal-ai/kling-video/v1.6/pro/elements")
        await page.get_by_role("group", name="Picture 1", exact=True).wait_for()

        await choose(page, "fal-ai/kling-video/create-voice")
        assert not await page.locator("#input-prompt").is_visible()
        await page.fill("#input-voice_url", "https://example.com/voice.mp3")
        await expect(page.locator("#order")).to_have_text("Make clip for $0.007")

        await choose(page, "fal-ai/kling-video/v3/pro/text-to-video")
        await page.locator(".maker .segments label", has_text="Storyboard").click()
        await page.fill("#input-multi_prompt-0", "A boat leaves the harbour.")
        await page.get_by_role("button", name="Add a shot").click()
        await page.fill("#input-multi_prompt-1", "A storm comes up.")
        await expect(page.locator(".shot-sum")).to_contain_text("2 shots, 8 s of 15 s")
        await expect(page.locator("#order")).to_have_text("Make clip for $1.344")

        await choose(page, "kling/v4/text-to-video")
        await page.locator(".maker .segments label", has_text="One prompt").click()
        await page.fill("#input-prompt", "A cat walks.")
        await page.fill("#input-duration", "3")
        await page.locator("#input-resolution label", has_text="720p").click()
        await expect(page.locator("#order")).to_have_text("Make clip for $0.471")
        await page.click("#order")
        take = page.locator(".take[data-status=succeeded]")
        await expect(take.locator(".about")).to_contain_text("3 s", timeout=30_000)
        await expect(take).to_contain_text("$0.471 charged")


async def test_one_click_on_the_sample_fills_the_form_of_every_model(customers: Customers) -> None:
    """Picture, video, sound, words: each form has a price. A talking figure, and a storyboard, become clips."""
    async with new_page(trusting(customers)) as page:
        await sign_in(page, customers, customers.key)
        await expect(page.locator("#order")).to_be_visible()
        bases = await page.evaluate(SAMPLED)
        assert len(bases) > 60
        assert [one for one in bases if one[1] not in {"requested", "measured", "flat"}] == []

        await choose(page, "fal-ai/kling-video/ai-avatar/v2/pro")
        sample = page.locator(".maker-head").get_by_role("button", name="Try a sample")
        await sample.click()
        await expect(page.locator(".media .note", has_text="sample.mp3, 6 s")).to_be_visible()
        await expect(page.locator("#order")).to_have_text("Make clip for $0.69")
        await page.click("#order")
        take = page.locator(".take[data-status=succeeded]")
        await expect(take).to_contain_text("The figure speaks calmly", timeout=30_000)

        await choose(page, "fal-ai/kling-video/v3/pro/image-to-video")
        await page.locator(".maker .segments label", has_text="Storyboard").click()
        await sample.click()
        await expect(page.locator(".shot-sum")).to_contain_text("2 shots, 6 s of 15 s")
        last_frame = page.get_by_role("button", name="A sample for Last frame")
        await last_frame.click()
        await expect(last_frame).to_be_hidden()  # the price is that of the form with it from here on
        await expect(page.locator("#order")).to_have_text("Make clip for $1.008")
        await page.click("#order")

        await choose(page, "fal-ai/kling-video/v1/standard/image-to-video")
        await page.locator("details.advanced summary").click()
        await page.get_by_role("button", name="A sample for What stands still").click()
        await expect(page.locator(".mask .note", has_text="mask.png, 1280")).to_be_visible()
        await expect(take).to_contain_text("$1.008 charged", timeout=30_000)
