"""What a page may know before anybody has signed in."""

from fastapi import APIRouter
from typing_extensions import TypedDict

from app.api.deps import TheGateway

router = APIRouter(prefix="/v1", tags=["account"])


class AboutView(TypedDict):
    """`emulated`: fal is the emulator on this machine, and nothing costs money."""

    emulated: bool


@router.get("/about", summary="What kind of installation is this?")
async def read_about(gateway: TheGateway) -> AboutView:
    """Whether clips cost money here; no key is needed."""
    return {"emulated": gateway.settings.emulated}
