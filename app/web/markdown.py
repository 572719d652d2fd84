"""Markdown as HTML. Loaded when the first page is asked for: the library is not needed to start."""

import html
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

NOT_IN_A_SLUG = re.compile(r"[^\w\- ]")
TARGETS = {"link_open": "href", "image": "src"}
HTML = {"html_block", "html_inline"}
SHOWN = re.compile(r'\b(src|srcset)="([^"]*)"')  # of a picture that is written as HTML: light and dark


class Drawn(NamedTuple):
    """A page's body, and its headings of the second level as (id, text)."""

    body: str
    headings: list[tuple[str, str]]


def draw(source: str, lead: Callable[[str], str | None]) -> Drawn:
    """The HTML of a page. `lead` says where a link or a picture leads; None takes the link away."""
    markdown = _markdown()
    tokens = markdown.parse(source)
    headings = _mark(tokens)
    for token in tokens:
        for part in (token, *(token.children or ())):
            _lead(part, lead)
    return Drawn(str(markdown.renderer.render(tokens, markdown.options, {})), headings)


def slug_of(heading: str) -> str:
    """The id of a heading, as GitHub makes it."""
    return NOT_IN_A_SLUG.sub("", heading.lower()).replace(" ", "-")


def _mark(tokens: Sequence[Token]) -> list[tuple[str, str]]:
    """Give each heading its id."""
    seen: dict[str, int] = {}
    headings = []
    for token, content in pairwise(tokens):
        if token.type != "heading_open":
            continue
        text = "".join(child.content for child in content.children or ())
        slug = slug_of(text)
        seen[slug] = seen.get(slug, -1) + 1
        slug = f"{slug}-{seen[slug]}" if seen[slug] else slug
        token.attrSet("id", slug)
        if token.tag == "h2":
            headings.append((slug, text))
    return headings


def _lead(token: Token, lead: Callable[[str], str | None]) -> None:
    if token.type in HTML:
        token.content = SHOWN.sub(lambda found: f'{found[1]}="{lead(found[2]) or ""}"', token.content)
    name = TARGETS.get(token.type)
    if name is None:
        return
    target = lead(str(token.attrGet(name) or ""))
    if target is None:
        token.attrs.pop(name, None)  # an `a` without `href` is text
    else:
        token.attrSet(name, target)


def _markdown() -> MarkdownIt:
    """Markdown as GitHub reads it, as far as our pages use it; comments stay comments."""
    made = MarkdownIt("commonmark", {"html": True}).enable("table")
    made.add_render_rule("table_open", _table)
    made.add_render_rule("table_close", _table_end)
    made.add_render_rule("fence", _block)
    made.add_render_rule("code_block", _block)
    return made


# What is wider than a phone scrolls in a box of its own, which the keyboard can reach.
def _table(_renderer: Any, _tokens: Any, _index: int, _options: Any, _env: Any) -> str:
    return '<div class="wide" role="group" aria-label="Table" tabindex="0">\n<table>\n'


def _table_end(_renderer: Any, _tokens: Any, _index: int, _options: Any, _env: Any) -> str:
    return "</table>\n</div>\n"


def _block(_renderer: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    return f'<pre tabindex="0"><code>{html.escape(tokens[index].content)}</code></pre>\n'
