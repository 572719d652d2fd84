"""The pages over HTTP: their content, what they may load, and how they are cached."""

import hashlib
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx
import pytest
from fastapi import FastAPI

from app.api.problems import add_problem_handlers
from app.web.routes import ADDRESSES, FILES, reference, router
from tests.support.repo import ROOT, project_files

pytestmark = pytest.mark.anyio

ROOM = ROOT / "app" / "web"
PAGES = ["/", "/jobs/job_1", "/money", "/admin/teams", "/docs"]
OURS = sorted(
    path
    for path in project_files()
    if path.is_relative_to(ROOM.relative_to(ROOT))
    and not {"vendor", "types"} & set(path.parts)
    and path.suffix != ".mp4"  # a film names the site of its encoder; nothing fetches it
)
SCRIPTS = {
    name: page.content.decode() for name, page in FILES.items() if name.endswith(".js") and "vendor/" not in name
}
VENDOR = ROOM / "static" / "vendor"
VENDORED = VENDOR / "swagger-ui"
LIBRARIES = {"preact": ["preact"], "htm": ["htm"], "signals": ["@preact/signals", "@preact/signals-core"]}
ADDRESS = re.compile(r"https?://\w[^\s\"'<>;)]*|[\"'(=]//\w[^\s\"'<>)]*")
MOST_SCRIPT = 120_000  # bytes
NOT_FETCHED = ("http://www.w3.org/2000/svg", "http://127.0.0.1:*", "http://localhost:*")  # a namespace; a policy


class Reader(HTMLParser):
    """Collects what a page loads, its ids, its inline scripts and styles, and named form fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.inline: list[str] = []
        self.named: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record one element."""
        given = {name: value or "" for name, value in attrs}
        for name in ("src", "href"):
            if not given.get(name, "#").startswith("#"):
                self.loads.append(given[name])
        if (tag == "script" and "src" not in given) or tag == "style" or "style" in given:
            self.inline.append(tag)
        self.inline += [name for name in given if name.startswith("on")]
        if tag in {"input", "select", "textarea"} and "name" in given:
            self.named.append(given["name"])


@pytest.fixture
async def web() -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    app = FastAPI(docs_url=None, redoc_url=None)
    app.state.base_url = "http://filmgate.test"
    app.include_router(router)
    app.include_router(reference)
    add_problem_handlers(app)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://filmgate.test") as client:
        yield client


def policy_of(reply: httpx.Response) -> dict[str, str]:
    """The directives of a reply's Content-Security-Policy."""
    parts = (part.strip().partition(" ") for part in reply.headers["content-security-policy"].split(";"))
    return {name: value for name, _, value in parts}


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_html_for_everybody(web: httpx.AsyncClient, path: str) -> None:
    """Without a key: 200, HTML, and headers against leaks and sniffing."""
    reply = await web.get(path)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_runs_only_our_own_scripts(web: httpx.AsyncClient, path: str) -> None:
    """The policy starts from `none`, allows scripts, styles and calls only from here, and forbids framing."""
    policy = policy_of(await web.get(path))
    assert policy["default-src"] == "'none'"
    for directive in ("script-src", "style-src", "connect-src", "form-action"):
        assert policy[directive] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"


async def test_the_dashboard_may_show_pictures_and_play_clips(web: httpx.AsyncClient) -> None:
    """Clips and pictures may come from anywhere over https, and from this machine; HTML is never parsed."""
    policy = policy_of(await web.get("/"))
    assert policy["img-src"] == "'self' blob: https: http://127.0.0.1:* http://localhost:* data:"
    assert policy["media-src"] == "'self' blob: https: http://127.0.0.1:* http://localhost:*"
    assert policy["require-trusted-types-for"] == "'script'"


@pytest.mark.parametrize("path", PAGES)
async def test_everything_a_page_loads_is_there(web: httpx.AsyncClient, path: str) -> None:
    """Each file that the page or one of its modules names is served with the type that `nosniff` requires."""
    page = Reader((await web.get(path)).text)
    assert page.inline == []
    waiting = {urljoin(path, link) for link in page.loads} - {"/", "/docs", "/docs/guide", "/openapi.json"}
    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    seen: set[str] = set()
    while waiting:
        link = waiting.pop()
        seen.add(link)
        reply = await web.get(link)
        assert reply.status_code == 200, link
        assert reply.headers["content-type"].startswith(types[link[link.rindex(".") :]]), link
        if "swagger" not in link and link.endswith(".js"):
            names = re.findall(r"""(?:\bfrom|\bimport) ?["'](\.[^"']+)["']""", reply.text)
            waiting |= {urljoin(link, name) for name in names} - seen
    assert len(seen) > 3


async def test_a_key_never_gets_into_an_address(web: httpx.AsyncClient) -> None:
    """Even if the script is missing, the forms send nothing: they post, and no field has a name."""
    for name, script in SCRIPTS.items():
        forms = re.findall(r"<form\b[^>]*", script)
        assert [form for form in forms if 'method="post"' not in form] == [], name
        fields = re.findall(r"<(?:input|select|textarea)\b[^>]*", script)
        assert [field for field in fields if " name=" in field and 'type="radio"' not in field] == [], name


@pytest.mark.parametrize("path", ["/", "/docs", "/static/main.js", "/static/vendor/swagger-ui/swagger-ui.css"])
async def test_what_a_browser_has_is_not_sent_again(web: httpx.AsyncClient, path: str) -> None:
    """`If-None-Match` with the entity tag, alone, weak or in a list, is 304 without a body."""
    web.headers["Accept-Encoding"] = "identity"
    etag = (await web.get(path)).headers["etag"]
    for given in (etag, f"W/{etag}", f'"other", {etag}'):
        reply = await web.get(path, headers={"If-None-Match": given})
        assert (reply.status_code, reply.content, reply.headers["etag"]) == (304, b"", etag)
    assert (await web.get(path, headers={"If-None-Match": '"other"'})).status_code == 200
    assert (await web.head(path)).headers["etag"] == etag


async def test_texts_are_compressed_for_those_who_take_it(web: httpx.AsyncClient) -> None:
    """The same content in fewer bytes, under an entity tag of its own, which is asked for again."""
    plain = await web.get("/static/main.js", headers={"Accept-Encoding": "identity"})
    packed = await web.get("/static/main.js", headers={"Accept-Encoding": "br;q=1, gzip;q=0.8"})
    assert (plain.headers.get("content-encoding"), packed.headers["content-encoding"]) == (None, "gzip")
    assert plain.content == packed.content
    assert int(packed.headers["content-length"]) < len(plain.content)
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.headers["vary"] == "Accept-Encoding"
    again = {"Accept-Encoding": "gzip", "If-None-Match": packed.headers["etag"]}
    assert (await web.get("/static/main.js", headers=again)).status_code == 304


@pytest.mark.parametrize("path", ADDRESSES)
async def test_the_page_names_every_script_that_its_view_will_need(web: httpx.AsyncClient, path: str) -> None:
    """A browser asks for all of them at once: what a script imports is in the page."""
    named = {link for link in Reader((await web.get(path)).text).loads if link.endswith(".js")}
    imported = {
        urljoin(link, name)
        for link in named
        for name in re.findall(r"""\b(?:from|import) ?["'](\.[^"']+)["']""", (await web.get(link)).text)
    }
    assert len(imported) > 30
    assert imported <= named


@pytest.mark.parametrize("path", ADDRESSES)
async def test_a_view_waits_for_less_than_120_kb_of_scripts(web: httpx.AsyncClient, path: str) -> None:
    """As they are sent, compressed: all that the page names. The other views' scripts are fetched afterwards."""
    named = {link for link in Reader((await web.get(path)).text).loads if link.endswith(".js")}
    sizes = {link: int((await web.get(link)).headers["content-length"]) for link in named}
    assert f"/static/{ADDRESSES[path]}" in sizes
    assert sum(sizes.values()) < MOST_SCRIPT, sizes


@pytest.mark.parametrize("path", ["nothing.js", "../routes.py", "%2e%2e/routes.py", "..%2froutes.py", "", "vendor"])
async def test_only_the_static_files_are_served(web: httpx.AsyncClient, path: str) -> None:
    """No path leads out of the folder; an unknown file is a problem with status 404."""
    reply = await web.get(f"http://filmgate.test/static/{path}")
    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", OURS, ids=str)
async def test_no_file_names_an_outside_address(path: object) -> None:
    """None of our own files refers to another host: the pages work without the internet."""
    text = (ROOT / str(path)).read_text("utf-8", errors="replace")  # a picture is no text
    assert [found for found in ADDRESS.findall(text) if found.strip("\"'(=") not in NOT_FETCHED] == []


async def test_the_guard_sees_an_outside_address() -> None:
    """The pattern finds absolute and scheme-relative URLs, and ignores a placeholder."""
    assert ADDRESS.search('<script src="https://cdn.example/x.js">')
    assert ADDRESS.search("url(//cdn.example/x.css)")
    assert not ADDRESS.search('placeholder="https://…" // a comment')


@pytest.mark.parametrize("name", SCRIPTS)
async def test_what_the_api_says_is_never_parsed_as_html(name: str) -> None:
    """No script turns text into HTML or code."""
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser"
    ways += "|createContextualFragment"
    assert re.findall(ways, SCRIPTS[name]) == []


@pytest.mark.parametrize("name", LIBRARIES)
async def test_a_vendored_library_is_whole_and_has_its_licence(name: str) -> None:
    """The files are those that were taken from npm, with their versions and the licence; they load nothing else."""
    version = (VENDOR / name / "VERSION").read_text("utf-8")
    for package in LIBRARIES[name]:
        assert re.search(rf"^{package} \d+\.\d+\.\d+$", version, re.MULTILINE)
    ours = version.partition("As published:")[0]
    sums = dict(reversed(pair) for pair in re.findall(r"^([0-9a-f]{64}) {2}(\S+)$", ours, re.MULTILINE))
    files = {path.name: path.read_bytes() for path in (VENDOR / name).glob("*.js")}
    assert {file: hashlib.sha256(content).hexdigest() for file, content in files.items()} == sums
    assert all(
        re.findall(rb'from"([^"]+)"', content) == re.findall(rb'from"(\.[^"]+)"', content)
        for content in files.values()
    )
    assert (VENDOR / name / "LICENSE").stat().st_size > 500


async def test_swagger_ui_is_whole_and_has_its_licence() -> None:
    """The vendored files are the published ones, with version, licence and notices; the style loads nothing."""
    version = (VENDORED / "VERSION").read_text("utf-8")
    assert re.match(r"swagger-ui-dist 5\.\d+\.\d+\n", version)
    sums = re.findall(r"^([0-9a-f]{64}) {2}(\S+)$", version, re.MULTILINE)
    assert {name for _, name in sums} == {"swagger-ui-bundle.js", "swagger-ui.css"}
    for expected, name in sums:
        assert hashlib.sha256((VENDORED / name).read_bytes()).hexdigest() == expected
    assert "Apache License" in (VENDORED / "LICENSE").read_text("utf-8")
    for name in ("NOTICE", "swagger-ui-bundle.js.LICENSE.txt"):
        assert (VENDORED / name).stat().st_size > 0
    style = (VENDORED / "swagger-ui.css").read_text("utf-8")
    assert not re.search(r"@import|url\(\s*[\"']?(?:https?:)?//", style)


async def test_the_reference_is_sent_to_no_validator() -> None:
    """Swagger UI would send the document to a service on the internet; that is switched off."""
    assert "validatorUrl: null" in SCRIPTS["docs.js"]
