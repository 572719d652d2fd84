"""Replies that are JSON, or a file of CSV where the request prefers that."""

from fastapi.responses import Response

from app.api.document_responses import Answers

CSV = "text/csv"
BY_ACCEPT = {"Vary": "Accept"}
AS_CSV: Answers = {200: {"content": {CSV: {"schema": {"type": "string"}}}}}


def csv_file(name: str, text: str) -> Response:
    """A file of this name, which a browser saves."""
    headers = {**BY_ACCEPT, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, headers=headers, media_type=CSV)
