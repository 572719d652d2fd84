"""Which of fal's URLs, and of our own, map to which of our routes; every other URL is refused."""

from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import FilmgateError
from app.domain.fal_targets import HOSTS, MAX_BYTES, ProxyTarget, Targets, Terms, own_file_at_fal
from tests.support.spellings import OPEN_PROXY

APP = "fal-ai/kling-video"
OWN = "https://videos.example.com"
TARGETS = Targets(OWN)
OURS, FALS = Terms.own(OWN), Terms.behind_proxy(OWN)
FILE = "file_00000000000000000000000000000000"
ID = "job_00000000000000000000000000000000"
ONE = f"{APP}/requests/{ID}"
KNOWN = [
    (f"https://queue.fal.run/{APP}/v2/master/image-to-video", f"/fal/queue/{APP}/v2/master/image-to-video", ""),
    (f"https://queue.fal.run/{APP}/v2.1/pro/image-to-video/", f"/fal/queue/{APP}/v2.1/pro/image-to-video/", ""),
    (f"https://queue.fal.run/{APP}?fal_webhook=https%3A%2F%2Fa.b%2Fc%3Fx%3D1", f"/fal/queue/{APP}", "…"),
    (f"https://queue.fal.run/{ONE}", f"/fal/queue/{ONE}", ""),
    (
        f"https://queue.fal.run/{ONE}/status?logs=1",
        f"/fal/queue/{ONE}/status",
        "logs=1",
    ),
    (
        f"https://queue.fal.run/{ONE}/status/stream?",
        f"/fal/queue/{ONE}/status/stream",
        "",
    ),
    (f"https://queue.fal.run/{ONE}/cancel", f"/fal/queue/{ONE}/cancel", ""),
    (f"https://queue.fal.run/workflows/{ONE}", f"/fal/queue/workflows/{ONE}", ""),
    (f"https://fal.run/{APP}/v2/master/image-to-video", f"/fal/run/{APP}/v2/master/image-to-video", ""),
    ("https://rest.fal.ai/tokens/", "/fal/rest/tokens/", ""),
    ("https://rest.alpha.fal.ai/tokens", "/fal/rest/tokens", ""),
    ("https://rest.fal.ai/storage/auth/token?storage_type=fal-cdn-v3", "/fal/rest/storage/auth/token", "…"),
    ("https://rest.fal.ai/storage/upload/initiate?storage_type=gcs", "/fal/rest/storage/upload/initiate", "…"),
    ("https://rest.fal.ai/storage/upload/initiate-multipart", "/fal/rest/storage/upload/initiate-multipart", ""),
    ("https://v3.fal.media/files/upload", "/fal/cdn/files/upload", ""),
    ("https://v3.fal.media/files/upload/multipart", "/fal/cdn/files/upload/multipart", ""),
    ("https://v3.fal.media/files/f_1/a.png/multipart/f_1/2", "/fal/cdn/files/f_1/a.png/multipart/f_1/2", ""),
    ("https://v3.fal.media/files/f/_/multipart/f/complete", "/fal/cdn/files/f/_/multipart/f/complete", ""),
    (f"https://v3.fal.media/files/{FILE}/a.png", f"/fal/cdn/files/{FILE}/a.png", ""),
    (f"https://v3.fal.media/uploads/{FILE}?signature=s", f"/fal/cdn/uploads/{FILE}", "…"),
    (f"https://v3.fal.media/uploads/{FILE}/2?signature=s", f"/fal/cdn/uploads/{FILE}/2", "…"),
    ("https://queue.falrun.com/fal-ai/kling-video", "/fal/queue/fal-ai/kling-video", ""),
    ("https://falrun.com/fal-ai/kling-video", "/fal/run/fal-ai/kling-video", ""),
    ("https://api.fal.ai/v1/models?limit=1", "/fal/api/v1/models", "…"),
    ("https://api.fal.ai/v1/models/pricing", "/fal/api/v1/models/pricing", ""),
]
PIECES = [
    *("https://", "http://", "queue.fal.run", "fal.run", "rest.fal.ai", "v3.fal.media", "evil.com", "/", "//", "."),
    *("..", "%2e", "%2f", "%00", "@", ":", ":443", "#", "?", "&", "\\", "\t", " ", "\r\n", ",", ";", "é", "xn--"),
    *(
        "fal-ai/kling-video",
        "requests",
        "/tokens/",
        "/files/upload",
        "/storage/upload/initiate",
        "fal-ai",
        "?logs=1",
    ),
]


@pytest.mark.parametrize(("url", "path", "query"), KNOWN)
def test_what_the_clients_ask_for_is_a_route_of_ours(url: str, path: str, query: str) -> None:
    """The path behind our prefix, and the query unchanged."""
    expected = url.partition("?")[2] if query == "…" else query
    assert TARGETS.read(url.encode()) == ProxyTarget(path, expected.encode(), FALS)


@pytest.mark.parametrize(("url", "path", "query"), [one for one in KNOWN if "falrun" not in one[0]])
def test_the_same_urls_of_ours_are_targets_too(url: str, path: str, query: str) -> None:
    """As our own replies have them, so that a program may follow those through the proxy; the terms are ours."""
    own = f"{OWN}{path}{url.partition('?')[1]}{url.partition('?')[2]}"
    expected = url.partition("?")[2] if query == "…" else query
    assert TARGETS.read(own.encode()) == ProxyTarget(path, expected.encode(), OURS)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/fal/queue/{}"),
        ("https://Videos.example.com:443/gate", "https://Videos.example.com:443/gate/fal/queue/{}"),
        ("https://Videos.example.com:443/gate", "https://videos.example.com/gate/fal/queue/{}"),
        ("http://[::1]:80", "http://[::1]/fal/queue/{}"),
    ],
)
def test_our_own_url_is_known_as_set_and_as_a_browser_writes_it(base: str, url: str) -> None:
    """Also over http, with a port, with a path, in capitals."""
    assert Targets(base).read(url.format(ONE).encode()).path == f"/fal/queue/{ONE}"


@pytest.mark.parametrize(
    ("url", "status"),
    [
        (f"{OWN}/v1/admin/teams", 412),
        (f"{OWN}/", 412),
        (f"{OWN}/fal/proxy", 404),
        (f"{OWN}/fal/hooks/a/b/c", 404),
        (f"{OWN}/fal/openapi.json", 404),
        (f"{OWN}/fal/queue/fal-ai", 404),
        (f"{OWN}/fal/queue/../../v1/admin/teams", 400),
        (f"{OWN}/fal/queue/{ONE}%2fstatus", 400),
        (f"{OWN}/falx/queue/{ONE}", 404),
        (f"{OWN}.evil.com/fal/queue/{ONE}", 412),
        (f"{OWN}@evil.com/fal/queue/{ONE}", 400),
        (f"{OWN}:8443/fal/queue/{ONE}", 400),
        (f"http://videos.example.com/fal/queue/{ONE}", 400),
    ],
)
def test_nothing_else_of_ours_is_a_target(url: str, status: int) -> None:
    """Not our other routes, not another port or scheme, not a host that begins as ours does."""
    with pytest.raises(FilmgateError) as refused:
        TARGETS.read(url.encode())
    assert refused.value.status == status


def test_a_file_of_ours_is_known_under_fals_name() -> None:
    """By the form of its id; fal's own files have other names, and another host has none of ours."""
    known = [f"https://v3.fal.media/files/{FILE}{rest}" for rest in ("", "/a.png", "/a.png?x=1", "#x")]
    assert {own_file_at_fal(url) for url in known} == {FILE}
    for url in (
        "https://v3.fal.media/files/penguin/abc_output.mp4",
        f"https://v3.fal.media/files/b/{FILE}/a.png",
        f"https://v3.fal.media/files/{FILE}0/a.png",
        f"https://v3.fal.media.evil.com/files/{FILE}/a.png",
        f"http://v3.fal.media/files/{FILE}/a.png",
    ):
        assert own_file_at_fal(url) is None


@pytest.mark.parametrize(("url", "status"), OPEN_PROXY)
def test_no_other_target_is_read(url: bytes, status: int) -> None:
    """400 for a malformed URL, 412 for a host that is not fal's, 404 for a path that its clients never use."""
    with pytest.raises(FilmgateError) as refused:
        TARGETS.read(url)
    assert refused.value.status == status
    assert url == b"" or url.decode(errors="replace") not in refused.value.message


@pytest.mark.parametrize("byte", sorted({*range(0x21), *range(0x7F, 0x100), *b'"#<>\\^`{|}'}))
def test_odd_bytes_are_refused_wherever_they_stand(byte: int) -> None:
    """Control characters, spaces, `#`, and everything beyond ASCII: in the host, the path and the query."""
    for url in (
        b"https://queue.fal.run%b/fal-ai/x",
        b"https://queue.fal.run/fal-ai/x%b",
        b"https://fal.run/a/b?c=%b",
    ):
        with pytest.raises(FilmgateError) as refused:
            TARGETS.read(url % bytes([byte]))
        assert refused.value.status == 400


def test_the_longest_target_is_read_and_a_longer_one_is_not() -> None:
    """To the byte."""
    start = b"https://queue.fal.run/fal-ai/kling-video?fal_webhook="
    assert len(TARGETS.read(start + b"a" * (MAX_BYTES - len(start))).query) > MAX_BYTES - 60
    with pytest.raises(FilmgateError):
        TARGETS.read(start + b"a" * (MAX_BYTES - len(start) + 1))


@given(st.lists(st.sampled_from(PIECES), max_size=8), st.sampled_from(["", "https://queue.fal.run/", "https://"]))
def test_what_is_read_means_the_same_to_every_reader_of_urls(pieces: list[str], start: str) -> None:
    """Two other parsers see fal's host and the same path, and the route is below that host's prefix."""
    url = start + "".join(pieces)
    try:
        target = TARGETS.read(url.encode())
    except FilmgateError:
        return
    split, other = urlsplit(url), httpx.URL(url)
    prefix = HOSTS[split.netloc.encode()]
    assert (split.scheme, split.netloc, split.path) == (other.scheme, other.netloc.decode(), other.path)
    assert target == ProxyTarget(prefix + split.path, split.query.encode(), FALS)
    assert not {"", ".", ".."} & set(target.path.removesuffix("/").split("/")[1:])
    assert not set("%;\\ ") & set(target.path)
