"""Charts of figures as SVG: lines over a logarithmic x, readable on light and on dark pages."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from benchmarks.figures import Figure, digits

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 44, 48  # of the plot's edges, for its texts
GRID = 4  # lines above zero
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #59636e }
.title { font-size: 14px; font-weight: 600; fill: #1f2328 }
.grid { stroke: #d1d9e0 }
.line { fill: none; stroke-width: 2 }
.a { stroke: #0969da } .b { stroke: #bc4c00 } .c { stroke: #1a7f37 }
circle.a { fill: #0969da } circle.b { fill: #bc4c00 } circle.c { fill: #1a7f37 }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 } .title { fill: #f0f6fc } .grid { stroke: #3d444d }
  .a { stroke: #4493f8 } .b { stroke: #f0883e } .c { stroke: #3fb950 }
  circle.a { fill: #4493f8 } circle.b { fill: #f0883e } circle.c { fill: #3fb950 }
}"""


@dataclass(frozen=True, slots=True)
class Chart:
    """What a chart shows; its file is `NAME.svg`."""

    title: str
    x: str


CHARTS = {
    "lag": Chart("Lag by polling alone, seconds", "jobs in flight"),
    "submissions": Chart("CPU for one submission, milliseconds", "stored jobs"),
    "memory": Chart("Memory of the store for one ended job, bytes", "stored jobs"),
}
Line = list[tuple[float, float]]


def write_charts(folder: Path, figures: Iterable[Figure]) -> list[Path]:
    """One SVG for each chart of which there are at least two points; the files that were written."""
    lines: dict[str, dict[str, Line]] = defaultdict(lambda: defaultdict(list))
    for figure in figures:
        if figure.point is not None:
            lines[figure.point.chart][figure.point.line].append((figure.point.x, figure.value))
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    for name, found in lines.items():
        if max(map(len, found.values())) > 1:
            path = folder / f"{name}.svg"
            path.write_text(draw(CHARTS[name], {line: sorted(points) for line, points in found.items()}), "utf-8")
            written.append(path)
    return written


def draw(chart: Chart, lines: dict[str, Line]) -> str:
    """The SVG: each line with its name at its end; y begins at zero."""
    points = [point for line in lines.values() for point in line]
    scale = _Scale(sorted({x for x, _ in points}), _round_up(max(y for _, y in points)))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(chart.title)}, by {escape(chart.x)}</title>",
        f"<style>{STYLE}</style>",
        f'<text class="title" x="{LEFT}" y="22">{escape(chart.title)}</text>',
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 10}" text-anchor="end">{escape(chart.x)}</text>',
        *_axes(scale),
    ]
    for style, (name, line) in zip("abc", lines.items(), strict=False):
        parts += _line(style, name, line, scale)
    return "\n".join([*parts, "</svg>", ""])


def _axes(scale: "_Scale") -> list[str]:
    """Lines and numbers for y, numbers for x."""
    parts = []
    for number in range(GRID + 1):
        value = scale.top * number / GRID
        y = scale.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,g}</text>')
    below = HEIGHT - BOTTOM + 18
    return parts + [
        f'<text x="{scale.x(x):.1f}" y="{below}" text-anchor="middle">{digits(x)}</text>' for x in scale.xs
    ]


def _line(style: str, name: str, line: Line, scale: "_Scale") -> list[str]:
    """One line with its points, and its name and last value at its end."""
    places = [(scale.x(x), scale.y(y)) for x, y in line]
    last_x, last_y = places[-1]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    label = escape(f"{name}: {digits(line[-1][1])}")
    return [
        f'<polyline class="line {style}" points="{path}"/>',
        *(f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places),
        f'<text x="{last_x + 10:.1f}" y="{last_y + 4:.1f}">{label}</text>',
    ]


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to places: x is logarithmic, y linear from zero to `top`."""

    xs: list[float]
    top: float

    def x(self, value: float) -> float:
        first, last = math.log10(self.xs[0]), math.log10(self.xs[-1])
        share = (math.log10(value) - first) / (last - first) if last > first else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM)


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 6, 8 times a power of ten: a quarter of it is a short number."""
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (1, 2, 4, 6, 8) if step * power >= value), 10 * power)
