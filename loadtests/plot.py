"""Plots as SVG: text stays text, and one file reads well on light and on dark pages.

A library would draw for one of the two; a style sheet in the picture serves both.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 760
LEFT = 230  # pixels for the labels of bars
RIGHT = 110  # for the figure behind a bar
BAR = 18
TOP = 58
GAP = 16
FRAME = (70, 58, 30, 64)  # of a line plot: left, top, right, bottom
HEIGHT = 380

STYLE = """
.back{fill:#fff}text{font:13px system-ui,sans-serif;fill:#1f2937}
.title{font-size:16px;font-weight:600}.quiet{fill:#6b7280}
.grid{stroke:#e5e7eb}.s0{fill:#94a3b8;stroke:#94a3b8}.s1{fill:#0f766e;stroke:#0f766e}
.s2{fill:#2563eb;stroke:#2563eb}.s3{fill:#b45309;stroke:#b45309}
.s4{fill:#9333ea;stroke:#9333ea}.line{fill:none;stroke-width:2.5}
@media(prefers-color-scheme:dark){.back{fill:#0d1117}text{fill:#e6edf3}.quiet{fill:#9ca3af}
.grid{stroke:#30363d}.s0{fill:#6b7685;stroke:#6b7685}.s1{fill:#2dd4bf;stroke:#2dd4bf}
.s2{fill:#60a5fa;stroke:#60a5fa}.s3{fill:#f59e0b;stroke:#f59e0b}.s4{fill:#c084fc;stroke:#c084fc}.line{fill:none}}
"""


@dataclass(frozen=True)
class Axis:
    """What one direction of a line plot measures; a logarithmic one starts at its least value."""

    label: str
    logarithmic: bool = False


Point = tuple[float, float]


def bar_chart(title: str, groups: Mapping[str, Mapping[str, float]], *, unit: str) -> str:
    """Horizontal bars: label of the group → series → value. Every group may lack a series."""
    series = list(dict.fromkeys(name for group in groups.values() for name in group))
    most = max((value for group in groups.values() for value in group.values()), default=0) or 1
    parts, y = [_legend(series)], TOP
    for label, group in groups.items():
        middle = y + BAR * len(group) / 2
        parts.append(_text(LEFT - 10, middle + 5, label, anchor="end"))
        for name, value in group.items():
            length = max(1.0, (WIDTH - LEFT - RIGHT) * value / most)
            parts.append(
                f'<rect class="s{series.index(name)}" x="{LEFT}" y="{y + 2}" '
                f'width="{length:.1f}" height="{BAR - 4}" rx="2" stroke="none"/>'
            )
            parts.append(_text(LEFT + length + 6, y + BAR - 4, f"{_figure(value)} {unit}"))
            y += BAR
        y += GAP
    return _picture(title, y + 4, parts)


def line_chart(title: str, series: Mapping[str, Sequence[Point]], x: Axis, y: Axis) -> str:
    """Lines through points, with a dot at each measured one."""
    left, top, right, bottom = FRAME
    across = _Scale([p[0] for line in series.values() for p in line], x, left, WIDTH - right)
    up = _Scale([p[1] for line in series.values() for p in line], y, HEIGHT - bottom, top)
    parts = [_legend(list(series))]
    for tick in up.ticks:
        parts.append(_rule(left, up(tick), WIDTH - right, up(tick)))
        parts.append(_text(left - 8, up(tick) + 4, _figure(tick), anchor="end", quiet=True))
    for tick in across.ticks:
        below = HEIGHT - bottom + 20
        parts.append(_text(across(tick), below, _figure(tick), anchor="middle", quiet=True))
    parts.append(_text((left + WIDTH - right) / 2, HEIGHT - 18, x.label, anchor="middle"))
    parts.append(_text(WIDTH - right, top - 12, y.label, anchor="end", quiet=True))
    for number, line in enumerate(series.values()):
        at = [(across(px), up(py)) for px, py in line]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in at)
        parts.append(f'<polyline class="s{number} line" points="{path}"/>')
        parts += [f'<circle class="s{number}" cx="{a:.1f}" cy="{b:.1f}" r="4"/>' for a, b in at]
    return _picture(title, HEIGHT, parts)


class _Scale:
    """From a value to a pixel; a linear one starts at nought."""

    def __init__(self, values: Sequence[float], axis: Axis, start: float, end: float) -> None:
        self._log = axis.logarithmic
        positive = [value for value in values if value > 0] or [1.0]
        self._low = math.floor(math.log10(min(positive))) if self._log else 0.0
        self._high = self._of(max(positive)) if self._log else max(positive)
        if self._log:
            self._high = max(math.ceil(self._high), self._low + 1)
        self._start, self._end = start, end

    @property
    def ticks(self) -> list[float]:
        if self._log:
            return [10.0**power for power in range(int(self._low), int(self._high) + 1)]
        step = _round_step(self._high / 5)
        return [step * count for count in range(int(self._high / step) + 1)]

    def __call__(self, value: float) -> float:
        share = (self._of(value) - self._low) / (self._high - self._low)
        return self._start + max(0.0, share) * (self._end - self._start)

    def _of(self, value: float) -> float:
        return math.log10(max(value, 1e-9)) if self._log else value


def _round_step(rough: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * nice for nice in (1, 2, 5, 10) if power * nice >= rough)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"  # noqa: PLR2004  # two digits


def _legend(series: Sequence[str]) -> str:
    parts, x = [], 20.0
    for number, name in enumerate(series):
        parts.append(f'<rect class="s{number}" x="{x}" y="37" width="11" height="11" rx="2"/>')
        parts.append(_text(x + 17, 47, name))
        x += 40 + 7.2 * len(name)
    return "".join(parts)


def _text(x: float, y: float, words: str, *, anchor: str = "start", quiet: bool = False) -> str:
    kind = ' class="quiet"' if quiet else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _picture(title: str, height: float, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">'
    back = f'<rect class="back" width="{WIDTH}" height="{height:.0f}" rx="6"/>'
    name = f'<title>{escape(title)}</title><text class="title" x="20" y="25">{escape(title)}</text>'
    return "\n".join([head, f"<style>{STYLE}</style>", back, name, *parts, "</svg>", ""])
