"""The service for sign-ins by accounts that are kept elsewhere, made from the settings."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.egress import EgressPolicy
from app.fal.web import ca_file_context
from app.services.accounts import Accounts
from app.services.sign_on import SignOn
from app.settings import Settings
from app.stores import Stores

if TYPE_CHECKING:
    from app.oidc.provider import OpenIdProvider

RETURN_PATH = "/enter"  # of the page, which hands the provider's answer to the API


def sign_on_service(settings: Settings, stores: Stores, policy: EgressPolicy, accounts: Accounts) -> SignOn:
    """The service; without a provider and without a proxy nobody can use it."""
    return SignOn(
        store=stores.sign_on,
        records=stores.accounts,
        accounts=accounts,
        clock=stores.clock,
        rules=settings.groups,
        provider=open_id_provider(settings, policy),
        installation=stores.secrets,
    )


def open_id_provider(settings: Settings, policy: EgressPolicy) -> "OpenIdProvider | None":
    """The provider of FILMGATE_OIDC_ISSUER; None where there is none, and nothing of it is loaded then."""
    if settings.oidc_issuer is None or settings.oidc_client_id is None or settings.oidc_client_secret is None:
        return None  # all of them or none, see Settings
    from app.oidc.provider import OpenIdProvider, ProviderSettings  # noqa: PLC0415  0.1 s, only where it is needed

    return OpenIdProvider(
        ProviderSettings(
            issuer=settings.oidc_issuer,
            client_id=settings.oidc_client_id,
            client_secret=settings.oidc_client_secret.get_secret_value(),
            scopes=settings.oidc_scopes,
            groups_claim=settings.oidc_groups_claim,
            label=settings.oidc_label or urlsplit(settings.oidc_issuer).netloc,
            redirect_uri=settings.base_url + RETURN_PATH,
        ),
        policy,
        tls=ca_file_context(settings.ssl_cert_file) if settings.ssl_cert_file is not None else None,
    )
