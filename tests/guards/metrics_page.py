"""docs/metrics.md: its list is made from the list of metrics in the code.

`.venv/bin/python -m tests.guards.metrics_page` writes it; the text around it stays.
"""

from app.metrics.kinds import Label, Metric
from app.metrics.table import METRICS
from tests.guards.made_page import Page

TITLES = {
    "process": "Counted by the processes",
    "host": "Read of the processes of a host",
    "installation": "Read of the whole installation, shown by one process",
}


def _values(label: Label) -> str:
    """The values of a label, or what limits them."""
    if label.bound:
        return label.bound
    if label.room:
        return f"the registry's models, at most {label.room}; `other`"
    return " ".join(f"`{value}`" for value in label.values)


def _row(metric: Metric) -> str:
    labels = "; ".join(f"**{label.name}**: {_values(label)}" for label in metric.labels)
    meaning = f"{metric.meaning} {labels}".strip()
    return f"| `{metric.name}` | {metric.type}{f', {metric.unit}' if metric.unit else ''} | {meaning} |"


def drawn() -> str:
    """The list: a table for each kind of source."""
    parts = []
    for source, title in TITLES.items():
        rows = "\n".join(_row(metric) for metric in METRICS if metric.source == source)
        parts.append(f"### {title}\n\n| name | type, unit | meaning, labels |\n|---|---|---|\n{rows}\n")
    return "\n".join(parts)


PAGE = Page("metrics.md", "made from app/metrics/table.py", drawn)


if __name__ == "__main__":
    PAGE.write()
