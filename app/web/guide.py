"""The documentation at /docs/guide: the Markdown of docs/, drawn as HTML when it is first asked for.

No script, no build, nothing from another host. The order of pages and their groups are those of docs/README.md.
"""

import html
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from app.views.page_head import PAGE_HEAD

ROOM = Path(__file__).parent
PICTURES = {".png", ".svg", ".webp"}
DECISIONS = "decisions"
GROUP = re.compile(r"^## (?P<group>.+)$|^- \[(?P<title>.+?)\]\((?P<name>.+?)\)", re.MULTILINE)
TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
SHORT_PAGE = 3  # with fewer headings than this, a list of them does not help
PAGE = (
    PAGE_HEAD
    + """<a class="skip" href="#main">To the content</a>
<header class="bar">
<a href="{root}">Filmgate</a><a class="to-pages" href="#pages">All pages</a><a href="{root}docs">API</a>
</header>
<div class="sheet">
<main class="page" id="main" tabindex="-1">
{body}
</main>
<nav class="pages" id="pages" aria-label="Pages">
{pages}
</nav>
</div>
</body>
</html>
"""
)


def folder() -> Path:
    """Where the Markdown is: in the installed package, or beside it in a checkout."""
    installed = ROOM / "guide"
    return installed if installed.is_dir() else ROOM.parent.parent / "docs"


@dataclass(frozen=True)
class Guide:
    """The pages below a folder. A page's address is its path without `.md`; the index is the empty address."""

    root: Path
    _drawn: dict[str, str] = field(default_factory=dict)

    @cached_property
    def sources(self) -> Mapping[str, str]:
        """Address to Markdown."""
        found = {
            path.relative_to(self.root).with_suffix("").as_posix(): path.read_text("utf-8")
            for path in sorted(self.root.rglob("*.md"))
        }
        index = found.pop("README", "")
        decisions = [name for name in found if name.startswith(f"{DECISIONS}/")]
        lines = [f"- [{_title(found[name])}]({posixpath.basename(name)}.md)" for name in decisions]
        listed = "# Decisions\n\nWhy it is as it is, one page each.\n\n" + "\n".join(lines)
        return {"": index, DECISIONS: listed, **found}

    @cached_property
    def pictures(self) -> Mapping[str, Path]:
        """The pictures by their path below the folder; no other file can be requested."""
        paths = (path for path in sorted(self.root.rglob("*.*")) if path.suffix in PICTURES)
        return {path.relative_to(self.root).as_posix(): path for path in paths}

    @cached_property
    def groups(self) -> Sequence[tuple[str, list[tuple[str, str]]]]:
        """Groups of the navigation, each with titles and addresses, from the lists of the index."""
        found: list[tuple[str, list[tuple[str, str]]]] = []
        for match in GROUP.finditer(self.sources[""]):
            if match["group"]:
                found.append((match["group"], []))
            elif found:
                found[-1][1].append((match["title"], _address(match["name"])))
        return found

    def page(self, address: str) -> str | None:
        """A page as HTML; None when there is none at this address."""
        if address not in self.sources:
            return None
        if address not in self._drawn:
            self._drawn[address] = self._draw(address)
        return self._drawn[address]

    def _draw(self, address: str) -> str:
        from app.web.markdown import draw  # noqa: PLC0415  a library that few processes need

        source = self.sources[address]
        drawn = draw(source, partial(self._led, address))
        first, end, rest = drawn.body.partition("</h1>\n")
        return PAGE.format(
            title=html.escape(_title(source).replace("`", "")),
            root=_way(address, ""),
            body=f"{first}{end}{_contents(drawn.headings)}{rest}",
            pages=self._pages(address),
        )

    def _led(self, address: str, target: str) -> str | None:
        """Where a link of a page leads here; None when that is not served."""
        if target.startswith(("#", "https://", "http://")):
            return target
        path, mark, heading = target.partition("#")
        wanted = posixpath.normpath(posixpath.join("docs", _folder_of(address), path))
        if wanted == "README.md":  # the repository's own
            return _way(address, "docs/guide")
        if not f"{wanted}/".startswith("docs/"):
            return None
        wanted = wanted.removeprefix("docs").strip("/")
        if wanted == "openapi.json":
            return _way(address, "openapi.json")
        if wanted in self.pictures:
            return _way(address, f"docs/guide/{wanted}")
        if _address(wanted) in self.sources:
            return _way(address, f"docs/guide/{_address(wanted)}".rstrip("/")) + mark + heading
        return None

    def _pages(self, address: str) -> str:
        parts = [_item(address, "", "Documentation")]
        for group, pages in self.groups:
            items = "".join(f"<li>{_item(address, name, title)}</li>" for title, name in pages)
            parts.append(f"<h2>{html.escape(group)}</h2>\n<ul>{items}</ul>")
        return "\n".join(parts)


def _title(source: str) -> str:
    found = TITLE.search(source)
    return found[1] if found else ""


def _address(name: str) -> str:
    """`limits.md` is at `limits`, `README.md` at the empty address."""
    return name.rstrip("/").removesuffix(".md").removesuffix("README")


def _folder_of(address: str) -> str:
    return address if address == DECISIONS else posixpath.dirname(address)


def _way(address: str, path: str) -> str:
    """A relative URL from a page to a path of this server, which may itself be below a path of a proxy's."""
    up = "../" * (1 + bool(address) + address.count("/"))
    return up + path


def _item(address: str, name: str, title: str) -> str:
    current = ' aria-current="page"' if name == address else ""
    return f'<a href="{_way(address, f"docs/guide/{name}".rstrip("/"))}"{current}>{html.escape(title)}</a>'


def _contents(headings: Sequence[tuple[str, str]]) -> str:
    if len(headings) < SHORT_PAGE:
        return ""
    items = "".join(f'<li><a href="#{slug}">{html.escape(text)}</a></li>' for slug, text in headings)
    return f'<details class="contents"><summary>On this page</summary><ul>{items}</ul></details>\n'
