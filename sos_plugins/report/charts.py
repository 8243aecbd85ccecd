"""What every chart has: its picture, its text alternative, the table of its figures."""

from __future__ import annotations

import itertools
import math
import os
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, MaxNLocator

from sos_plugins.report import formatting as words
from sos_plugins.report.formatting import Scale
from sos_plugins.report.svg import SERIES, WIDTH, as_file, chart_style, inline
from sos_plugins.report.tables import Column, Table, column

SMALL = 4.3
"""Width in inches of a chart whose text can still be read where a telephone shows all of it."""

SLIGHTLY, TWO_LINES = 0.945, 0.78
"""Shares of the usual size of a label that is a little too long, and of one in two lines."""

WIDEST_INTERVAL = 4.0
"""Intervals are cut where they pass this many times the span of the figures that must be seen."""


@dataclass(frozen=True, eq=False)
class Chart:
    """A chart with its text alternative and the table of its figures.

    Attributes:
        ident: Anchor, unique in the report.
        title: What it shows.
        finding: What it says, in words.
        drawings: How it is drawn: one picture, or several parts of it.
        table: Its figures.
        short: Its title beneath the heading of its outcome, where that is said already.
        note: What stands beside it; its finding where there is none.
        small: Whether it is as wide as a telephone, so that nothing need be scrolled.
    """

    ident: str
    title: str
    finding: str
    drawings: tuple[Drawing, ...]
    table: Table
    short: str = ""
    note: str = ""
    small: bool = False

    @cached_property
    def svg(self) -> Markup:
        """The picture for a page; a sentence where ``SOS_CHARTS`` is ``none``."""
        if os.environ.get(CHARTS) == "none":
            return NO_CHART
        return Markup().join(
            _inline(drawing, ident, title, self.finding) for drawing, ident, title in self.parts()
        )

    def parts(self) -> Iterator[tuple[Drawing, str, str]]:
        """Yield each drawing with its anchor and title, numbered where there are several."""
        for n, drawing in enumerate(self.drawings, start=1):
            if len(self.drawings) == 1:
                yield drawing, self.ident, self.title
            else:
                ident = self.ident if n == 1 else f"{self.ident}-{n}"
                yield drawing, ident, f"{self.title} (part {n} of {len(self.drawings)})"

    def filed(self) -> Chart:
        """Return the chart with its figures in their file alone."""
        return replace(self, table=replace(self.table, in_page=False))


@dataclass(frozen=True)
class Drawing:
    """How a chart is drawn.

    Attributes:
        draw: Draws on a figure.
        height: Of the figure, in inches.
        width: Of the figure, in inches.
    """

    draw: Callable[[Figure], None]
    height: float
    width: float = WIDTH

    def figure(self) -> Figure:
        """Draw on a figure of this size."""
        figure = Figure(figsize=(self.width, self.height))
        self.draw(figure)
        return figure


CHARTS = "SOS_CHARTS"
"""Environment variable: ``none`` leaves the pictures out, which take most of a report's time."""
NO_CHART = Markup('<p class="note">No picture was asked for; the table has its figures.</p>')


def _inline(drawing: Drawing, ident: str, title: str, finding: str) -> Markup:
    with chart_style(ident):
        return inline(drawing.figure(), ident=ident, title=title, finding=finding)


def chart_files(chart: Chart, kinds: Sequence[str], *, mark: str = "") -> dict[str, bytes]:
    """Write a chart as files of its own, by their names: the same bytes for the same figures.

    Args:
        chart: The chart; one that has several parts becomes as many files of each kind.
        kinds: ``svg``, ``png``, ``pdf``.
        mark: What stands beneath it, such as that records are simulated.
    """
    files: dict[str, bytes] = {}
    for drawing, ident, title in chart.parts():
        with chart_style(ident):
            figure = drawing.figure()
            files |= {f"{ident}.{kind}": as_file(figure, kind, title, mark) for kind in kinds}
    return files


def in_lines(label: str, length: int) -> tuple[str, float]:
    """Break a label that is too long for its row into lines, and say how much smaller to set them.

    Two lines of 0.78 of the size, or more that are smaller yet, are as high as one row.

    Args:
        label: Nothing of it is cut.
        length: Characters that have room in one line.

    Returns:
        The lines, joined, and their share of the usual size.

    >>> in_lines("Bournemouth, Christchurch and Poole", 34)
    ('Bournemouth, Christchurch and Poole', 0.945)
    """
    if len(label) * SLIGHTLY <= length:
        return label, 1.0 if len(label) <= length else SLIGHTLY
    for n in itertools.count(2):
        size = TWO_LINES * 2 / n
        lines = textwrap.wrap(label, int(length / size))
        if len(lines) <= n:
            return "\n".join(lines), size
    raise AssertionError


def name_rows(axes: Axes, labels: Sequence[str], length: int, size: float) -> None:
    """Name the rows of a chart, none of them cut.

    Args:
        axes: Rows are at 0, 1, 2 ...
        labels: Their names.
        length: Characters that have room in one line.
        size: Of one line, in points.
    """
    broken = [in_lines(label, length) for label in labels]
    axes.set_yticks(range(len(labels)), [text for text, _ in broken])
    for tick, (_, smaller) in zip(axes.get_yticklabels(), broken, strict=True):
        tick.set(fontsize=size * smaller, linespacing=1.0)


def frame_axes(figure: Figure, *, left: float, right: float, top: float, bottom: float) -> Axes:
    """Add axes with margins in inches."""
    width, height = figure.get_size_inches()
    return figure.add_axes(
        (
            left / width,
            bottom / height,
            (width - left - right) / width,
            (height - top - bottom) / height,
        )
    )


def axis_limits(core: Sequence[float | None], ends: Sequence[float | None]) -> tuple[float, float]:
    """Return the limits of an axis of effects, zero on it.

    Args:
        core: Figures that must be seen; missing and infinite ones are left out.
        ends: Ends of intervals, seen as far as they do not squeeze the core.
    """
    known = [0.0, *(v for v in core if v is not None and math.isfinite(v))]
    low, high = min(known), max(known)
    span = (high - low) or abs(high) or 1.0
    room = (WIDEST_INTERVAL - 1) / 2 * span
    far = [low, high, *(v for v in ends if v is not None and math.isfinite(v))]
    return max(min(far), low - room) - 0.04 * span, min(max(far), high + room) + 0.04 * span


def draw_interval(
    axes: Axes,
    ends: tuple[float | None, float | None],
    line: float,
    limits: tuple[float, float],
    *,
    linewidth: float,
    color: str = SERIES[0],
) -> None:
    """Draw a horizontal interval, with an arrow where it reaches beyond the chart."""
    low, high = ends
    if low is None or high is None:
        return
    shown = (max(low, limits[0]), min(high, limits[1]))
    axes.plot(shown, (line, line), color=color, linewidth=linewidth)
    for beyond, limit, marker in (
        (low < limits[0], limits[0], "<"),
        (high > limits[1], limits[1], ">"),
    ):
        if beyond:
            axes.plot(limit, line, marker, color=color, markersize=5, clip_on=False)


class Ticks(Formatter):
    """Writes the values of an axis in the units of the report, all with the same decimals."""

    def __init__(self, factor: float, suffix: str) -> None:
        self.factor, self.suffix = factor, suffix

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """Write all values with as few decimals as tell them apart."""
        shown = [self.factor * value for value in values]
        fits = (d for d in range(7) if all(abs(v - round(v, d)) < 1e-9 for v in shown))
        decimals = next(fits, 6)
        return [words.number(value, decimals) + self.suffix for value in shown]

    def __call__(self, value: float, pos: int | None = None) -> str:  # noqa: ARG002
        """Write one value."""
        return self.format_ticks([value])[0]


def show_on_axis(axis: Axis, scale: Scale, *, levels: bool, ticks: int = 6) -> None:
    """Show an axis in the units of the report, with at most so many round values."""
    suffix = "%" if levels and scale.level_unit == "%" else ""
    axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(Ticks(scale.factor, suffix))


def effect_columns(scale: Scale) -> tuple[Column, ...]:
    """Return the columns of an estimate with its error, interval and p value."""
    unit = f", {scale.unit}" if scale.unit else ""
    return (
        column("estimate", f"Effect{unit}", scale.effect, numeric=True),
        column("std_error", "Standard error", scale.effect, numeric=True),
        Column(
            "Confidence interval",
            lambda row: scale.interval(row.get("conf_low"), row.get("conf_high")),
            numeric=True,
        ),
        column("p_value", "p value", words.p_cell, numeric=True),
    )
