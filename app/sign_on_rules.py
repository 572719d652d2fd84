"""Rules over the settings of single sign-on; ValueError with a sentence that names the setting."""

from collections.abc import Sequence
from ipaddress import ip_network

from app.domain.sign_on import GroupRule

PROVIDER = ("FILMGATE_OIDC_ISSUER", "FILMGATE_OIDC_CLIENT_ID", "FILMGATE_OIDC_CLIENT_SECRET")
MIN_PREFIX = {4: 16, 6: 64}  # as a cluster's network of proxies has it


def require_whole_provider(values: Sequence[object]) -> None:
    """A provider has issuer, client id and client secret, or none of them."""
    given = {value is not None: name for name, value in zip(PROVIDER, values, strict=True)}
    if len(given) > 1:
        raise ValueError(f"{given[True]} is set without {given[False]}; single sign-on needs both.")


def require_whole_sign_on(
    *, provider: str | None, headers: tuple[str | None, str | None], rules: Sequence[GroupRule]
) -> None:
    """Whoever signs in by a provider or a proxy needs rules, and rules need one of the two."""
    user, groups = headers
    if user is None and groups is not None:
        raise ValueError("FILMGATE_PROXY_GROUPS_HEADER is set without FILMGATE_PROXY_USER_HEADER; set both.")
    used = PROVIDER[0] if provider is not None else "FILMGATE_PROXY_USER_HEADER" if user is not None else None
    if used is not None and not rules:
        example = "set it, such as makers=TEAM,leads=TEAM:admin (docs/single-sign-on.md)"
        raise ValueError(f"{used} is set without FILMGATE_GROUPS, so nobody could sign in; {example}.")
    if used is None and rules:
        remedy = "set FILMGATE_OIDC_ISSUER or FILMGATE_PROXY_USER_HEADER"
        raise ValueError(f"FILMGATE_GROUPS is set, but nobody signs in by groups; {remedy}.")


def require_own_proxies(networks: Sequence[str], *, real_money: bool) -> None:
    """A header that says who has signed in is believed from the operator's own proxies alone."""
    if not networks:
        remedy = "so no proxy is believed; set it to the addresses that the proxy calls from"
        raise ValueError(f"FILMGATE_PROXY_USER_HEADER is set without FILMGATE_TRUSTED_PROXIES, {remedy}.")
    wide = [one for one in map(ip_network, networks) if one.prefixlen < MIN_PREFIX[one.version]]
    if real_money and wide:
        raise ValueError(
            f"FILMGATE_TRUSTED_PROXIES holds {wide[0]}, and by FILMGATE_PROXY_USER_HEADER everybody there could"
            " sign in as anybody; name the proxy's own addresses."
        )
