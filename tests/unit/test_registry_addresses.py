"""Which addresses are public, and how hosts spell them: the deny list for every outgoing connection."""

import ipaddress
import time

from hypothesis import given
from hypothesis import strategies as st

from app.domain.addresses import is_public, literal_address, tidied

INSIDE = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.254 127.0.0.1 127.255.255.254 169.254.169.254
172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.9 192.0.0.170 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1
198.19.255.255 198.51.100.7 203.0.113.7 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 168.63.129.16 ::
::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::8.8.8.8 64:ff9b::7f00:1
64:ff9b:1::1 100::1 2001::1 2001:0:5ef5:79fd::1 2001:db8::1 2002:7f00:1::1 2002:808:808::1 3fff::1 5f00::1
fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1 ff0e::1
"""
OUTSIDE = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.15
168.63.129.17 172.15.255.255 172.32.0.0 192.0.1.1 192.88.98.255 192.169.0.0 198.17.255.255 198.20.0.0
203.0.114.0 223.255.255.255 ::ffff:8.8.8.8 2606:4700:4700::1111 2001:4860:4860::8888 2a00:1450::1
"""
LOOPBACK = """
127.0.0.1 127.1 127.0.1 0x7f000001 0X7F000001 0x7f.1 0x7f.0x0.0x0.0x1 2130706433 017700000001 0177.0.0.1
0177.1 127.0.0.1. 127.1. 127\u30020\u30020\u30021 \uff11\uff12\uff17.\uff10.\uff10.\uff11
127\uff0e0\uff0e0\uff0e1 \u2460\u2461\u2466.0.0.1 12\u200b7.0.0.1 127.0.0.0x1 00000000177.0.0.1
[::ffff:127.0.0.1] [::FFFF:7F00:1]
"""
NAMES = """
example.com fal.media localhost 256.1 1.2.3.4.5 08.1 0x7g.1 1..2 -1.2.3.4 1.2.3.256 4294967296 0x1ffffffff
:: : [ v3.fal.media 1.2.3.4a xn--bcher-kva.example
"""


def test_an_address_inside_some_network_is_not_public() -> None:
    """Every network of the deny list is denied, also embedded in v6 addresses."""
    assert [address for address in INSIDE.split() if is_public(ipaddress.ip_address(address))] == []


def test_a_neighbour_of_a_denied_network_is_public() -> None:
    """The list denies no more than it names."""
    assert [address for address in OUTSIDE.split() if not is_public(ipaddress.ip_address(address))] == []


def test_every_spelling_of_loopback_is_understood() -> None:
    """inet_aton's short, octal and hexadecimal forms, full-width digits and dots, a trailing dot."""
    loopback = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::ffff:127.0.0.1")]
    found = {host: literal_address(host) for host in LOOPBACK.split()}
    assert {host: address for host, address in found.items() if address not in loopback} == {}
    assert not any(map(is_public, loopback))


def test_a_name_spells_no_address() -> None:
    """Names that resolvers would look up or refuse are None."""
    hosts = [*(name for name in NAMES.split() if name != "::"), "", ".", "0" * 100_000, "fe80::1::2"]
    assert [host[:50] for host in hosts if literal_address(host) is not None] == []


def test_a_zone_does_not_hide_a_link_local_address() -> None:
    """`fe80::1%eth0` is fe80::1."""
    assert literal_address("[fe80::1%25eth0]") == ipaddress.ip_address("fe80::1")


@given(st.ip_addresses(v=4))
def test_one_number_is_the_same_address_as_four(address: ipaddress.IPv4Address) -> None:
    """Dotted, decimal, hexadecimal and octal spellings of one address agree."""
    number = int(address)
    spellings = (str(address), str(number), hex(number), f"0{number:o}")
    assert {literal_address(spelling) for spelling in spellings} == {address}


@given(st.ip_addresses(v=4))
def test_mapping_into_v6_changes_no_verdict(address: ipaddress.IPv4Address) -> None:
    """A v4-mapped address is as public as the address inside."""
    assert is_public(ipaddress.IPv6Address(f"::ffff:{address}")) == is_public(address)


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(host: str) -> None:
    """Any text is an address or None."""
    literal_address(host)


def test_an_address_loses_what_no_server_needs() -> None:
    """White space around it, a fragment and the colon of an empty port; nothing else."""
    tidy = {
        " https://a:?q#f\n": "https://a?q",
        "https://a:": "https://a",
        "https://[::1]:/x": "https://[::1]/x",
        "https://a:443/b:/c": "https://a:443/b:/c",
        "https://a/http://b:/c": "https://a/http://b:/c",
    }
    assert {url: tidied(url) for url in tidy} == tidy


def test_the_time_for_an_address_follows_its_length() -> None:
    """Many letters, as a file's base64 without `data:` is, cost milliseconds and not minutes."""
    begun = time.process_time()
    for text in ("a" * 100_000, "https://" + "a" * 100_000, "https://" + ":" * 100_000 + "x"):
        assert tidied(text) == text
    assert time.process_time() - begun < 2
