"""Parsing the store's URL."""

from typing import Any

import pytest

from app.domain.store_address import StoreAddress, read_store_address
from app.settings import SettingsError, load_settings

SECRET = "hUsh-hush"


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("redis://h", {"hosts": (("h", 6379),)}),
        ("redis://h:1/3", {"hosts": (("h", 1),), "db": 3}),
        ("redis://h/?db=2", {"hosts": (("h", 6379),), "db": 2}),
        ("redis://:p%40ss%2Fw%23rd%25%3A1@h/3", {"hosts": (("h", 6379),), "db": 3, "password": "p@ss/w#rd%:1"}),
        ("redis://u:p@[::1]:7/0", {"hosts": (("::1", 7),), "username": "u", "password": "p"}),
        ("redis://u:p@ss@h", {"hosts": (("h", 6379),), "username": "u", "password": "p@ss"}),
        ("rediss://h", {"hosts": (("h", 6379),), "tls": {}}),
        (
            "rediss://h?ssl_ca_certs=/a%20b/ca.pem",
            {"hosts": (("h", 6379),), "tls": {"ssl_ca_certs": "/a b/ca.pem"}},
        ),
        ("unix:///My Projects/a%3Db.sock?db=1", {"hosts": (), "path": "/My Projects/a=b.sock", "db": 1}),
        ("unix://:p@/s", {"hosts": (), "path": "/s", "password": "p"}),
        ("sentinel://h/s", {"hosts": (("h", 26379),), "service": "s"}),
        (
            "sentinel://u:p%40@h1:1,[2001:db8::2]:3,h4/films?db=5&sentinel_username=x&sentinel_password=y&tls=1",
            {
                "hosts": (("h1", 1), ("2001:db8::2", 3), ("h4", 26379)),
                "service": "films",
                "db": 5,
                "username": "u",
                "password": "p@",
                "sentinel_username": "x",
                "sentinel_password": "y",
                "tls": {},
            },
        ),
    ],
)
def test_every_part_is_read(url: str, parts: dict[str, Any]) -> None:
    """Ports and databases have their defaults; what is percent-encoded is decoded."""
    assert read_store_address(url) == StoreAddress(**parts)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"http://{SECRET}@h", "begin with"),
        ("redis", "begin with"),
        (f"redis://:{SECRET}@", "no host"),
        (f"redis://:{SECRET}@/0", "no host"),
        (f"redis://:{SECRET}@h:notaport/0", "port"),
        (f"redis://:{SECRET}@h:0", "port"),
        (f"redis://:{SECRET}@h:65536", "port"),
        (f"redis://:{SECRET}@h:", "port"),
        (f"redis://:{SECRET}/w@h:6379/0", "%2F"),
        (f"redis://:{SECRET}#w@h:6379/0", "%23"),
        (f"redis://:{SECRET}?w@h:6379/0", "%3F"),
        (f"redis://:{SECRET} w@h", "white space"),
        (f"redis://:{SECRET}@h\n", "white space"),
        (f"redis://:{SECRET}@::1:6379", "brackets"),
        (f"redis://:{SECRET}@[h]:1", "brackets"),
        (f"redis://:{SECRET}@h/x", "database"),
        (f"redis://:{SECRET}@h/-1", "database"),
        (f"redis://:{SECRET}@h/1?db=2", "twice"),
        (f"redis://:{SECRET}@h?db=1&db=1", "db twice"),
        (f"redis://:{SECRET}@a,b", "sentinel://"),
        (f"redis://:{SECRET}@h?socket_timeout=5", "socket_timeout"),
        (f"redis://:{SECRET}@h?ssl_ca_certs=/x", "ssl_ca_certs"),
        (f"redis://:{SECRET}@h?password=x", "twice"),
        (f"rediss://:{SECRET}@h?ssl_cert_reqs=maybe", "ssl_cert_reqs"),
        (f"rediss://:{SECRET}@h?ssl_certfile=/x", "ssl_keyfile"),
        (f"rediss://:{SECRET}@h?ssl_check_hostname=perhaps", "ssl_check_hostname"),
        ("unix://run/redis.sock", "whole path"),
        ("unix://", "whole path"),
        (f"sentinel://:{SECRET}@h:1", "service"),
        (f"sentinel://:{SECRET}@h:1/a/b", "service"),
        (f"sentinel://:{SECRET}@h1:1,/s", "no host"),
        (f"sentinel://:{SECRET}@h1:1,h2:x/s", "port"),
        (f"sentinel://:{SECRET}@h/s?tls=yes", "tls"),
        (f"sentinel://:{SECRET}@h/s?sentinel_password=", "sentinel_password"),
        (f"sentinel://:{SECRET}@h/s?sentinelpassword=x", "sentinelpassword"),
        (f"sentinel://:{SECRET}@h/s?ssl_ca_certs=/x", "tls=1"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_is_shown(url: str, says: str) -> None:
    """One sentence with the setting's name."""
    with pytest.raises(SettingsError) as refused:
        load_settings({"FILMGATE_REDIS_URL": url})
    sentence = str(refused.value)
    assert sentence.startswith("FILMGATE_REDIS_URL")
    assert says in sentence
    assert SECRET not in sentence


@pytest.mark.parametrize(
    ("url", "is_open"),
    [
        ("redis://h", True),
        ("redis://10.0.0.1", True),
        ("redis://h.localhost", True),
        ("rediss://h", True),
        ("redis://:p@h", False),
        ("rediss://h?ssl_certfile=/c&ssl_keyfile=/k", False),
        ("redis://localhost", False),
        ("redis://127.0.0.2", False),
        ("redis://[::1]", False),
        ("unix:///s", False),
        ("sentinel://127.0.0.1/s", False),
        ("sentinel://127.0.0.1,h/s?sentinel_password=p", True),
    ],
)
def test_a_store_open_to_everyone_is_recognised(url: str, is_open: bool) -> None:  # noqa: FBT001  a row of the table
    """Without password or certificate, on an address that is not this machine's."""
    assert read_store_address(url).is_open is is_open


def test_no_secret_is_in_its_text() -> None:
    """Neither in `str` nor in `repr`."""
    address = read_store_address(f"sentinel://u:{SECRET}@[::1]:1,h/s?sentinel_password={SECRET}")
    assert str(address) == "'s' of the sentinels at [::1]:1, h:26379"
    assert SECRET not in repr(address)
