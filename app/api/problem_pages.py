"""The meaning of an error code, at the URL that problems give as their type: for people and for programs."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from app.api.accept import prefers
from app.api.code_pages import HTML, VARY, page_of
from app.api.document_responses import refusals
from app.domain.errors import NotFound
from app.views.problem_pages import CodeView, code_view

router = APIRouter(tags=["operations"])


@router.get(
    "/problems/{slug}",
    response_model=CodeView,
    responses={200: {"content": {HTML: {"schema": {"type": "string"}}}}, **refusals(404)},
    summary="What an error code means",
)
async def read_problem(request: Request, slug: str) -> Response:
    """The cause of an error code and what to do; as a page with `Accept: text/html`."""
    view = code_view(slug)
    if view is None:
        raise NotFound("There is no error with this code.")
    return page_of(view) if prefers(HTML, request.headers.get("accept", "")) else JSONResponse(view, headers=VARY)
