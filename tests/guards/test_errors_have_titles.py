"""Every error code that the program can answer with has a title, and no title is left over."""

import ast

from app.api.problems import TITLES
from app.domain.errors import FilmgateError
from tests.support.tree import parsed, python_files

ROOMS = ("api", "services", "store", "registry", "media", "domain", "fal", "webhooks")


def kinds(base: type[FilmgateError]) -> set[type[FilmgateError]]:
    """The class and all that descend from it."""
    return {base}.union(*(kinds(kind) for kind in base.__subclasses__()))


def raised_codes() -> dict[str, str]:
    """Every `code="…"` of an error made in these rooms, with the place; and every error's own code."""
    names = {kind.__name__ for kind in kinds(FilmgateError)}
    found = {kind.code: kind.__name__ for kind in kinds(FilmgateError)}
    for path in python_files():
        if path.parts[0] != "app" or path.parts[1] not in ROOMS:
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                for keyword in node.keywords:
                    if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                        found[str(keyword.value.value)] = f"{path}:{node.lineno}"
    return found


def text_constants() -> set[str]:
    """Every string that stands in these rooms, but for the titles themselves."""
    found = set()
    for path in python_files():
        if path.parts[0] != "app" or path.parts[1] not in ROOMS or path.name == "problems.py":
            continue
        found |= {
            node.value
            for node in ast.walk(parsed(path))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    return found


def test_every_code_has_a_title() -> None:
    """What is raised with a code can be looked up at /problems/{code}."""
    missing = {code: place for code, place in raised_codes().items() if code not in TITLES}
    assert not missing


def test_no_title_is_left_over() -> None:
    """A title belongs to a code that something answers with."""
    from_http = {"method_not_allowed"}  # Starlette's own refusals, named in problems.py
    assert TITLES.keys() - text_constants() - from_http == set()


def test_titles_are_short_and_no_sentences() -> None:
    """A title is a phrase: no full stop, at most sixty characters (RFC 9457, 3.1.4: a short summary)."""
    wrong = [title for title in TITLES.values() if title.endswith(".") or len(title) > 60]
    assert not wrong
