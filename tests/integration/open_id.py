"""A provider of OpenID Connect that says what the test writes, honest or not, and browsers that come from it."""

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from tests.support.tcp_server import Reader, TcpServer, Writer

CLIENT = "filmgate"
SECRET = "a-secret-of-the-provider-of-the-tests"


class AnyProvider(TcpServer):
    """`claims` are what it says of everybody; `token` replaces its ID token, `key` signs it, `away` answers 503."""

    def __init__(self, port: int = 0) -> None:
        super().__init__("127.0.0.1", port)
        self.key = ECKey.generate_key("P-256", {"kid": "one", "use": "sig"})
        self.published = [self.key]
        self.claims: dict[str, Any] = {"sub": "ada-1", "name": "Ada", "groups": ["makers"]}
        self.user_info: dict[str, Any] | None = None
        self.alg = "ES256"
        self.token: str | None = None
        self.refuses = False
        self.away = False
        self.nonce = ""
        self.asked: list[tuple[str, Mapping[str, str], dict[str, list[str]]]] = []

    @property
    def issuer(self) -> str:
        """Its name, which is its address."""
        return f"http://127.0.0.1:{self.port}"

    def settings(self, groups: str = "makers=test,leads=test:admin") -> dict[str, str]:
        """The settings of a gateway that believes it."""
        return {
            "FILMGATE_OIDC_ISSUER": self.issuer,
            "FILMGATE_OIDC_CLIENT_ID": CLIENT,
            "FILMGATE_OIDC_CLIENT_SECRET": SECRET,
            "FILMGATE_OIDC_LABEL": "Studio accounts",
            "FILMGATE_GROUPS": groups,
        }

    def id_token(self, **changes: Any) -> str:
        """An ID token with these claims changed; None leaves one out."""
        now = int(time.time())
        usual = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": self.nonce}
        claims = {name: value for name, value in (usual | self.claims | changes).items() if value is not None}
        if self.alg == "HS256":
            return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))
        return jwt.encode({"alg": self.alg, "kid": self.key.kid}, claims, self.key)

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """Answer one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *lines = head.rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path = request_line.split(" ")[1]
        self.asked.append((path, headers, parse_qs(body.decode())))
        status, answer = self._answer(path)
        content = json.dumps(answer).encode()
        writer.write(f"HTTP/1.1 {status} -\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode())
        writer.write(content)
        await writer.drain()

    def _answer(self, path: str) -> tuple[int, Any]:
        if self.away:
            return 503, {}
        if path == "/.well-known/openid-configuration":
            names = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
            return 200, {"issuer": self.issuer, **{name: f"{self.issuer}/{name}" for name in names}}
        if path == "/jwks_uri":
            return 200, {"keys": [key.as_dict(private=False) for key in self.published]}
        if path == "/userinfo_endpoint":
            return (200, self.user_info) if self.user_info is not None else (404, {})
        if self.refuses:
            return 400, {"error": "invalid_grant"}
        return 200, {
            "access_token": "for-user-info",
            "token_type": "Bearer",
            "id_token": self.token or self.id_token(),
        }


async def leave(web: httpx.AsyncClient, provider: AnyProvider, to: str = "/jobs") -> dict[str, str]:
    """Press the button: what the browser takes along to the provider."""
    reply = await web.post("/v1/sign-in/oidc", json={"to": to})
    assert reply.status_code == 201, reply.text
    asked = {name: value for name, (value,) in parse_qs(urlsplit(reply.json()["url"]).query).items()}
    provider.nonce = asked["nonce"]
    return asked


async def come_back(web: httpx.AsyncClient, state: str, code: str = "a-code") -> httpx.Response:
    """The page hands over what the provider has put into its address."""
    return await web.post("/v1/sign-in/oidc/return", json={"state": state, "code": code})


async def sign_on(web: httpx.AsyncClient, provider: AnyProvider, **claims: Any) -> httpx.Response:
    """From the button and back, as somebody of whom the provider says this."""
    provider.claims |= claims
    state = (await leave(web, provider))["state"]
    return await come_back(web, state)
