"""The figures as a table for the terminal, as JSON, and as Markdown for docs/performance.md."""

import json
from collections.abc import Mapping
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, figure_from_json, format_value

BEGIN, END = "<!-- figures: written by ./dev bench --write -->", "<!-- end of figures -->"
HEADINGS = ("figure", "Filmgate", "peer", "ratio", "target")


class Report(NamedTuple):
    """The machine and the figures of one run, or of several."""

    facts: Mapping[str, str]
    figures: list[Figure]

    def missed(self) -> list[Figure]:
        """The figures whose target is missed."""
        return [figure for figure in self.figures if figure.held is False]


def as_json(report: Report) -> str:
    """What `--from` reads."""
    return json.dumps({**report.facts, "figures": [figure.as_json() for figure in report.figures]}, indent=2)


def read_reports(paths: list[Path]) -> Report:
    """The figures of earlier runs with `--json`; a later file replaces whole rows of those before.

    The machine is that of the first; how long each run took is listed.
    """
    facts: dict[str, str] = {}
    took: list[str] = []
    rows: dict[str, list[Figure]] = {}
    for path in paths:
        values = json.loads(path.read_text(encoding="utf-8"))
        found = [figure_from_json(figure) for figure in values.pop("figures")]
        took.append(values["took"])
        facts = {**values, **facts}
        rows |= {row: list(figures) for row, figures in groupby(found, attrgetter("row"))}
    return Report({**facts, "took": "; ".join(took)}, [figure for figures in rows.values() for figure in figures])


def print_table(report: Report) -> None:
    """The machine, a line for each figure, and how many targets are held."""
    console = Console(width=None if Console().is_terminal else 160, highlight=False)
    for name, value in report.facts.items():
        console.print(f"{name:<12} {value}", style="dim")
    table = Table("row", "figure", "unit")
    for heading in ("Filmgate", "peer", "ratio"):
        table.add_column(heading, justify="right")
    table.add_column("what the peer is")
    table.add_column("target")
    for _, figures in groupby(report.figures, attrgetter("row")):
        for figure in figures:
            style = "bold red" if figure.held is False else None
            table.add_row(
                figure.row,
                figure.name,
                figure.unit,
                *_values(figure),
                figure.peer_name,
                figure.verdict,
                style=style,
            )
        table.add_section()
    console.print(table)
    judged = [figure for figure in report.figures if figure.held is not None]
    console.print(f"{len(judged) - len(report.missed())} of {len(judged)} targets are held.")


def as_markdown(report: Report) -> str:
    """The machine, a table for each row, and the missed targets."""
    lines = [f"{name}: {value}  " for name, value in report.facts.items()]
    for row, figures in groupby(report.figures, attrgetter("row")):
        lines += ["", f"**{row}**", "", f"| {' | '.join(HEADINGS)} |", "|---|---|---|---|---|"]
        for figure in figures:
            ours, peer, ratio = _values(figure)
            unit = f" {figure.unit}" if figure.unit else ""
            named = f"{peer}{unit}, {figure.peer_name}" if peer else ""
            lines.append(f"| {figure.name} | {ours}{unit} | {named} | {ratio} | {_marked(figure)} |")
    missed = [f"{figure.row}: {figure.name}" for figure in report.missed()]
    lines += ["", f"Missed: {'; '.join(missed) if missed else 'none'}."]
    return "\n".join(lines)


def write_page(page: Path, report: Report) -> None:
    """Replace what stands between the two comments of the page.

    Raises:
        ValueError: the page does not have them.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for figures, which is between {BEGIN!r} and {END!r}.")
    page.write_text(f"{before}{BEGIN}\n\n{as_markdown(report)}\n\n{END}{after}", encoding="utf-8")


def _values(figure: Figure) -> tuple[str, str, str]:
    """Ours, the peer's, and their ratio."""
    return (
        format_value(figure.value, figure.spread),
        "" if figure.peer is None else format_value(figure.peer, figure.peer_spread),
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
    )


def _marked(figure: Figure) -> str:
    return figure.verdict.replace("missed", "**missed**")
