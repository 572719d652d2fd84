"""What an error code means, for programs and for people."""

import html
import re

from typing_extensions import TypedDict

from app.domain.errors import Code
from app.domain.remedies import JOB_ERRORS, REMEDIES
from app.views.page_head import PAGE_HEAD

CODE_SPAN = re.compile(r"`([^`]+)`")
PAGE = (
    PAGE_HEAD
    + """<header class="bar"><a href="{root}">Filmgate</a></header>
<main class="page" id="main">
<p class="kind">{kind}</p>
<h1>{title}</h1>
<p>{cause}</p>
<h2>What to do</h2>
<p>{remedy}</p>
<p class="soft">Programs get this page as JSON. Its code, <code>{code}</code>, never changes.</p>
</main>
</body>
</html>
"""
)


class CodeView(TypedDict):
    """An error code: `status` of its problems, null for the code of a job that failed; cause and remedy."""

    code: str
    status: int | None
    title: str
    cause: str
    remedy: str


def code_view(slug: str) -> CodeView | None:
    """The meaning of a problem's code, or of a failed job's; None for any other text."""
    code = next((code for code in Code if code == slug), None)
    if code is not None:
        return meaning_of(code)
    if slug in JOB_ERRORS:
        title, cause, remedy = JOB_ERRORS[slug]
        return {"code": slug, "status": None, "title": title, "cause": cause, "remedy": remedy}
    return None


def meaning_of(code: Code) -> CodeView:
    """The meaning of a problem's code."""
    cause, remedy = REMEDIES[code]
    return {"code": code.value, "status": code.status, "title": code.meaning, "cause": cause, "remedy": remedy}


def code_page(view: CodeView, *, root: str = "../") -> str:
    """The same as HTML; `root` is the way to this server's root."""
    kind = "A job's error" if view["status"] is None else f"Error {view['status']}"
    return PAGE.format(
        root=root,
        code=view["code"],
        kind=kind,
        title=html.escape(view["title"]),
        cause=_spans(view["cause"]),
        remedy=_spans(view["remedy"]),
    )


def _spans(text: str) -> str:
    """A sentence as HTML, with code between backticks."""
    return CODE_SPAN.sub(r"<code>\1</code>", html.escape(text))
