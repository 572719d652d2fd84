"""Careless settings: one sentence with the setting's name before anything starts; never the value."""

import os
import secrets
from pathlib import Path

import pytest

from app.cli.preflight import check_tls, warnings
from app.data_dir import DataDirLock, NotPrivate, make_private
from app.domain.addresses import METADATA
from app.domain.secret_strength import MIN_BITS, bits_of
from app.egress import EgressPolicy
from app.gateway import egress_policy, route_to_fal
from app.settings import SettingsError, load_settings
from tests.support.tls import issue_certificates

REAL = {"FAL_KEY": "id:secret", "FILMGATE_REDIS_URL": "redis://127.0.0.1:1"}
EMULATED = {"FILMGATE_FAL_QUEUE_URL": "http://127.0.0.1:8001", "FILMGATE_REDIS_URL": "redis://127.0.0.1:1"}
GUESSED = [
    "0123456789abcdef", "fedcba9876543210", "abcdefghijklmnop", "zyxwvutsrqponmlk", "qwertyuiopasdfgh",
    "1qaz2wsx3edc4rfv", "abcdefgh" * 2, "12345678" * 4, "password12345678", "Password-1234567", "adminadmin1234567",
    "filmgate12345678", "a1b2a1b2a1b2a1b2", "AbCdEfGhIjKlMnOp", "secret-secret-12",
]  # fmt: skip
ODD = ["{} ", " {}", "{}\t", "{}\u00a0", "a b{}", "é{}", "{}\x00", "{}\x7f", "{}\r"]


def refused(environment: dict[str, str]) -> str:
    """The sentence that refuses these settings."""
    with pytest.raises(SettingsError) as caught:
        load_settings(environment)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "\r" not in sentence
    return sentence


@pytest.mark.parametrize("secret", GUESSED)
@pytest.mark.parametrize("name", ["FILMGATE_ADMIN_KEY", "FILMGATE_HOOK_SECRET"])
def test_a_secret_that_is_easy_to_guess_is_refused(name: str, secret: str) -> None:
    """Sequences, repetitions and well-known words; the sentence says how to make a good one, not the value."""
    sentence = refused({name: secret})
    assert sentence.startswith(name)
    assert "openssl rand -hex 32" in sentence
    assert secret not in sentence


@pytest.mark.parametrize("size", [16, 32])
def test_a_random_secret_passes(size: int) -> None:
    """Two hundred, made as `openssl rand -hex` and `secrets.token_urlsafe` make them."""
    for _ in range(100):
        assert bits_of(secrets.token_hex(size)) > MIN_BITS
        assert bits_of(secrets.token_urlsafe(size)) > MIN_BITS


@pytest.mark.parametrize("form", ODD)
@pytest.mark.parametrize("name", ["FAL_KEY", "FAL_ADMIN_KEY", "FILMGATE_ADMIN_KEY"])
def test_a_key_that_no_header_can_carry_is_refused(name: str, form: str) -> None:
    """White space, control characters and non-ASCII letters: from the environment, and from a file."""
    key = form.format("8f2c11d07a9e4b63")
    assert name in refused({name: key})


def test_a_key_in_a_file_is_named_by_its_file(tmp_path: Path) -> None:
    """A line break at the end and a byte order mark are normal; a break in the middle is refused."""
    file = tmp_path / "key"
    file.write_text("abc:def\r\n", encoding="utf-8-sig")
    key = load_settings({"FAL_KEY_FILE": str(file)}).fal_key
    assert key is not None
    assert key.get_secret_value() == "abc:def"
    file.write_text("abc:def\nghi\n", encoding="utf-8")
    assert refused({"FAL_KEY_FILE": str(file)}).startswith("FAL_KEY_FILE must be printable ASCII")


@pytest.mark.parametrize("secret", ["8f2c11d07a9e4b63 ", "\t8f2c11d07a9e4b63", "8f2c11d0\x007a9e4b63"])
def test_a_hook_secret_with_odd_ends_is_refused(secret: str) -> None:
    """It is probably a mistake."""
    assert "FILMGATE_HOOK_SECRET" in refused({"FILMGATE_HOOK_SECRET": secret})


@pytest.mark.parametrize("name", ["FILMGATE_PUBLIC_URL", "FILMGATE_HOST", "FILMGATE_EGRESS_ALLOW", "FAL_KEY"])
def test_a_line_break_in_a_value_is_refused(name: str) -> None:
    """A file with CRLF leaves a CR after each value."""
    sentence = refused({name: "x\r"})
    assert sentence.startswith(f"{name} holds a line break or another control character")
    assert "CRLF" in sentence


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pw@videos.example.com", "https://@videos.example.com", "https://videos.example.com:99999",
        "https://videos.example.com:0", "https://videos.example.com:", "https://videos example.com",
        "https://videos.example.com/a b", " https://videos.example.com", "https://videos.example.com ",
        "https://<videos>.example.com", "https://videos.example.com/<x>", "https://videos.example.com#a",
        "https://videos.example.com?a=b", "https://vidéos.example.com", "https://videos.example.com\\@evil.example",
        "https://", "https:///x", "https://:8000", "https://-videos.example.com", "https://.example.com",
        "ftp://videos.example.com", "videos.example.com", "https://videos.example.com%2f.evil.example",
    ],
)  # fmt: skip
def test_a_broken_public_url_is_refused(url: str) -> None:
    """It is in every reply, and fal and customers read it."""
    sentence = refused({"FILMGATE_PUBLIC_URL": url})
    assert sentence.startswith("FILMGATE_PUBLIC_URL must be a URL such as https://videos.example.com")
    assert "pw@" not in sentence


@pytest.mark.parametrize(
    "url",
    [
        "https://videos.example.com", "http://gateway_1:8000", "https://videos.example.com:8443/gate/way",
        "http://[2001:db8::1]:8000", "https://xn--vidos-esa.example.com", "http://127.0.0.1:8000/",
    ],
)  # fmt: skip
def test_an_honest_public_url_passes(url: str) -> None:
    """With a port, a path, an IP address, or a compose service's name."""
    assert load_settings({"FILMGATE_PUBLIC_URL": url}).base_url == url.rstrip("/")


@pytest.mark.parametrize("name", ["FILMGATE_FAL_QUEUE_URL", "FILMGATE_FAL_REST_URL", "FILMGATE_FAL_API_URL"])
@pytest.mark.parametrize(
    "url", ["https://fal.example x", "https://fal.example:99999", "https://fal<.example", "https://[x"]
)
def test_a_broken_url_of_fals_is_refused(name: str, url: str) -> None:
    """No call could be made to it."""
    assert refused({name: url}).startswith(name)


# --- networks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    ["0.0.0.0/0", "::/0", "169.254.0.0/16", "169.254.169.254", "169.254.169.0/24", "168.63.129.16", "168.0.0.0/8",
     "fd00:ec2::254", "fe80::/10", "128.0.0.0/1"],
)  # fmt: skip
def test_a_list_that_opens_metadata_or_everything_is_refused_with_the_real_fal(entry: str) -> None:
    """78 with real money; with the emulator a warning in the log. The addresses stay closed in any case."""
    with pytest.raises(SettingsError, match=r"FILMGATE_EGRESS_ALLOW: .* opens more than hosts of yours"):
        egress_policy(load_settings(REAL | {"FILMGATE_EGRESS_ALLOW": f"10.0.0.0/8, {entry}"}))
    policy = egress_policy(load_settings(EMULATED | {"FILMGATE_EGRESS_ALLOW": entry}))
    assert policy.allow
    assert not any(map(policy.allows_address, METADATA))


@pytest.mark.parametrize(
    "entry", ["10.0.0.0/8", "100.64.0.0/10", "fd00::/8", "192.168.1.7", "hooks.internal", "127.0.0.1"]
)
def test_a_network_of_ones_own_may_be_opened(entry: str) -> None:
    """Even if a cloud has a metadata address in such a network: that address stays closed."""
    assert egress_policy(load_settings(REAL | {"FILMGATE_EGRESS_ALLOW": entry})).allow


@pytest.mark.parametrize("entry", ["300.1.1.1", "10.0.0", "1.2.3.4.5", "hooks.300", "10.0.0.0/33", "*", "a b"])
def test_what_is_neither_a_network_nor_a_name_is_refused(entry: str) -> None:
    """A mistyped address is not read as a name."""
    with pytest.raises(ValueError, match="neither a network"):
        EgressPolicy.parse(entry)


@pytest.mark.parametrize(
    "value",
    ["proxy.internal", "10.0.0.1/8", "10.0.0.0/33", "300.1.1.1", "*", "10.0.0.1:8080", "[::1]",
     "10.0.0.1 10.0.0.2", "unix:"],
)  # fmt: skip
def test_a_proxy_that_is_no_address_is_refused(value: str) -> None:
    """A name, a port, a network with host bits; one good entry does not hide it."""
    for given in (value, f"10.0.0.9, {value}"):
        assert refused({"FILMGATE_TRUSTED_PROXIES": given}).startswith(
            "FILMGATE_TRUSTED_PROXIES must be addresses and networks such as 10.0.0.5,10.1.0.0/16, not "
        )


@pytest.mark.parametrize("value", ["0.0.0.0/0", "::/0", "0.0.0.0/1,128.0.0.0/1", "8.0.0.0/7", "2000::/3"])
def test_a_proxy_range_of_all_addresses_is_refused(value: str) -> None:
    """Every caller could then write any address into a header; not even the emulator needs it."""
    assert "must be your own proxies" in refused({"FILMGATE_TRUSTED_PROXIES": value})


def test_proxies_are_addresses_and_networks() -> None:
    """Of both kinds, with white space and empty entries; none unless they are set."""
    given = load_settings({"FILMGATE_TRUSTED_PROXIES": " 127.0.0.1, ::1,,10.0.0.0/8,fc00::/7 "})
    assert given.trusted_proxies == ("127.0.0.1/32", "::1/128", "10.0.0.0/8", "fc00::/7")
    assert load_settings({"FILMGATE_TRUSTED_PROXIES": ""}).trusted_proxies == ()


def test_a_proxy_that_was_not_named_is_warned_of_with_the_real_fal() -> None:
    """With an https public URL that we do not serve there is a proxy, whose callers would share one address."""
    public = {"FILMGATE_PUBLIC_URL": "https://videos.example.com"}
    (sentence,) = warnings(load_settings(REAL | public))
    assert "FILMGATE_TRUSTED_PROXIES" in sentence
    assert not warnings(load_settings(REAL | public | {"FILMGATE_TRUSTED_PROXIES": "10.0.0.5"}))
    assert not warnings(load_settings(EMULATED | public))


# --- TLS ---------------------------------------------------------------------------------------------------------


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    """And the other way round."""
    assert "without FILMGATE_TLS_KEY" in refused({"FILMGATE_TLS_CERT": str(tmp_path)})
    assert "without FILMGATE_TLS_CERT" in refused({"FILMGATE_TLS_KEY": str(tmp_path)})


def test_a_certificate_that_cannot_be_served_is_refused(tmp_path: Path) -> None:
    """Missing, a folder, garbage, another certificate's key; the right pair is accepted."""
    one, other = (issue_certificates(_made(tmp_path / name)) for name in ("one", "other"))
    junk = tmp_path / "junk.pem"
    junk.write_bytes(b"-----BEGIN CERTIFICATE-----\njunk\n-----END CERTIFICATE-----\n\xff")
    wrong = {
        (one.certificate, tmp_path / "absent"): "FILMGATE_TLS_KEY names a file that cannot be read",
        (tmp_path, one.key): "FILMGATE_TLS_CERT names a file that cannot be read",
        (junk, one.key): "cannot be used",
        (one.certificate, junk): "cannot be used",
        (one.key, one.certificate): "cannot be used",
        (one.certificate, other.key): "is not the key of the certificate",
    }
    for (certificate, key), words in wrong.items():
        pair = {"FILMGATE_TLS_CERT": str(certificate), "FILMGATE_TLS_KEY": str(key)}
        with pytest.raises(SettingsError, match=words):
            check_tls(load_settings(pair))
    right = {"FILMGATE_TLS_CERT": str(one.certificate), "FILMGATE_TLS_KEY": str(one.key)}
    check_tls(load_settings(right))


def test_plain_http_on_a_network_is_warned_of_with_the_real_fal() -> None:
    """Not on this machine, not behind a proxy with a certificate, and not with the emulator."""
    public = {"FILMGATE_HOST": "0.0.0.0"}
    (sentence,) = warnings(load_settings(REAL | public))
    assert "plain http" in sentence
    assert not warnings(load_settings(REAL))
    behind = {"FILMGATE_PUBLIC_URL": "https://videos.example.com", "FILMGATE_TRUSTED_PROXIES": "172.18.0.2"}
    assert not warnings(load_settings(REAL | public | behind))
    assert not warnings(load_settings(EMULATED | public))


# --- connections to fal -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "proxy", ["socks5://proxy:1080", "http://", "http://proxy:0", "http://pro xy", "http://p/x?y"]
)
def test_a_proxy_that_cannot_be_used_is_refused(proxy: str) -> None:
    """By its name, and without its value, which may have a password."""
    sentence = refused({"HTTPS_PROXY": proxy})
    assert sentence.startswith("HTTPS_PROXY must be the URL of a proxy")
    assert refused({"https_proxy": "http://me:kan4rie@proxy:99999"}).count("kan4rie") == 0


def test_the_small_name_of_a_proxy_wins() -> None:
    """As curl and Python read them; a proxy without a scheme is an http proxy."""
    made = load_settings(
        {"HTTPS_PROXY": "http://one:1", "https_proxy": "two:2", "NO_PROXY": " .a.example,B.example,, "}
    )
    assert made.https_proxy is not None
    assert made.https_proxy.get_secret_value() == "http://two:2"
    assert made.no_proxy == ("a.example", "b.example")


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    """Before the first call to fal."""
    junk = tmp_path / "junk.pem"
    junk.write_text("junk", encoding="utf-8")
    for path in (junk, tmp_path / "absent", tmp_path):
        with pytest.raises(SettingsError, match="SSL_CERT_FILE"):
            route_to_fal(load_settings({"SSL_CERT_FILE": str(path)}))


@pytest.mark.parametrize(
    "name", ["*.example.com", "localhost", "10.0.0.1", "a b.example", "https://a.example", "xn--a.example"]
)
def test_an_odd_host_of_fals_media_is_refused(name: str) -> None:
    """A plain name with a dot in it; subdomains are included."""
    assert refused({"FILMGATE_FAL_MEDIA_HOSTS": f"media.example.com, {name}"}).startswith(
        "FILMGATE_FAL_MEDIA_HOSTS"
    )


# --- the data directory ------------------------------------------------------------------------------------------


def test_a_new_directory_is_private(tmp_path: Path) -> None:
    """Whatever the umask."""
    made = tmp_path / "a" / "data"
    make_private(made)
    make_private(made)
    assert made.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o1777, 0o777, 0o775, 0o770, 0o702])
def test_a_directory_in_which_others_write_is_refused_and_left_as_it_is(tmp_path: Path, mode: int) -> None:
    """Like /tmp, for root too."""
    open_to_all = _made(tmp_path / "shared")
    open_to_all.chmod(mode)
    with pytest.raises(NotPrivate, match="FILMGATE_DATA_DIR: others may write"):
        make_private(open_to_all)
    assert open_to_all.stat().st_mode & 0o7777 == mode
    assert list(open_to_all.iterdir()) == []


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o750])
def test_a_directory_of_ones_own_keeps_its_rights(tmp_path: Path, mode: int) -> None:
    """Others may see that it exists; its content has its own modes."""
    own = _made(tmp_path / "own")
    own.chmod(mode)
    make_private(own)
    assert own.stat().st_mode & 0o7777 == mode


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Its lock cannot be opened, as on a disk that is mounted for reading: a sentence with the setting."""
    own = _made(tmp_path / "own")
    _made(own / "lock")
    with pytest.raises(NotPrivate, match=f"{own} cannot be written .*; set FILMGATE_DATA_DIR"):
        DataDirLock(own, "http://127.0.0.1:8000").acquire()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    """Its owner could read and replace everything."""
    theirs = _made(tmp_path / "theirs")
    os.chown(theirs, 65_534, 65_534)
    with pytest.raises(NotPrivate, match="belongs to another user"):
        make_private(theirs)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


OIDC = {
    "FILMGATE_OIDC_ISSUER": "https://login.example.com",
    "FILMGATE_OIDC_CLIENT_ID": "filmgate",
    "FILMGATE_OIDC_CLIENT_SECRET": "of-the-provider",
    "FILMGATE_GROUPS": "makers=Film",
}
HEADER = {
    "FILMGATE_PROXY_USER_HEADER": "X-Auth-User",
    "FILMGATE_TRUSTED_PROXIES": "10.0.0.5",
    "FILMGATE_GROUPS": "*=Film",
}
INCOMPLETE = [
    (OIDC, "FILMGATE_OIDC_ISSUER", None, "FILMGATE_OIDC_CLIENT_SECRET is set without FILMGATE_OIDC_ISSUER"),
    (OIDC, "FILMGATE_OIDC_CLIENT_SECRET", None, "is set without FILMGATE_OIDC_CLIENT_SECRET"),
    (OIDC, "FILMGATE_GROUPS", None, "FILMGATE_OIDC_ISSUER is set without FILMGATE_GROUPS"),
    (OIDC, "FILMGATE_GROUPS", "makers", "FILMGATE_GROUPS must be rules such as makers=Studio,leads=Studio:admin"),
    (OIDC, "FILMGATE_GROUPS", "makers=Film:root", "with the roles member and admin"),
    (OIDC, "FILMGATE_OIDC_ISSUER", "http://login.example.com", "FILMGATE_OIDC_ISSUER must be https"),
    (OIDC, "FILMGATE_OIDC_SCOPES", "profile", "openid among them"),
    (HEADER, "FILMGATE_TRUSTED_PROXIES", None, "is set without FILMGATE_TRUSTED_PROXIES"),
    (HEADER, "FILMGATE_TRUSTED_PROXIES", "10.0.0.0/8", "everybody there could sign in as anybody"),
    (HEADER, "FILMGATE_GROUPS", None, "FILMGATE_PROXY_USER_HEADER is set without FILMGATE_GROUPS"),
    (HEADER, "FILMGATE_PROXY_USER_HEADER", None, "nobody signs in by groups"),
    (HEADER, "FILMGATE_PROXY_USER_HEADER", "Authorization", "the name of a header that only the proxy sends"),
    (HEADER, "FILMGATE_PROXY_USER_HEADER", "X Auth", "the name of a header that only the proxy sends"),
]


@pytest.mark.parametrize(("given", "name", "value", "words"), INCOMPLETE)
def test_single_sign_on_is_whole_or_refused(
    given: dict[str, str], name: str, value: str | None, words: str
) -> None:
    """Half set, misspelt, or a proxy that could be anybody: one sentence, before anything starts."""
    load_settings(REAL | given)  # as a whole it is accepted
    changed = {key: text for key, text in (given | {name: value}).items() if text is not None}
    assert words in refused(REAL | changed)


def test_the_rules_of_groups_are_read_as_they_are_written() -> None:
    """Groups may hold `=`, names may hold spaces; the order is kept, because the first that fits decides."""
    given = load_settings(OIDC | {"FILMGATE_GROUPS": " CN=leads = Film Club : admin, *=team_1"})
    assert [(rule.group, rule.team, rule.role) for rule in given.groups] == [
        ("CN=leads", "Film Club", "admin"),
        ("*", "team_1", "member"),
    ]
