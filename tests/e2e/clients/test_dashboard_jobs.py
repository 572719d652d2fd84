"""The jobs in a browser: finding one, seeing what became of it, and doing something about it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Page, expect

from app.domain.accounts import USER_SCOPES, Scope
from app.domain.ids import new_id
from app.gateway import Gateway
from app.store import keys
from tests.e2e.clients.accessible import assert_accessible
from tests.e2e.clients.browser import new_page
from tests.e2e.clients.customers import WATCHED, Customers
from tests.e2e.clients.visitors import give_key, own_gateway, refused_reads, sign_in, trusting
from tests.support.accounts import new_account
from tests.support.receiver import Receiver
from tests.support.stack import ADMIN_KEY

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

MANY = 10_000
MODEL_NAME = "Kling 2.0 Master"
HOUR_MS = 3_600_000
FEW = 100
BATCH = 500
MOST_PAIRS = 8  # of metadata
WATCH = """
    window.reports = [];
    const note = event => window.reports.push(`${event.violatedDirective} ${event.blockedURI}`);
    document.addEventListener('securitypolicyviolation', note);
"""
# Each would set `ran` or open a dialog, if any of it were taken for markup, for an address or for a script.
PAYLOADS = (
    "<script>ran=1</script>",
    "<img src=x onerror=ran=1>",
    "<svg onload=ran=1>",
    "<svg><script>ran=1</script></svg>",
    "<iframe srcdoc='<script>parent.ran=1</script>'>",
    "<iframe src=javascript:alert(1)>",
    "<a href=javascript:ran=1>press</a>",
    "<details open ontoggle=ran=1>",
    "<input autofocus onfocus=ran=1>",
    "<video><source onerror=ran=1></video>",
    "<body onload=ran=1>",
    "<math><mtext><img src=x onerror=ran=1>",
    "<style>@import 'https://evil.example/x'</style>",
    "<link rel=stylesheet href=//evil.example>",
    "<base href=https://evil.example/>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<form action=//evil.example><button>go</button></form>",
    "<object data=javascript:alert(1)>",
    "<template shadowrootmode=open><slot></template>",
    "javascript:alert(document.domain)",
    "data:text/html,<script>ran=1</script>",
    '"><script>ran=1</script>',
    "'-alert(1)-'",
    "${ran=1}{{ran=1}}`",
    "</title><textarea></script><script>ran=1</script>",
)


async def open_jobs(page: Page, customers: Customers, key: str) -> None:
    """Sign in, and open the list."""
    await sign_in(page, customers, key)
    await page.get_by_role("link", name="Jobs", exact=True).click()
    await page.get_by_role("heading", name="Jobs", level=1).wait_for()


async def test_why_a_job_failed_is_three_presses_away_and_its_webhook_is_sent_again(customers: Customers) -> None:
    """The reason of fal with its link, what to do next, a replay with the same id, the input to use again."""
    prompt = customers.prompt("422_content_policy")
    async with (
        Receiver() as receiver,
        new_page(trusting(customers)) as page,
    ):
        receiver.answers([500])
        job = await customers.installation.submit(prompt, webhook_url=receiver.url, metadata={"scene": "7"})
        await open_jobs(page, customers, customers.key)
        card = page.locator(f"[data-job={job['id']}]")
        await card.wait_for()
        await card.get_by_text("Failed").wait_for(timeout=30_000)  # an event brings it
        await page.locator(".filter-main label", has_text="Failed").click()
        await page.wait_for_url("**/jobs?status=failed")
        await expect(page).to_have_title("Failed · Jobs · Filmgate")
        await assert_accessible(page, "the gallery")
        await page.locator("label", has_text="Table").click()
        await page.get_by_role("button", name="Filters").click()
        await assert_accessible(page, "the table with its filters")
        await card.get_by_role("link").click()

        why = page.get_by_role("region", name="Why")
        await expect(why).to_contain_text("fal's content check refused the prompt or the picture.")
        await expect(why).to_contain_text("flagged by a content checker")
        length = page.get_by_role("region", name="Input").locator("dl > div", has_text="Length")  # as the form says
        await expect(length.locator("dd")).to_have_text("5 s")
        await expect(why).to_contain_text("What to do next: Change the words or the picture")
        link = why.get_by_role("link", name="What fal says about this error")
        assert str(await link.get_attribute("href")).startswith("https://docs.fal.ai/")
        await expect(page.locator(".timeline b")).to_have_text(
            ["Waiting", "Being handed over", "Being made", "Being fetched", "Failed"]
        )
        money = page.get_by_role("region", name="Money")
        await expect(money.locator("tbody tr")).to_have_count(2)
        await expect(money).to_contain_text("Set aside until fal's bill is known")
        await expect(page.get_by_role("region", name="Attempts at fal")).to_contain_text("Accepted")
        await expect(page.get_by_role("region", name="Metadata").get_by_role("link")).to_have_attribute(
            "href", "/jobs?metadata.scene=7"
        )

        webhooks = page.get_by_role("region", name="Webhooks", exact=True)
        await expect(webhooks).to_contain_text("500")
        await assert_accessible(page, "a failed job")
        await webhooks.get_by_role("button", name="Send again").click()
        await expect(webhooks).to_contain_text("Delivered", timeout=15_000)
        await expect(webhooks).to_contain_text("Sent again by hand")
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
        await page.get_by_text("Raw JSON").click()
        await page.locator(".raw code", has_text='"upstream_rejected_input"').wait_for()

        await page.go_back()
        await page.locator(".line", has_text=prompt).wait_for()
        await page.go_forward()
        await page.get_by_role("button", name="Again", exact=True).click()
        await expect(page.locator("#input-prompt")).to_have_value(prompt)
        await expect(page.locator(".preview img")).to_have_count(1)

        await page.go_back()
        await find_again(page, prompt)


async def find_again(page: Page, prompt: str) -> None:
    """From a job's page: the jobs with the same metadata, then those with a word of the prompt, then all."""
    line = page.locator(".line[data-job]")
    await page.get_by_role("region", name="Metadata").get_by_role("link").click()
    await line.filter(has_text=prompt).wait_for()
    await page.get_by_label("Metadata").fill("scene")  # without a value it is no filter yet
    await page.get_by_label("Metadata").press("Enter")
    await page.get_by_text("Write a name, =, and its value.").wait_for()
    await expect(page).to_have_url(re.compile(r"\?metadata\.scene=7$"))
    await page.get_by_role("searchbox").fill(prompt.rsplit(maxsplit=1)[-1].upper())
    await page.wait_for_url("**text=*")
    await expect(line).to_have_count(1)
    await page.get_by_role("searchbox").fill("not in any prompt")
    await page.get_by_role("button", name="Show all jobs").click()
    await line.filter(has_text=prompt).wait_for()


async def test_an_administrator_ends_a_held_job_where_it_is_explained(customers: Customers) -> None:
    """A running one is cancelled; for a held one a word is typed, and it has its clip, which its user can erase."""
    prompt = customers.prompt("submit_502_accepted")
    job = await customers.installation.submit(prompt)
    running = await customers.installation.submit(customers.prompt(WATCHED))
    async with new_page(trusting(customers)) as page:
        refused = refused_reads(page)
        await open_jobs(page, customers, ADMIN_KEY)
        await cancel_somebodys(page, running["id"])
        await page.locator(".filter-main label", has_text="Held").click()
        line = page.locator(f"[data-job={job['id']}]")
        await line.wait_for(timeout=30_000)
        assert prompt not in await page.content(), "administrators see no prompts"
        await expect(line.locator(".line-name")).to_have_text(f"{MODEL_NAME}{job['id']}")
        await line.get_by_role("link").click()
        await page.get_by_text("It is not ordered a second time").wait_for()
        await expect(page.get_by_role("heading", level=1)).to_have_text(MODEL_NAME)
        await expect(page.get_by_role("region", name="End it")).to_contain_text(f"filmgate={job['id']}.")
        await assert_accessible(page, "a held job")
        request = await customers.installation.request_of(prompt)
        await page.get_by_label("fal's request id").fill(str(request))
        await page.get_by_role("button", name="Adopt …").click()
        confirm = page.get_by_role("button", name="Adopt it")
        await expect(confirm).to_have_attribute("aria-disabled", "true")
        await page.get_by_label("Type adopt to confirm").fill("adopt")
        await confirm.click()
        await page.locator(".job-page[data-status=succeeded]").wait_for(timeout=30_000)
        await expect(page.get_by_role("button", name="Cancel this job")).to_have_count(0)
        await page.get_by_role("button", name="Sign out").click()
        assert refused == []

        await give_key(page, customers.key)
        await page.get_by_role("button", name="Erase").wait_for()
        assert await page.get_by_role("link", name="Download").get_attribute("href")
        await page.get_by_role("button", name="Erase").click()
        await page.get_by_label("Type erase to confirm").fill("erase")
        await page.get_by_role("button", name="Erase it").click()
        await expect(page.get_by_role("region", name="Input")).to_contain_text("It was erased.")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Erased")


async def cancel_somebodys(page: Page, job: str) -> None:
    """From the list to a running job's page and back: the question says that fal decides."""
    await page.locator(f"[data-job={job}]").get_by_role("link").click()
    await page.locator(".job-page[data-status=running]").wait_for(timeout=30_000)
    await page.get_by_role("button", name="Cancel this job").click()
    dialog = page.get_by_role("dialog", name="Cancel this job?")
    await expect(dialog).to_contain_text("fal is asked to stop, but the clip may still be finished, and paid for.")
    await assert_accessible(page, "the question before a cancel")
    await dialog.get_by_role("button", name="Cancel the job").click()
    await page.locator(".job-page[data-status=canceled]").wait_for(timeout=30_000)
    await expect(page.get_by_role("button", name="Cancel this job")).to_have_count(0)
    await page.locator(".back").click()


async def test_whatever_a_prompt_a_name_or_metadata_has_is_shown_as_text(customers: Customers) -> None:
    """Payloads in the list and on a job's page: nothing runs, and the policy has nothing to report."""
    async with customers.leisure(), own_gateway(customers) as gateway:
        people = gateway.administration
        team = await people.add_team("test", name=PAYLOADS[0])

        async def submit(prompt: str, name: str, metadata: dict[str, str]) -> tuple[dict[str, str], str]:
            user = await people.add_user("test", team=team.id, name=name)
            made = await people.add_key("test", user=user.id, name=name, scopes=USER_SCOPES | {Scope.TEAM_READ})
            body = {"input": customers.input(prompt), "metadata": metadata}
            headers = {"Authorization": f"Bearer {made.key}"}
            reply = await customers.web.post("/v1/jobs", json=body, headers=headers)
            assert reply.status_code == 202, reply.text
            return headers, reply.json()["urls"]["cancel"]

        made = await asyncio.gather(*(submit(text, text, {"payload": text}) for text in PAYLOADS))
        pairs = {f"p{number}": text for number, text in enumerate(PAYLOADS[-MOST_PAIRS:])}
        made.append(await submit("\n".join(PAYLOADS), PAYLOADS[1], pairs))
        key = made[0][0]["Authorization"].removeprefix("Bearer ")
        async with new_page(trusting(customers)) as page:
            dialogs: list[str] = []
            page.on("dialog", lambda dialog: dialogs.append(dialog.message))
            await page.add_init_script(WATCH)
            await page.set_viewport_size({"width": 1600, "height": 4000})
            await open_jobs(page, customers, key)
            await expect(page.locator(".card")).to_have_count(len(PAYLOADS) + 1)
            shown = await page.locator(".card h2").all_text_contents()
            assert set(PAYLOADS) <= set(shown)
            notes = " ".join(await page.locator(".card .note").all_text_contents())
            assert all(text in notes for text in PAYLOADS)
            await page.locator("label", has_text="Table").click()
            await expect(page.locator(".line-name a")).to_have_count(len(PAYLOADS) + 1)
            await page.get_by_role("button", name="Filters").click()
            await expect(page.locator("select", has_text="Everybody")).to_contain_text(PAYLOADS[2])
            await page.locator(".line-name a").first.click()
            inputs = page.get_by_role("region", name="Input")
            await inputs.wait_for()
            prompt = await inputs.locator(".value-text").first.text_content()
            assert prompt == "\n".join(PAYLOADS)
            assert await page.get_by_role("region", name="Metadata").locator("a").all_text_contents() == list(
                pairs.values()
            )
            cancel = page.get_by_role("button", name="Cancel")  # not for a reader: it is another user's job
            assert (await page.title() != "", await cancel.count()) == (True, 0)
            await page.get_by_text("Raw JSON").click()
            await page.locator(".raw code").wait_for()
            assert await page.evaluate("[window.ran ?? 0, ...window.reports]") == [0]
            assert dialogs == []
        await asyncio.gather(*(customers.web.post(url, headers=headers) for headers, url in made))


async def test_ten_thousand_jobs_scroll_with_a_few_dozen_in_the_document(customers: Customers) -> None:
    """From the newest to the oldest; Back from a job finds the same place."""
    async with (
        own_gateway(customers) as gateway,
        many_jobs(customers, gateway) as key,
        new_page(trusting(customers)) as page,
    ):
        await open_jobs(page, customers, key)
        await page.locator("label", has_text="Table").click()
        await page.locator(".line[data-job]").first.wait_for()
        most = await page.evaluate(SCROLL)
        assert most["jobs"] == MANY + 1
        assert most["lines"] < FEW
        await page.locator(".line[data-job] .number", has_text="not charged").first.wait_for()
        await page.get_by_text(f"{MANY + 1} jobs").wait_for()
        last = page.locator(".line[data-job]").last
        place = await page.evaluate("scrollY")
        await last.get_by_role("link").click()
        await page.get_by_role("region", name="Timeline").wait_for()
        await page.go_back()
        await last.wait_for()
        assert await page.evaluate("scrollY") == place


SCROLL = """async () => {
    let lines = 0, slowest = 0, before = performance.now();
    const started = before, deadline = performance.now() + 60000;
    const foot = () => document.querySelector('.list-foot');
    while (performance.now() < deadline) {
        scrollTo(0, document.body.scrollHeight);
        await new Promise(done => requestAnimationFrame(done));
        const now = performance.now();
        slowest = Math.max(slowest, now - before);
        before = now;
        lines = Math.max(lines, document.querySelectorAll('.line[data-job]').length);
        if (!foot()) break;
    }
    const rows = Number(document.querySelector('[role=table]').getAttribute('aria-rowcount'));
    return {lines, slowest, took: before - started, jobs: rows - 1};
}"""


@asynccontextmanager
async def many_jobs(customers: Customers, gateway: Gateway) -> AsyncIterator[str]:
    """The key of a team that has so many jobs: copies of one record, which are gone after the block."""
    account = await new_account(gateway.administration, team_name=new_id("many"), user_name="one")
    headers = {"Authorization": f"Bearer {account.key}"}
    team = account.team.id
    async with customers.installation.redis.client() as redis:
        async with customers.leisure():
            reply = await customers.web.post("/v1/jobs", json={"input": customers.input("one")}, headers=headers)
            record = await redis.hgetall(keys.job(f"{team}/{reply.json()['id']}"))
            await customers.web.post(reply.json()["urls"]["cancel"], headers=headers)
        newest = int(record["created_ms"])
        record |= {"status": "canceled", "money": "released", "completed_ms": newest, "charged_micro": 0}
        copies = {f"job_{number:032x}": newest - (number + 1) * 1000 for number in range(MANY)}
        names = list(copies)
        for start in range(0, MANY, BATCH):
            batch = {name: copies[name] for name in names[start : start + BATCH]}
            pipe = redis.pipeline(transaction=False)
            for name, at_ms in batch.items():
                pipe.hset(keys.job(f"{team}/{name}"), mapping={**record, "id": name, "created_ms": at_ms})
                pipe.pexpire(keys.job(f"{team}/{name}"), HOUR_MS)
            for index in (keys.team_jobs(team), keys.user_jobs(team, account.user.id)):
                pipe.zadd(index, batch)
            await pipe.execute()
        try:
            yield account.key
        finally:
            await redis.unlink(*(keys.job(f"{team}/{name}") for name in names))
            for index in (keys.team_jobs(team), keys.user_jobs(team, account.user.id)):
                await redis.zrem(index, *names)
