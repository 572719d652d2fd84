"""Which of fal's URLs map to which of our routes; every other URL is refused."""

from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import FilmgateError
from app.domain.fal_targets import HOSTS, MAX_BYTES, ProxyTarget, read_target
from tests.support.spellings import OPEN_PROXY

APP = "fal-ai/kling-video"
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
    assert read_target(url.encode()) == ProxyTarget(path, expected.encode())


@pytest.mark.parametrize(("url", "status"), OPEN_PROXY)
def test_no_other_target_is_read(url: bytes, status: int) -> None:
    """400 for a malformed URL, 412 for a host that is not fal's, 404 for a path that its clients never use."""
    with pytest.raises(FilmgateError) as refused:
        read_target(url)
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
            read_target(url % bytes([byte]))
        assert refused.value.status == 400


def test_the_longest_target_is_read_and_a_longer_one_is_not() -> None:
    """To the byte."""
    start = b"https://queue.fal.run/fal-ai/kling-video?fal_webhook="
    assert len(read_target(start + b"a" * (MAX_BYTES - len(start))).query) > MAX_BYTES - 60
    with pytest.raises(FilmgateError):
        read_target(start + b"a" * (MAX_BYTES - len(start) + 1))


@given(st.lists(st.sampled_from(PIECES), max_size=8), st.sampled_from(["", "https://queue.fal.run/", "https://"]))
def test_what_is_read_means_the_same_to_every_reader_of_urls(pieces: list[str], start: str) -> None:
    """Two other parsers see fal's host and the same path, and the route is below that host's prefix."""
    url = start + "".join(pieces)
    try:
        target = read_target(url.encode())
    except FilmgateError:
        return
    split, other = urlsplit(url), httpx.URL(url)
    prefix = HOSTS[split.netloc.encode()][0]
    assert (split.scheme, split.netloc, split.path) == (other.scheme, other.netloc.decode(), other.path)
    assert target == ProxyTarget(prefix + split.path, split.query.encode())
    assert not {"", ".", ".."} & set(target.path.removesuffix("/").split("/")[1:])
    assert not set("%;\\ ") & set(target.path)
