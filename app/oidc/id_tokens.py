"""What a provider says about somebody, checked: its signature, for whom it is, until when, for which sign-in."""

from collections.abc import Mapping
from typing import Any, cast

from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import (
    BadSignatureError,
    ClaimError,
    ExpiredTokenError,
    InvalidKeyIdError,
    JoseError,
    UnsupportedAlgorithmError,
)
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

LEEWAY_S = 60  # by which the provider's clock may differ from ours
# Signed with a key that only the provider has: never `none`, and never our own secret (HS256).
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
LONGEST_ID_TOKEN = 64 * 1024  # characters; one with some hundred groups has 20,000
MAX_KEYS = 50


class UnknownKey(Exception):
    """Signed with a key that is not among the known ones; the provider may have a new one."""


class NotAsAsked(Exception):
    """The token is not what was asked for; the message is a word for the log and the sentence."""


def read_key_set(answer: Any) -> KeySet | None:
    """The public keys of a JWK set that may sign, those of unknown kinds left out; None when there is none."""
    listed = answer.get("keys") if isinstance(answer, dict) else None
    keys = []
    for jwk in (listed if isinstance(listed, list) else [])[:MAX_KEYS]:
        if (
            not isinstance(jwk, dict)
            or jwk.get("use", "sig") != "sig"
            or jwk.get("kty") not in {"RSA", "EC", "OKP"}
        ):
            continue
        try:
            keys += KeySet.import_key_set({"keys": [jwk]}).keys
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    return KeySet(keys) if keys else None


def read_id_token(
    text: str, keys: KeySet, *, issuer: str, client: str, nonce: str, now_s: int
) -> Mapping[str, Any]:
    """The claims of an ID token (OpenID Connect Core, section 3.1.3.7).

    Raises UnknownKey, or NotAsAsked with the reason.
    """
    if len(text) > LONGEST_ID_TOKEN:
        raise NotAsAsked("too long")
    try:
        token = jwt.decode(text, keys, registry=JWSRegistry(algorithms=[*ALGORITHMS], strict_check_header=False))
    except InvalidKeyIdError:
        raise UnknownKey from None
    except UnsupportedAlgorithmError:
        raise NotAsAsked("algorithm") from None
    except BadSignatureError:
        raise NotAsAsked("signature") from None
    except (JoseError, ValueError, TypeError, KeyError):
        raise NotAsAsked("form") from None
    options = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": client}}
    claims = CodeIDToken(token.claims, token.header, options, {"nonce": nonce, "client_id": client})
    try:
        claims.validate(now=now_s, leeway=LEEWAY_S)
    except ExpiredTokenError:
        raise NotAsAsked("expired") from None
    except ClaimError as error:
        raise NotAsAsked(error.claim) from None
    except (JoseError, ValueError, TypeError, KeyError):
        raise NotAsAsked("form") from None
    return cast("Mapping[str, Any]", dict(claims))
