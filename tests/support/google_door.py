"""A door of Google's in front of the S3 server: it checks what Google checks, and lets the request in as S3's.

No server in a registry of packages speaks Google's XML API, which is S3's in all but the way of signing. So the
keys are Google's (service accounts), their signatures are checked here, and the objects are Swift's. What this
cannot show: Google's own replies where they differ from S3's. It runs in the process of `s3_process.py`.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, quote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
SIGNED_IN_S3 = ("partNumber", "uploadId", "uploads")  # parameters that are part of S3's signature


class Refused(Exception):
    """The status and the code of Google's reply."""


@dataclass(frozen=True, slots=True)
class Account:
    """A service account: the key that checks its signatures, and whom it is here."""

    key: RSAPublicKey
    user: str
    secret: str


class GoogleDoor:
    """Tokens that a service account signs, and addresses that one has signed; the rest passes as it came."""

    def __init__(self, inside: Application, accounts: Mapping[str, tuple[str, str, str]]) -> None:
        self._inside = inside
        self._accounts = {
            name: Account(_public(pem), user, secret) for name, (pem, user, secret) in accounts.items()
        }

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request, as WSGI."""
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        token = environ.get("HTTP_AUTHORIZATION", "").partition("Bearer ")[2]
        try:
            if token:
                self._enter(environ, self._of_token(token), query)
            elif "X-Goog-Signature" in query:
                self._enter(environ, self._of_address(environ, query), {})
        except (Refused, KeyError, ValueError, InvalidSignature) as error:
            status, code = error.args if isinstance(error, Refused) else ("401 Unauthorized", "InvalidToken")
            start_response(status, [("Content-Type", "application/xml")])
            return [f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode()]
        return self._inside(environ, start_response)

    def _of_token(self, token: str) -> Account:
        """Who signed this token (a JWT, RS256), if it is still good."""
        signed, _, signature = token.rpartition(".")
        claims = json.loads(_base64(signed.partition(".")[2]))
        account = self._accounts[claims["iss"]]
        account.key.verify(_base64(signature), signed.encode(), PKCS1v15(), SHA256())
        if claims["exp"] < time.time():
            raise Refused("401 Unauthorized", "ExpiredToken")
        return account

    def _of_address(self, environ: dict[str, Any], query: dict[str, str]) -> Account:
        """Who signed this address (V4), if it is still good."""
        account = self._accounts[query["X-Goog-Credential"].partition("/")[0]]
        signature = bytes.fromhex(query.pop("X-Goog-Signature"))
        said = [
            environ["REQUEST_METHOD"],
            environ["RAW_PATH_INFO"],
            _canonical(query),
            "host:storage.googleapis.com",
        ]
        request = "\n".join([*said, "", "host", "UNSIGNED-PAYLOAD"])
        scope = query["X-Goog-Credential"].partition("/")[2]
        head = f"GOOG4-RSA-SHA256\n{query['X-Goog-Date']}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        try:
            account.key.verify(signature, head.encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            raise Refused("403 Forbidden", "SignatureDoesNotMatch") from None
        since = datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        if since + int(query["X-Goog-Expires"]) < time.time():
            raise Refused("400 Bad Request", "ExpiredToken")
        return account

    def _enter(self, environ: dict[str, Any], account: Account, query: dict[str, str]) -> None:
        """Sign it as S3 does, in its second version."""
        date, environ["QUERY_STRING"] = formatdate(usegmt=True), _canonical(query)
        signed = "&".join(
            f"{name}={query[name]}" if query[name] else name for name in SIGNED_IN_S3 if name in query
        )
        said = [
            environ["REQUEST_METHOD"],
            environ.get("HTTP_CONTENT_MD5", ""),
            environ.get("CONTENT_TYPE") or "",
            date,
        ]
        text = "\n".join([*said, environ["RAW_PATH_INFO"] + (f"?{signed}" if signed else "")])
        mac = hmac.digest(account.secret.encode(), text.encode(), "sha1")
        environ["HTTP_DATE"] = date
        environ["HTTP_AUTHORIZATION"] = f"AWS {account.user}:{base64.b64encode(mac).decode()}"


def _public(pem: str) -> RSAPublicKey:
    key = load_pem_public_key(pem.encode())
    assert isinstance(key, RSAPublicKey)
    return key


def _base64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _canonical(query: dict[str, str]) -> str:
    return "&".join(f"{quote(name, safe='')}={quote(query[name], safe='')}" for name in sorted(query))
