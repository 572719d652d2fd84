"""fal's own client for JavaScript, unmodified, in a web page of another origin: CORS, mostly with `/fal/proxy`."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Page

from tests.e2e.clients.browser import new_page
from tests.e2e.clients.customers import WATCHED, Customers, picture
from tests.support.node import Pages, bundle

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

HAS_PROGRESS = "() => lines.some(({ update }) => update?.status === 'IN_PROGRESS' && update.logs.length)"
ELSEWHERE = "https://elsewhere.example"
HTML = '<!doctype html><meta charset="utf-8"><title>A customer</title><script type="module" src="page.js"></script>'


@pytest.fixture(scope="module")
async def page(customers: Customers, pages: Pages) -> AsyncIterator[Page]:
    """A customer's page with fal's client in it."""
    await bundle("page.mjs", pages.folder / "page.js")
    (pages.folder / "index.html").write_text(HTML, encoding="utf-8")
    async with new_page(f"--ignore-certificate-errors-spki-list={customers.certificates.pin}") as made:
        await made.goto(f"{pages.origin}/index.html")
        await made.wait_for_function("() => window.runCase !== undefined")
        yield made


class Visitor:
    """A visitor of the page, with a credential: mostly a short-lived token of the account.

    `way` is how the page's client reaches the gateway: by `proxy` or by a `middleware`.
    """

    def __init__(self, customers: Customers, page: Page, credential: str, way: str = "proxy") -> None:
        self._customers = customers
        self._page = page
        self._credential = credential
        self._way = way

    async def does(self, case: str, prompt: str, field: Any = None, **options: Any) -> dict[str, Any]:
        """One case of js/cases.mjs: `{"lines", "outcome"}`."""
        url = self._customers.installation.serve.url
        way = {"proxy": f"{url}/fal/proxy"} if self._way == "proxy" else {"gateway": url}
        settings = {"key": self._credential, **way}
        given = {"input": self._customers.input(prompt, **(field or {})), **options}
        code = "([name, settings, options]) => runCase(name, settings, options)"
        found: dict[str, Any] = await self._page.evaluate(code, [case, settings, given])
        return found


async def token_of(customers: Customers, key: str, page: str, **asked: Any) -> str:
    """A token that a page of this origin requests with this key."""
    headers = {"Authorization": f"Bearer {key}", "Origin": page}
    reply = await customers.web.post("/v1/tokens", json={"expires_in": 300, **asked}, headers=headers)
    assert reply.status_code == 201, reply.text
    token: str = reply.json()["token"]
    return token


@pytest.fixture
async def visitor(customers: Customers, page: Page, pages: Pages) -> Visitor:
    """A visitor whose token is restricted to this page's origin."""
    return Visitor(customers, page, await token_of(customers, customers.key, pages.origin, origin=pages.origin))


@pytest.mark.parametrize("more", [{"pollInterval": 100}, {"mode": "streaming"}], ids=["polling", "streaming"])
async def test_subscribe_gives_the_clip(
    customers: Customers, visitor: Visitor, page: Page, more: dict[str, Any]
) -> None:
    """Updates with logs and the result arrive, polled or streamed; one clip is bought."""
    prompt = customers.prompt(WATCHED)
    async with customers.leisure() as clip, asyncio.TaskGroup() as tasks:
        subscribing = tasks.create_task(visitor.does("subscribe", prompt, more=more))
        await clip.begin()
        await page.wait_for_function(HAS_PROGRESS)
        await clip.finish()
    found = subscribing.result()
    assert "result" in found["outcome"], found
    await customers.assert_one_purchase(prompt, found["outcome"]["result"])
    updates = [line["update"] for line in found["lines"] if "update" in line]
    assert updates[-1]["status"] == "COMPLETED"
    assert any(update["logs"] for update in updates if update["status"] == "IN_PROGRESS")
    assert found["outcome"]["request_ids"] == [found["outcome"]["request_id"]], "the header can be read by a page"


async def test_a_blob_in_the_input_is_uploaded(customers: Customers, visitor: Visitor) -> None:
    """The page PUTs it, without a key, to the URL that the proxy returned."""
    prompt, content = customers.prompt(), picture("olive")
    found = await visitor.does("blob", prompt, content=b64encode(content).decode())
    assert "result" in found["outcome"], found
    await customers.assert_one_purchase(prompt, found["outcome"]["result"])
    await customers.assert_first_frame(found["outcome"]["request_id"], content)


async def test_wrong_input_is_refused_before_it_is_bought(customers: Customers, visitor: Visitor) -> None:
    """A 422 keeps its status through the proxy, and becomes the client's ValidationError."""
    prompt = customers.prompt()
    error = (await visitor.does("subscribe", prompt, {"duration": "7"}))["outcome"]["error"]
    assert (error["kind"], error["status"]) == ("ValidationError", 422)
    assert [entry["loc"] for entry in error["fields"]] == [["body", "duration"]]
    assert await customers.bought(prompt) == (0, 0)


async def test_a_cancelled_request_is_completed_at_once(customers: Customers, visitor: Visitor) -> None:
    """A PUT with an empty body passes the preflight; the result is 499 and nothing is charged."""
    prompt = customers.prompt("slow")
    found = (await visitor.does("cancel", prompt))["outcome"]
    assert found["status"]["status"] == "COMPLETED"
    assert (found["get"]["kind"], found["get"]["status"]) == ("ApiError", 499)
    assert (await customers.bought(prompt))[1] == 0


async def test_a_middleware_leads_a_page_here_as_well(customers: Customers, page: Page, pages: Pages) -> None:
    """Without the proxy: a Blob is uploaded, and one clip is bought, with a token."""
    prompt, content = customers.prompt(), picture("navy")
    token = await token_of(customers, customers.key, pages.origin, origin=pages.origin)
    visitor = Visitor(customers, page, token, "middleware")
    found = await visitor.does("blob", prompt, content=b64encode(content).decode())
    assert "result" in found["outcome"], found
    await customers.assert_one_purchase(prompt, found["outcome"]["result"])
    await customers.assert_first_frame(found["outcome"]["request_id"], content)


@pytest.mark.parametrize("way", ["proxy", "middleware"])
async def test_a_key_with_origins_is_good_on_their_pages_alone(
    customers: Customers, page: Page, pages: Pages, way: str
) -> None:
    """So are its tokens: one clip is bought on its page; on any other page it is 403, without a request to fal."""
    for origin, welcome in ((pages.origin, True), (ELSEWHERE, False)):
        key = await customers.bound_to(origin)
        for credential in (key, await token_of(customers, key, origin)):
            prompt = customers.prompt()
            outcome = (await Visitor(customers, page, credential, way).does("subscribe", prompt))["outcome"]
            if welcome:
                assert "result" in outcome, outcome
                await customers.assert_one_purchase(prompt, outcome["result"])
            else:
                assert (outcome["error"]["kind"], outcome["error"]["status"]) == ("ApiError", 403)
                assert await customers.bought(prompt) == (0, 0)
