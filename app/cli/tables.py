"""The output of commands: tables for people, JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from app.cli.generate.screen import printable

PIPE_COLUMNS = 200  # wide enough that nothing is folded in a file or a pipe
NO_ROWS = "none"

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:
    """Print it as indented JSON in UTF-8."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table. The first column is never folded, so that ids can be copied.

    Cells are plain text: markup and control characters have no effect.
    """
    if not rows:
        typer.echo(NO_ROWS)
        return
    first, *others = columns
    table = Table(Column(first, no_wrap=True), *others, show_header=any(columns))
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    console = Console()
    (console if console.is_terminal else Console(width=PIPE_COLUMNS)).print(table)


def print_views(views: Sequence[Mapping[str, Any]], columns: dict[str, str], *, as_json: bool) -> None:
    """Print views: whole as JSON, or the `columns` (title to field) as a table."""
    if as_json:
        print_json(list(views))
    else:
        print_table(list(columns), [[view[field] for field in columns.values()] for view in views])


def print_view(view: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a view as a JSON object, or with a line for each field."""
    if as_json:
        print_json(view)
    else:
        print_table(["", ""], [[name.replace("_", " "), value] for name, value in view.items()])


def _cell(value: Any) -> str:
    """A value for people: empty for None, lists with commas."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    if isinstance(value, dict):
        limit = {"unit", "window", "amount"} <= value.keys()
        return _limit(value) if limit else printable(json.dumps(value, ensure_ascii=False))
    return printable(str(value))


def _limit(view: dict[str, Any]) -> str:
    """A limit in the form of the command line, with its raise."""
    raised = f" (raised to {view['raised_to']} until {view['raised_until']})" if "raised_to" in view else ""
    return f"{view['unit']}/{view['window']}={view['amount']}{raised}"
