"""What a page may know before anybody has signed in."""

from fastapi import APIRouter, Request
from typing_extensions import TypedDict

from app.api.deps import TheGateway
from app.api.proxies import proxy_user

router = APIRouter(prefix="/v1", tags=["account"])


class SignInWays(TypedDict):
    """Ways to sign in beside a key: `provider` is what its button says; `proxy`, whom a proxy has signed in."""

    provider: str | None
    proxy: str | None


class AboutView(TypedDict):
    """`emulated`: fal is the emulator on this machine, and nothing costs money."""

    emulated: bool
    sign_in: SignInWays


@router.get("/about", summary="What kind of installation is this?")
async def read_about(request: Request, gateway: TheGateway) -> AboutView:
    """Whether clips cost money here, and how one may sign in; no key is needed."""
    known = proxy_user(request.scope)
    return {
        "emulated": gateway.settings.emulated,
        "sign_in": {
            "provider": gateway.sign_on.label,
            "proxy": known.user[0] if known is not None else None,
        },
    }
