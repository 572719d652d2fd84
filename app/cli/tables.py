"""The output of commands: tables for people, plain text for pipes, JSON for programs.

On a terminal a table is as wide as the terminal: ids are short (commands accept them), times say how long ago,
states have colours. In a pipe nothing is cut: whole ids, exact times, two spaces between the columns.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import typer

from app.cli.cells import DAY, ID, TIME, cell_length, cut_id, readable, relative, shortened, state_style

NO_ROWS = "none"
GAP = 2  # spaces between columns
LEAST_TEXT = 12  # characters below which text is not folded
ROOM_FOR_TEXT = 30  # characters of a column of text for which a spare column is left out
SHORT = 6  # characters of a word, such as `total`, among ids
STATES = frozenset({"status", "state", "severity"})
PLAIN = frozenset({"name", "reason", "message", "details"})  # people's words, also when they look like an id
WITH_IDS = frozenset({"message", "details"})  # the gateway's words, in which ids are cut

Field: TypeAlias = str | Callable[[Mapping[str, Any]], Any]  # a member of a view, or what is made of the view
Columns: TypeAlias = Mapping[str, Field]  # title to field

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True, slots=True)
class Named:
    """Views, and the names of the ids in them. A column `user.name` is the name of the view's `user`.

    Of a view that is printed alone, `user` is shown as `Bob, user_5f0c…`.
    """

    views: Sequence[Mapping[str, Any]]
    names: Mapping[str, str]


def print_json(value: Any) -> None:
    """Print it as indented JSON in UTF-8."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_views(
    views: Sequence[Mapping[str, Any]] | Named, columns: Columns, *, as_json: bool, spare: Iterable[str] = ()
) -> None:
    """Print views: whole as JSON, or the `columns` as a table.

    The columns named in `spare` are left out, the last first, on a terminal that is too narrow for all.
    """
    named = views if isinstance(views, Named) else Named(views, {})
    if as_json:
        print_json(list(named.views))
        return
    fields = list(columns.values())
    rows = [[_value(view, field, named.names) for field in fields] for view in named.views]
    kinds = [field if isinstance(field, str) else title for title, field in columns.items()]
    print_table(list(columns), rows, kinds=kinds, spare=spare)


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    kinds: Sequence[str] | None = None,
    spare: Iterable[str] = (),
) -> None:
    """Print a table; `kinds` are the names of the members in the columns, by which states are known."""
    if not rows:
        typer.echo(NO_ROWS)
        return
    names = list(columns) if kinds is None else list(kinds)
    if not sys.stdout.isatty():
        _print_plain([columns, *([readable(value) for value in row] for row in rows)])
        return
    shorts = shortened(value for row in rows for value in row if isinstance(value, str))
    now = time.time()
    shown = [[_on_screen(value, name, shorts, now) for value, name in zip(row, names, strict=True)] for row in rows]
    fixed = [_is_fixed(index, name, rows) for index, name in enumerate(names)]
    kept = _kept(columns, shown, fixed, set(spare))
    _print_on_screen(
        [columns[i] for i in kept],
        [[row[i] for i in kept] for row in shown],
        [fixed[i] for i in kept],
        [names[i] for i in kept],
    )


def print_view(view: Mapping[str, Any] | Named, *, as_json: bool) -> None:
    """Print a view as a JSON object, or with a line for each member; ids are whole."""
    (shown,), names = (view.views, view.names) if isinstance(view, Named) else ([view], {})
    if as_json:
        print_json(shown)
    else:
        print_lines({name.replace("_", " "): _with_name(value, names) for name, value in shown.items()})


def print_lines(lines: Mapping[str, Any]) -> None:
    """Print a line for each title and value, the values below each other."""
    terminal, now = sys.stdout.isatty(), time.time()
    width = max(map(cell_length, lines), default=0)
    room = shutil.get_terminal_size().columns - width - GAP if terminal else 0
    for title, value in lines.items():
        text = readable(value)
        if terminal and isinstance(value, str) and TIME.fullmatch(value):
            text = f"{value} ({relative(value, now)})"
        style = state_style(text) if terminal and title in STATES else ""
        first, *others = _folded(text, room)
        typer.echo(f"{_padded(title, width)}{' ' * GAP}{_coloured(first, style)}".rstrip())
        for other in others:
            typer.echo(f"{' ' * (width + GAP)}{other}")


def _value(view: Mapping[str, Any], field: Field, names: Mapping[str, str]) -> Any:
    if callable(field):
        return field(view)
    owner, dot, _ = field.partition(".")
    return names.get(view[owner], view[owner]) if dot else view[field]


def _with_name(value: Any, names: Mapping[str, str]) -> Any:
    name = names.get(value) if isinstance(value, str) else None
    return value if name is None else f"{name}, {value}"


def _on_screen(value: Any, name: str, shorts: Mapping[str, str], now: float) -> str:
    """A value as a terminal shows it."""
    if isinstance(value, str) and name not in PLAIN:
        if TIME.fullmatch(value):
            return relative(value, now)
        return shorts.get(value, readable(value))
    text = readable(value)
    return ID.sub(lambda found: cut_id(found[0]), text) if name in WITH_IDS else text


def _is_fixed(index: int, name: str, rows: Sequence[Sequence[Any]]) -> bool:
    """True for a column that is not folded: ids, times, days, states and numbers."""
    if name in STATES:
        return True
    values = [row[index] for row in rows if row[index] not in (None, "")]
    return name not in PLAIN and all(
        isinstance(value, int | float)
        or (
            isinstance(value, str)
            and (len(value) <= SHORT or any(form.fullmatch(value) for form in (ID, TIME, DAY)))
        )
        for value in values
    )


def _kept(
    columns: Sequence[str], rows: Sequence[Sequence[str]], fixed: Sequence[bool], spare: set[str]
) -> list[int]:
    """The indexes of the columns that fit; without `spare` ones it may still be too wide."""
    natural = [
        max(cell_length(text) for text in (columns[i], *(row[i] for row in rows))) for i in range(len(columns))
    ]
    least = [width if fixed[i] else min(width, ROOM_FOR_TEXT) for i, width in enumerate(natural)]
    kept = list(range(len(columns)))
    room = shutil.get_terminal_size().columns
    for index in reversed(range(len(columns))):
        if sum(least[i] for i in kept) + GAP * (len(kept) - 1) <= room:
            break
        if columns[index] in spare:
            kept.remove(index)
    return kept


def _print_plain(rows: Sequence[Sequence[str]]) -> None:
    """Columns below each other, without boxes, nothing cut."""
    widths = [max(map(cell_length, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo((" " * GAP).join(_padded(text, width) for text, width in zip(row, widths, strict=True)).rstrip())


def _print_on_screen(
    columns: Sequence[str], rows: Sequence[Sequence[str]], fixed: Sequence[bool], names: Sequence[str]
) -> None:
    from rich.console import Console  # noqa: PLC0415  slow to load, and a pipe needs none of it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table: Table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for title, is_fixed in zip(columns, fixed, strict=True):
        table.add_column(title, no_wrap=is_fixed, overflow="fold", header_style="dim")
    for row in rows:
        table.add_row(
            *(
                Text(text, style=state_style(text) if name in STATES else "")
                for text, name in zip(row, names, strict=True)
            )
        )
    Console(highlight=False).print(table)


def _folded(text: str, room: int) -> list[str]:
    """The text in lines of at most `room` characters; whole without room to speak of."""
    if room < LEAST_TEXT or cell_length(text) <= room:
        return [text]
    import textwrap  # noqa: PLC0415  seldom needed

    return textwrap.wrap(text, room, break_on_hyphens=False) or [text]


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_length(text))


def _coloured(text: str, style: str) -> str:
    return typer.style(text, fg=style) if style else text
