"""The meaning of an error code, at the URL that problems give as their type."""

from fastapi import APIRouter

from app.api.document_responses import refusals
from app.domain.errors import Code, NotFound
from app.views.operations import CodeView

router = APIRouter(tags=["operations"])


@router.get("/problems/{slug}", responses=refusals(404), summary="What an error code means")
async def read_problem(slug: str) -> CodeView:
    """The code with its title."""
    for code in Code:
        if code == slug:
            return {"code": code, "title": code.meaning}
    raise NotFound("There is no error with this code.")
