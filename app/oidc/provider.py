"""A provider of OpenID Connect: what it publishes, where it sends a browser, and who comes back.

The authorization code flow with PKCE. The provider's host is the operator's choice, so it may be private; the other
hosts that it names are called by the rule for webhooks (`app/egress.py`).
"""

import asyncio
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import structlog
from authlib.oauth2.auth import ClientAuth  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749.parameters import (  # type: ignore[import-untyped]
    prepare_grant_uri,
    prepare_token_request,
)
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]
from joserfc.jwk import KeySet

from app.domain.addresses import is_loopback
from app.domain.errors import Unauthenticated, Unavailable
from app.domain.sign_on import LONGEST_SUBJECT, MAX_GROUPS, Identity
from app.egress import EgressPolicy, ForbiddenTarget
from app.oidc.id_tokens import NotAsAsked, UnknownKey, read_id_token, read_key_set
from app.webhooks.transport import AnswerLimit, AnswerTooLarge, GuardedTransport, guarded_client

CALL_S = 10.0  # for one call to the provider
FRESH_S = 3600.0  # of what it publishes; a signature by an unknown key has its keys read anew
MIN_INTERVAL_S = 10.0  # between two such readings
AGAIN_S = 2.0  # between two attempts to read anything at all
MAX_AGE_S = 86_400.0  # of what cannot be read again
ANSWER_BYTES = 1_000_000
DISCOVERY = "/.well-known/openid-configuration"
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
FORM = "application/x-www-form-urlencoded"
NAME_CLAIMS = ("name", "preferred_username", "email", "sub")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """What an operator says about a provider; `redirect_uri` is where it sends browsers back to."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: str
    groups_claim: str
    label: str
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class Published:
    """What the provider publishes, and when it was read (seconds of the monotonic clock)."""

    metadata: Mapping[str, Any]
    keys: KeySet
    read_at: float


class ProviderFault(Exception):
    """The provider cannot be used; the message is a sentence for operators."""


class OpenIdProvider:
    """Begins sign-ins at one provider, and learns who came back."""

    def __init__(
        self,
        settings: ProviderSettings,
        policy: EgressPolicy,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._policy = policy.allowing(urlsplit(settings.issuer).hostname or "")
        self._tls = tls
        self._published: Published | None = None
        self._tried_at = float("-inf")
        self._reading = asyncio.Lock()

    @property
    def label(self) -> str:
        """What its button says."""
        return self._settings.label

    async def address(self, *, state: str, nonce: str, verifier: str) -> str:
        """Where the browser goes to sign in; Unavailable while the provider does not answer."""
        published = await self._fresh()
        url: str = prepare_grant_uri(
            published.metadata["authorization_endpoint"],
            self._settings.client_id,
            "code",
            redirect_uri=self._settings.redirect_uri,
            scope=self._settings.scopes,
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return url

    async def identity(self, code: str, *, nonce: str, verifier: str) -> Identity:
        """Who came back with this code.

        Raises Unauthenticated when the provider refuses the code, or says something that was not asked for;
        Unavailable when it does not answer.
        """
        try:
            return await self._identity(code, nonce=nonce, verifier=verifier)
        except NotAsAsked as error:
            log.warning("sign_on.refused", reason=str(error), issuer=self._settings.issuer)
            raise Unauthenticated(
                f"What {self.label} said about you does not fit this sign-in ({error}). Begin again; if it"
                " repeats, tell the administrator of this gateway."
            ) from None

    async def fault(self) -> str | None:
        """Why it cannot be used, for operators; None when it can."""
        try:
            await self.read()
        except ProviderFault as fault:
            return str(fault)
        return None

    async def read(self) -> Published:
        """What the provider publishes, read now; ProviderFault with the reason when it cannot be used."""
        metadata = await self._read_json("GET", self._settings.issuer.rstrip("/") + DISCOVERY)
        if metadata.get("issuer") != self._settings.issuer:
            named = str(metadata.get("issuer"))[:200]
            raise ProviderFault(f"The provider calls itself {named!r}; FILMGATE_OIDC_ISSUER must be the same text.")
        for name in ENDPOINTS:
            self._require_endpoint(name, metadata.get(name))
        keys = read_key_set(await self._read_json("GET", metadata["jwks_uri"]))
        if keys is None:
            raise ProviderFault("The provider publishes no key that signs.")
        return Published(metadata, keys, time.monotonic())

    # --- what it publishes -------------------------------------------------------------------------------------

    async def _fresh(self, *, age_s: float = FRESH_S) -> Published:
        """What it publishes, at most so old if it answers, and a day old if it does not."""
        if not self._is_settled(age_s):
            async with self._reading:  # concurrent sign-ins wait for one reading
                if not self._is_settled(age_s):
                    await self._renew()
        published = self._published
        if published is None or time.monotonic() - published.read_at > MAX_AGE_S:
            raise Unavailable(f"{self.label} does not answer at the moment; try again, or sign in with a key.")
        return published

    def _is_settled(self, age_s: float) -> bool:
        """True when it need not, or may not yet, be read again."""
        now, published = time.monotonic(), self._published
        if now - self._tried_at < (AGAIN_S if published is None else MIN_INTERVAL_S):
            return True
        return published is not None and now - published.read_at < age_s

    async def _renew(self) -> None:
        try:
            self._published = await self.read()
        except ProviderFault as fault:
            log.warning("sign_on.provider", sentence=str(fault), issuer=self._settings.issuer)
        finally:
            self._tried_at = time.monotonic()

    def _require_endpoint(self, name: str, url: Any) -> None:
        """ProviderFault unless it is https, or at an issuer on this machine; a browser opens one of them."""
        parts = urlsplit(url) if isinstance(url, str) and url.isprintable() else None
        insecure = urlsplit(self._settings.issuer).scheme == "http"
        if (
            parts is None
            or not parts.hostname
            or parts.scheme not in ({"https", "http"} if insecure else {"https"})
        ):
            raise ProviderFault(f"The provider's {name} is not an https address.")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ProviderFault(f"The provider's {name} is not an https address.")

    # --- who came back -----------------------------------------------------------------------------------------

    async def _identity(self, code: str, *, nonce: str, verifier: str) -> Identity:
        published = await self._fresh()
        answer = await self._exchange(published, code, verifier)
        text, access_token = answer.get("id_token"), answer.get("access_token")
        if not isinstance(text, str):
            raise NotAsAsked("no ID token")
        for age_s in (FRESH_S, 0.0):
            published = await self._fresh(age_s=age_s)
            try:
                claims = self._claims(text, published, nonce)
                break
            except UnknownKey:
                continue
        else:
            raise NotAsAsked("key")
        if self._settings.groups_claim not in claims and isinstance(access_token, str):
            claims = {**claims, **await self._user_info(published, access_token, claims["sub"])}
        return self._as_identity(claims)

    def _claims(self, text: str, published: Published, nonce: str) -> Mapping[str, Any]:
        return read_id_token(
            text,
            published.keys,
            issuer=self._settings.issuer,
            client=self._settings.client_id,
            nonce=nonce,
            now_s=int(time.time()),
        )

    async def _exchange(self, published: Published, code: str, verifier: str) -> Mapping[str, Any]:
        """The provider's answer to a code; NotAsAsked when it refuses it, as a code that was used."""
        supported = published.metadata.get("token_endpoint_auth_methods_supported")
        basic = not isinstance(supported, list) or "client_secret_basic" in supported
        auth = ClientAuth(
            self._settings.client_id,
            self._settings.client_secret,
            "client_secret_basic" if basic else "client_secret_post",
        )
        body = prepare_token_request(
            "authorization_code", redirect_uri=self._settings.redirect_uri, code=code, code_verifier=verifier
        )
        url, headers, body = auth.prepare(
            "POST", published.metadata["token_endpoint"], {"Content-Type": FORM}, body
        )
        try:
            return await self._read_json("POST", url, headers=headers, content=body.encode(), refusal="the code")
        except ProviderFault as fault:
            raise self._away(fault) from None

    async def _user_info(self, published: Published, access_token: str, subject: str) -> Mapping[str, Any]:
        """What it says in addition about the same person: some providers keep groups out of ID tokens."""
        url = published.metadata.get("userinfo_endpoint")
        if not isinstance(url, str):
            return {}
        try:
            self._require_endpoint("userinfo_endpoint", url)
            headers = {"Authorization": f"Bearer {access_token}"}
            found = await self._read_json("GET", url, headers=headers)
        except ProviderFault as fault:
            raise self._away(fault) from None
        if found.get("sub") != subject:
            raise NotAsAsked("sub")
        return {name: found[name] for name in (self._settings.groups_claim, *NAME_CLAIMS) if name in found}

    def _as_identity(self, claims: Mapping[str, Any]) -> Identity:
        subject = claims["sub"]
        if not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
            raise NotAsAsked("sub")
        names = (claims.get(name) for name in NAME_CLAIMS)
        name = next((name for name in names if isinstance(name, str) and name.strip()), subject)
        return Identity(
            self._settings.issuer, subject, name, _groups(claims.get(self._settings.groups_claim)), self.label
        )

    # --- calls -------------------------------------------------------------------------------------------------

    def _away(self, fault: ProviderFault) -> Unavailable:
        log.warning("sign_on.provider", sentence=str(fault), issuer=self._settings.issuer)
        return Unavailable(f"{self.label} did not answer.")

    async def _read_json(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        refusal: str | None = None,
    ) -> Mapping[str, Any]:
        """The JSON object of one call; ProviderFault. NotAsAsked with `refusal` for a status 400 or 401."""
        limit = AnswerLimit(ANSWER_BYTES)
        try:
            async with (
                asyncio.timeout(CALL_S),
                guarded_client(GuardedTransport(self._policy, tls=self._tls), total=CALL_S) as web,
                web.stream(
                    method,
                    url,
                    headers={"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})},
                    content=content,
                    extensions={"trace": limit.watch},
                ) as answer,
            ):  # as it came: what is compressed all the same is no JSON
                body = b"".join([chunk async for chunk in answer.aiter_raw()])
        except ForbiddenTarget:
            raise ProviderFault(
                f"{_host(url)} may not be called; list it in FILMGATE_EGRESS_ALLOW if it is yours."
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, UnicodeError, AnswerTooLarge) as error:
            raise ProviderFault(f"{_host(url)} does not answer ({type(error).__name__}).") from None
        finally:
            await limit.close()
        if refusal is not None and answer.status_code in {httpx.codes.BAD_REQUEST, httpx.codes.UNAUTHORIZED}:
            log.warning(
                "sign_on.code_refused", status=answer.status_code, answer=body[:300].decode(errors="replace")
            )
            raise NotAsAsked(refusal)
        if answer.status_code != httpx.codes.OK:
            raise ProviderFault(f"{_host(url)} answered {answer.status_code}.")
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ProviderFault(f"{_host(url)} answered something else than a JSON object.")
        return cast("Mapping[str, Any]", found)


def _groups(given: Any) -> tuple[str, ...] | None:
    """The groups of a claim: a list of texts, or one text; None where it says nothing."""
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, list):
        return None
    return tuple(group for group in listed[:MAX_GROUPS] if isinstance(group, str) and group.isprintable())


def _host(url: str) -> str:
    return urlsplit(url).netloc[:200] or "the provider"
