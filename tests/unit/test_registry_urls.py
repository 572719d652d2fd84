"""Which image URLs may be sent to fal."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from app.registry.urls import NOT_ALLOWED, url_fault

PUBLIC = """
https://v3.fal.media/files/b/cat.png https://example.com https://example.com/ https://example.com:443/a.png
https://example.com:8443/a.png?x=1&y=%20 HTTPS://Example.COM/a.png https://example.com./a.png
https://bucket.s3.eu-central-1.amazonaws.com/k?X-Amz-Signature=ab12&X-Amz-Expires=60
https://xn--bcher-kva.example/a.png https://a_b.example.com/%F0%9F%90%88.png https://1.example.com/
https://example.com/a@b:c/d?e=f@g https://example.com/katze-\xfc.png https://127.0.0.1.example.com/
"""
NEVER = """
127.0.0.1 127.1 0x7f000001 2130706433 017700000001 0 127\u30020\u30020\u30021 127.0.0.1. 10.0.0.1 172.16.0.1
192.168.0.1 169.254.169.254 100.64.0.1 168.63.129.16 0.0.0.0 224.0.0.1 255.255.255.255 8.8.8.8 1.2.3.4.5
256.1 08.1 a.0x1 [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [64:ff9b::7f00:1] [2002:7f00:1::] [fe80::1]
[fe80::1%25eth0] [fc00::1] [2606:4700::1111] [not-an-address] localhost LOCALHOST localhost. a.localhost
metadata.google.internal foo.internal. printer.local redis metadata 127%2e0%2e0%2e1
%6c%6f%63%61%6c%68%6f%73%74 b\xfccher.example \uff11\uff12\uff17.1 a..b .example.com exa!mple.com
ex\uff41mple.com
"""
MALFORMED = [
    ("https://user@example.com/a.png", "url_invalid"),
    ("https://user:secret@example.com/", "url_invalid"),
    ("https://@example.com/", "url_invalid"),
    ("https://example.com/a.png#top", "url_invalid"),
    ("https://example.com:22/", "url_invalid"),
    ("https://example.com:80/", "url_invalid"),
    ("https://example.com:/", "url_invalid"),
    ("https://example.com:443:443/", "url_invalid"),
    ("https://example.com:99999999/", "url_invalid"),
    ("https://example.com/a b", "url_invalid"),
    ("https://example.com/\t", "url_invalid"),
    ("https://example.com/\n", "url_invalid"),
    ("https://example.com\r\nHost:evil.com/", "url_invalid"),
    ("https://example.com\x00.evil.com/", "url_invalid"),
    ("https://example.com\\@evil.com/", "url_invalid"),
    ("https://example.com/\u202egnp.exe", "url_invalid"),
    ("https://example.com/\u200b", "url_invalid"),
    ("https://example.com/\ud800", "url_invalid"),
    ("https://", "url_invalid"),
    ("https:///a.png", "url_invalid"),
    ("https://:443/", "url_invalid"),
    ("https:example.com/a.png", "url_invalid"),
    ("https://example.com/" + "a" * 8173, "too_long"),
    ("http://example.com/a.png", "url_scheme"),
    ("ftp://example.com/a.png", "url_scheme"),
    ("file:///etc/passwd", "url_scheme"),
    ("javascript:alert(1)", "url_scheme"),
    ("gopher://example.com/", "url_scheme"),
    ("data:image/png;base64,iVBORw0KGgo=", "url_scheme"),
    ("data:image/png;base64," + "A" * 5000, "url_scheme"),
    ("//example.com/a.png", "url_scheme"),
    ("example.com/a.png", "url_scheme"),
    (" https://example.com/", "url_scheme"),
    ("", "url_scheme"),
]
NEAR = """
http://127.0.0.1:8001/cat.png https://127.0.0.1:8001/cat.png http://localhost:9000/a http://[::1]:8001/a
http://emulator:8001/files/a.png http://192.168.1.20/a http://10.1.2.3:9000/a http://172.20.0.3/a
http://[fd00::1]/a https://v3.fal.media/a.png http://minio.internal/a http://127.1/a
"""
METADATA = "169.254.169.254 0.0.0.0 224.0.0.1 [fe80::1] 168.63.129.16 [::ffff:169.254.169.254]"


def faults(urls: Iterable[str], *, private: bool) -> dict[str, tuple[str, str] | None]:
    """Code and sentence of each URL's fault, or None."""
    return {url: url_fault(url, private=private) for url in urls}


def test_a_public_https_address_is_accepted() -> None:
    """Names with a dot, port 443 or 8443 or none."""
    found = faults(PUBLIC.split(), private=False)
    assert {url: fault for url, fault in found.items() if fault is not None} == {}


def test_a_presigned_address_may_be_long() -> None:
    """Up to 8,192 characters: those with a session token have thousands."""
    assert url_fault("https://example.com/" + "a" * 8172, private=False) is None


def test_every_address_literal_and_private_name_is_refused_alike() -> None:
    """One code and one text for all, so the answers reveal nothing about a network."""
    found = faults([f"https://{host}/a.png" for host in NEVER.split()], private=False)
    assert {url: fault for url, fault in found.items() if fault != NOT_ALLOWED} == {}


def test_a_malformed_address_is_refused_with_its_reason() -> None:
    """Scheme, length, characters, user, host, port and fragment each have their reason."""
    found = faults((url for url, _ in MALFORMED), private=False)
    assert {url: code and code[0] for url, code in found.items()} == dict(MALFORMED)


def test_with_an_emulator_local_addresses_are_accepted() -> None:
    """With `private`, http, any port, loopback, private networks and bare names."""
    found = faults(NEAR.split(), private=True)
    assert {url: fault for url, fault in found.items() if fault is not None} == {}


def test_with_an_emulator_metadata_addresses_stay_refused() -> None:
    """`private` allows the local network, not the cloud's metadata services."""
    found = faults([f"http://{host}/" for host in METADATA.split()], private=True)
    assert {url: fault for url, fault in found.items() if fault != NOT_ALLOWED} == {}


def test_with_an_emulator_malformed_addresses_stay_refused() -> None:
    """Other schemes, user names and impossible ports are refused there too."""
    urls = "ftp://127.0.0.1/ http://u@localhost/ http://localhost:0/ http://x:99999/ http://ex\uff41mple/"
    assert [url for url, fault in faults(urls.split(), private=True).items() if fault is None] == []


@given(st.text(max_size=60), st.booleans())
def test_no_text_breaks_the_check(rest: str, private: bool) -> None:  # noqa: FBT001 # hypothesis passes by position
    """Any text has a fault or none."""
    url_fault("https://" + rest, private=private)
