"""Nothing in the repository names the place or the way it was made."""

import re

from tests.support.tree import ROOT, project_files

# In pieces, so that this file does not hold what it looks for.
HOSTS = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "registry.npm" + "js.org",
    "proxy.gol" + "ang.org",
    "static.crates" + ".io",
    "index.crates" + ".io",
]
WORDS = ["help" + "ers?", "sub" + "agents?", "clau" + "de", "anthrop" + "ic"]
PLACES = ["wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers"]

FOREIGN = re.compile(
    "|".join(
        [
            *(re.escape(host) for host in HOSTS),
            rf"\b(?:{'|'.join(WORDS)})\b",
            rf"(?<![\w.\-/{{}}]){'/'}(?:{'|'.join(PLACES)})/",  # the start of a path, not the middle of one
        ]
    ),
    re.IGNORECASE,
)


def findings(text: str) -> list[str]:
    """Every foreign name in a text."""
    return [found.group() for found in FOREIGN.finditer(text)]


def test_a_planted_name_is_found() -> None:
    """The pattern finds a host, a word and a path, and leaves a URL's path alone."""
    assert findings(f"see {HOSTS[0]}")
    assert findings("a " + "Help" + "er for that")
    assert findings("open('/" + "wo" + "rk/x')")
    assert not findings("GET /v1/" + "wo" + "rk/1 and https://example.com/" + "ho" + "me/")


def test_no_file_names_where_it_was_made() -> None:
    """No file of the project holds a registry's host, a path of one machine, or a word of its making."""
    found = [
        f"{path}:{number} {name}"
        for path in project_files()
        if "vendor" not in path.parts and b"\0" not in (content := (ROOT / path).read_bytes())
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1)
        for name in findings(line)
    ]
    assert not found, "\n".join(found)
