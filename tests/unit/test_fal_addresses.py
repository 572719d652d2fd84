"""Which URLs in fal's answers are fal's: one rule for uploads, files, clips and redirects."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.fal_addresses import FalHosts, is_plain_url, origin_of

FAL = FalHosts.of_settings(
    queue_url="https://queue.fal.run", rest_url="https://rest.fal.ai", more=("clips.example.com",)
)
EMULATOR = FalHosts.of_settings(queue_url="http://127.0.0.1:8001", rest_url="http://127.0.0.1:8001")

OURS = [
    "https://v3.fal.media/files/a/b.png",
    "https://v3b.fal.media/files/b/0a/output.mp4?sig=a%20b#t=1",
    "https://fal.media/x.png",
    "https://V3.FAL.MEDIA/x.png",
    "https://v3.fal.media:443/x.png",
    "https://rest.fal.ai/storage/upload/abc?signature=x",
    "https://clips.example.com/a.mp4",
    "https://eu.clips.example.com/a.mp4",
]
NOT_OURS = [
    "",
    "/files/a.png",
    "//v3.fal.media/a.png",
    "http://v3.fal.media/a.png",
    "https://",
    "https:///a.png",
    "https://evil.example/a.png",
    "https://evilfal.media/a.png",
    "https://fal.media.evil.example/a.png",
    "https://evil.example/.fal.media",
    "https://evil.example?.fal.media",
    "https://evil.example#.fal.media",
    "https://evil.example%2f.fal.media/a.png",
    "https://evil.example%2F.fal.media/a.png",
    "https://evil.example%00.fal.media/a.png",
    "https://evil.example<.fal.media/a.png",
    "https://evil.example>.fal.media/a.png",
    'https://evil.example".fal.media/a.png',
    "https://evil.example;.fal.media/a.png",
    "https://evil.example&.fal.media/a.png",
    "https://evil.example\\.fal.media/a.png",
    "https://evil.example/\\@v3.fal.media/a.png",
    "https://evil.example\t.fal.media/a.png",
    "https://evil.example\x00.fal.media/a.png",
    "https://evil.example/\r\nLocation: https://v3.fal.media/",
    "https://v3.fal.media/a.png\r\nSet-Cookie: a=b",
    "https://v3.fal.media/a b.png",
    "https://v3.fal.media/é.png",
    "https://v3.fal.media@evil.example/a.png",
    "https://user:pw@v3.fal.media/a.png",
    "https://@v3.fal.media/a.png",
    "https://v3.fal.media:8443/a.png",
    "https://v3.fal.media:0/a.png",
    "https://v3.fal.media:99999/a.png",
    "https://v3.fal.media:/a.png",
    "https://v3.fal.media./a.png",
    "https://.fal.media/a.png",
    "https://v3..fal.media/a.png",
    "https://-v3.fal.media/a.png",
    "https://xn--a.fal.media/a.png",
    "https://xn--/a.png",
    "https://[v3.fal.media/a.png",
    "https://[::1]/a.png",
    "https://ﬀal.media/a.png",
    "https://v3.fal.media\uff0fa.png",
    "https://v3.fal\u3002media/a.png",
    "http\u017f://v3.fal.media/a.png",
    "https://v3.fal.media/\ud83d.png",
    "https://v3.fal.media/" + "x" * 2048,
    "https://" + "a" * 300 + ".fal.media/",
    " https://v3.fal.media/a.png",
    "https://v3.fal.media/a.png\n",
    "https://queue.fal.run/files/a.mp4",
    "https://rest.fal.ai:8443/a.png",
    "https://169.254.169.254/latest/meta-data",
    "http://169.254.169.254/latest/meta-data",
    "http://127.0.0.1:6379/",
    "http://localhost/a.png",
    "javascript:alert(1)//.fal.media",
    "data:image/png;base64,AAAA",
    "file:///etc/passwd",
    "ftp://v3.fal.media/a.png",
    "gopher://v3.fal.media/a.png",
    None,
    7,
    True,
    ["https://v3.fal.media/a.png"],
    {"url": "https://v3.fal.media/a.png"},
    b"https://v3.fal.media/a.png",
]


@pytest.mark.parametrize("url", OURS)
def test_a_url_of_fals_is_accepted(url: str) -> None:
    """Its media hosts, its storage API, and hosts that the operator adds, each with its subdomains."""
    assert FAL.include(url)
    assert is_plain_url(url)


@pytest.mark.parametrize("url", NOT_OURS)
def test_nothing_else_is_a_place_of_fals(url: object) -> None:
    """Other hosts, schemes and ports, user names, spellings that two parsers read differently, and other types."""
    assert not FAL.include(url)


def test_an_emulators_url_has_its_own_port_and_no_other() -> None:
    """With http, because it is on this machine; only where fal is the emulator."""
    assert EMULATOR.include("http://127.0.0.1:8001/files/a.mp4")
    assert EMULATOR.include("https://v3.fal.media/a.mp4")
    others = (
        "http://127.0.0.1:8002/a",
        "https://127.0.0.1:8001/a",
        "http://localhost:8001/a",
        "http://127.1:8001/a",
    )
    assert not any(map(EMULATOR.include, others))
    six = FalHosts.of_settings(queue_url="http://[::1]:8001", rest_url="http://[::1]:8001")
    assert six.include("http://[::1]:8001/files/a.mp4")


@given(st.text(max_size=60) | st.text("https:/.@[]%\\?#falmedi<\x00\ud83dxn-", max_size=40))
def test_an_accepted_url_has_the_same_host_for_the_http_client(text: str) -> None:
    """Whatever follows the scheme: no exception; and httpx sees the same host in an accepted URL."""
    for url in (text, f"https://{text}", f"https://{text}.fal.media/a"):
        origin = origin_of(url)
        if origin is not None:
            parsed = httpx.URL(url)
            assert (parsed.scheme, parsed.host) == (origin[0], origin[1].strip("[]"))


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "http://169.254.169.254/x", "https://a%2f.fal.media/x", None]
)
def test_what_is_shown_of_an_older_record_is_plain_https(url: object) -> None:
    """Or http on this machine."""
    assert not is_plain_url(url)
    assert is_plain_url("https://v3.fal.media/x.mp4")
    assert is_plain_url("http://localhost:8001/x.mp4")
