"""The project's own files, for the guards over the repository."""

import ast
import os
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def project_files() -> Iterator[Path]:
    """Every file of the checkout that `.gitignore` does not exclude, relative to the root."""
    lines = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    ignored = [".git", *(line.strip().rstrip("/") for line in lines if line.strip() and line[0] != "#")]

    def is_ours(name: str) -> bool:
        return not any(fnmatch(name, pattern) for pattern in ignored)

    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(filter(is_ours, folders))
        yield from ((Path(folder) / name).relative_to(ROOT) for name in sorted(filter(is_ours, files)))


def python_files() -> Iterator[Path]:
    """The Python files among them, including the launcher."""
    return (path for path in project_files() if path.suffix == ".py" or path == Path("dev"))


@cache
def parsed(path: Path) -> ast.Module:
    """A Python file's syntax tree; the path is relative to the root."""
    return ast.parse((ROOT / path).read_text("utf-8"))
