"""The documentation at /docs/guide, and the page of each error."""

import html
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from fastapi import FastAPI

from app.api import problem_pages
from app.api.problems import add_problem_handlers
from app.domain.errors import Code
from app.domain.remedies import JOB_ERRORS, REMEDIES
from app.web import routes

pytestmark = pytest.mark.anyio

ORIGIN = "http://filmgate.test"
BELOW = "/films"  # the path of a proxy's, behind which the gateway may be
ELSEWHERE = ("/docs", "/", "/openapi.json")  # not of the guide, and shown by other tests


class Reader(HTMLParser):
    """What a page links to and loads, its ids, and whether anything in it could run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.active: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record one element."""
        given = {name: value or "" for name, value in attrs}
        self.links += [given[name] for name in ("href", "src", "srcset") if name in given]
        self.ids += [given["id"]] if "id" in given else []
        self.active += [
            name for name in (tag, *given) if name in {"script", "style", "form"} or name.startswith("on")
        ]


@pytest.fixture(scope="module")
async def web() -> AsyncIterator[httpx.AsyncClient]:
    """A browser without a key; the gateway is below a path of a proxy's."""
    app = FastAPI(docs_url=None, redoc_url=None)
    app.state.base_url = ORIGIN
    for router in (routes.router, routes.reference, problem_pages.router):
        app.include_router(router, prefix=BELOW)
    add_problem_handlers(app)
    transport = httpx.ASGITransport(app=app)
    headers = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers) as client:
        yield client


def is_page(path: str, reply: httpx.Response) -> bool:
    """True for a page of the guide."""
    return "/docs/guide" in path and reply.headers["content-type"].startswith("text/html")


@pytest.fixture(scope="module")
async def everything(web: httpx.AsyncClient) -> dict[str, httpx.Response]:
    """Every reply that can be reached by links from the first page of the guide, by its path."""
    waiting, seen = {f"{BELOW}/docs/guide"}, dict[str, httpx.Response]()
    while waiting:
        path = waiting.pop()
        seen[path] = await web.get(path)
        if is_page(path, seen[path]):
            links = {urljoin(f"{ORIGIN}{path}", link) for link in Reader(seen[path].text).links}
            here = {urlsplit(link).path for link in links if link.startswith(f"{ORIGIN}/")}
            waiting |= {link for link in here if link.removeprefix(BELOW) not in ELSEWHERE} - seen.keys()
    return seen


async def test_every_page_can_be_reached_and_every_link_leads_somewhere(
    everything: dict[str, httpx.Response],
) -> None:
    """From the first page to all others, their pictures and their headings; behind a proxy's path too."""
    seen = everything
    assert {path: reply.status_code for path, reply in seen.items() if reply.status_code != 200} == {}
    pages = {path: Reader(reply.text) for path, reply in seen.items() if is_page(path, reply)}
    assert len(pages) == len(routes.guide.sources)
    lost = []
    for path, page in pages.items():
        assert len(set(page.ids)) == len(page.ids), path
        for link in page.links:
            target = urlsplit(urljoin(f"{ORIGIN}{path}", link))
            if target.fragment and target.fragment not in pages[target.path].ids:
                lost.append(f"{path}: {link}")
    assert lost == []


async def test_a_page_runs_nothing_and_loads_only_from_here(everything: dict[str, httpx.Response]) -> None:
    """No script, no style of its own, and a policy that would stop them."""
    for path, reply in everything.items():
        policy = reply.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'"), path
        assert "script-src" not in policy
        if "html" in reply.headers["content-type"]:
            assert Reader(reply.text).active == [], path


async def test_a_page_says_where_one_is(web: httpx.AsyncClient) -> None:
    """Its title, its entry in the list of pages, and what there is on it."""
    page = (await web.get(f"{BELOW}/docs/guide/limits")).text
    assert "<title>People, limits and money · Filmgate</title>" in page
    assert re.search(r'<a href="[./]*docs/guide/limits" aria-current="page">', page)
    assert '<li><a href="#money">Money</a></li>' in page


async def test_a_page_shows_its_pictures_light_and_dark(web: httpx.AsyncClient) -> None:
    """What a page writes as HTML for GitHub leads to the same files here."""
    page = (await web.get(f"{BELOW}/docs/guide/quick-start")).text
    shown = re.search(r'media="\(prefers-color-scheme: dark\)" srcset="([^"]+)">\s*<img [^>]*src="([^"]+)"', page)
    assert shown is not None
    for link, scheme in zip(shown.groups(), ("dark", "light"), strict=True):
        reply = await web.get(urljoin(f"{BELOW}/docs/guide/quick-start", link))
        assert (reply.status_code, reply.headers["content-type"]) == (200, "image/webp"), link
        assert f"-{scheme}." in link


async def test_an_unknown_page_and_a_way_out_of_the_folder_are_not_found(web: httpx.AsyncClient) -> None:
    """404, also for a file that is there and is no page."""
    for path in (
        "nothing",
        "README.md",
        "openapi.json",
        "..%2f..%2fpyproject",
        "%2e%2e/%2e%2e/README",
        "/etc/passwd",
    ):
        reply = await web.get(f"{BELOW}/docs/guide/{path}", headers={"Accept": "*/*"})
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found"), path


@pytest.mark.parametrize("slug", [*Code, *JOB_ERRORS])
async def test_an_error_has_a_page_for_people_and_json_for_programs(web: httpx.AsyncClient, slug: str) -> None:
    """Both say what it means, why it happens and what to do; the page loads only its style."""
    program = await web.get(f"{BELOW}/problems/{slug}", headers={"Accept": "*/*"})
    meaning = program.json()
    assert meaning["code"] == slug
    if isinstance(slug, Code):
        assert (meaning["status"], meaning["cause"], meaning["remedy"]) == (slug.status, *REMEDIES[slug])
    person = await web.get(f"{BELOW}/problems/{slug}")
    assert person.headers["content-type"] == "text/html; charset=utf-8"
    assert person.headers["content-security-policy"].startswith(
        "default-src 'none'; style-src 'self'; img-src 'self'"
    )
    assert "Accept" in person.headers["vary"]
    assert "Accept" in program.headers["vary"]
    text = html.unescape(re.sub(r"<[^>]+>", "", person.text))
    for sentence in (meaning["title"], meaning["cause"], meaning["remedy"]):
        assert sentence.replace("`", "") in text
    assert Reader(person.text).active == []


@pytest.mark.parametrize("address", ["/jbos", "/money/x", "/docs/guide/nowhere", "/problems/nonsense"])
async def test_a_person_at_an_address_that_leads_nowhere_reads_a_page(web: httpx.AsyncClient, address: str) -> None:
    """It leads to the start; a program gets the problem there, as it does everywhere below /v1."""
    assert "text/html" in (await web.get(BELOW + address)).headers["content-type"]
    person = await web.get(address)  # as a proxy hands it on, without its own path
    assert person.status_code == 404
    assert REMEDIES[Code.NOT_FOUND][1].split("`")[0] in html.unescape(person.text)
    start = "../" * (address.count("/") - 1) or "./"
    assert f'<a href="{start}">Filmgate</a>' in person.text
    for path, accept in ((address, "*/*"), ("/v1/nowhere", "text/html")):
        program = await web.get(path, headers={"Accept": accept})
        assert program.status_code == 404
        assert program.json()["code"] == "not_found"
