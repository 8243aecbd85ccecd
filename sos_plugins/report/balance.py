"""The charts of matching: balance before and after, and propensity scores."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sos_plugins.report import formatting as words
from sos_plugins.report.charts import SMALL, Chart, Drawing, frame_axes
from sos_plugins.report.formatting import to_float
from sos_plugins.report.labels import Labels, covariate_name
from sos_plugins.report.svg import INK, MARKERS, MUTED, SERIES, SHADE
from sos_plugins.report.tables import Column, Table, column, frame_of, rows_of
from sos_plugins.study.result import OutcomeResult

BALANCE_LINE = 0.1
"""Standardised mean differences within this line count as balanced (Austin, 2009)."""

MARK, MARK_NOTE = "*", "* may have been recorded, or come about, after the programme began."
"""Marks characteristics of ``OutcomeInfo.measured_after``."""

IN_THE_FILE = "The file has means, ratios of variances, KS and L1 as well."
LEVELS = {"units": "authorities", "cases": "children"}
"""What is balanced at each level of matching."""


def love_plot(result: OutcomeResult, level: str, ident: str, *, april: bool) -> Chart | None:
    """Draw standardised mean differences before and after matching, at one level."""
    rows = [row for row in rows_of(result.balance) if _level(row) == level]
    usable = [r for r in rows if to_float(r.get("smd_before")) is not None]
    if not usable:
        return None
    name = LEVELS.get(level, level)
    title = f"Balance of {name} before and after matching: {words.clean(result.info.label)}"
    name_of = _namer(result, april=april)
    finding = _balance_finding(usable, name_of)
    if any(MARK in name_of(row) for row in usable):
        finding = f"{finding} {MARK_NOTE}"

    def draw(figure: Figure) -> None:
        axes = frame_axes(figure, left=2.0, right=0.15, top=0.35, bottom=0.5)
        axes.axvline(0, color=INK, linewidth=1)
        for line in (-BALANCE_LINE, BALANCE_LINE):
            axes.axvline(line, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for index, (key, label) in enumerate((("smd_before", "before"), ("smd_after", "after"))):
            points = [(to_float(r.get(key)), y) for y, r in enumerate(usable)]
            kept = [(x, y) for x, y in points if x is not None]
            axes.plot(
                [x for x, _ in kept],
                [y for _, y in kept],
                label=f"{label} matching",
                linestyle="none",
                marker=(MARKERS[1], MARKERS[0])[index],
                color=(SERIES[1], SERIES[0])[index],
                markerfacecolor=("white", SERIES[0])[index],
                markeredgewidth=1.5,
                markersize=6,
            )
        _love_axes(axes, usable, name_of)

    height = 0.85 + _row_height([name_of(row) for row in usable]) * len(usable)
    drawing = Drawing(draw, height, SMALL)
    table = balance_table(result, level, ident, april=april)
    return Chart(ident, title, finding, (drawing,), table, small=True)


def _namer(result: OutcomeResult, *, april: bool) -> Callable[[dict[str, Any]], str]:
    """Return what names the characteristic of a row, with a mark where it may be measured late."""

    def name_of(row: dict[str, Any]) -> str:
        name = covariate_name(row.get("covariate"), april=april)
        column, _, _ = words.text(row.get("covariate")).partition("=")
        return f"{name}{MARK}" if column in result.info.measured_after else name

    return name_of


def _level(row: dict[str, Any]) -> str:
    return words.text(row.get("level") or "units")


def balance_levels(result: OutcomeResult) -> list[str]:
    """Return the levels at which balance was computed, in order."""
    return list(dict.fromkeys(_level(row) for row in rows_of(result.balance)))


def _love_axes(
    axes: Axes, rows: list[dict[str, Any]], name_of: Callable[[dict[str, Any]], str]
) -> None:
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    _name_rows(axes, [name_of(row) for row in rows])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", color=SHADE, linewidth=0.8)
    axes.set_axisbelow(True)
    values = [abs(to_float(row.get(k)) or 0.0) for row in rows for k in ("smd_before", "smd_after")]
    reach = max(2.0 * BALANCE_LINE, 1.1 * max(values))
    axes.set_xlim(-reach, reach)
    axes.xaxis.set_major_formatter(lambda v, _: words.number(v, 1 if reach > 0.5 else 2))
    axes.set_xlabel("Pilots less comparators, SD", labelpad=4, fontsize=9)
    axes.tick_params(labelsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.01), ncols=2, borderaxespad=0, fontsize=9)


LONGEST_NAME = 27
"""Characters of a name that have room beside the chart; longer ones are set in lines."""


def _name_rows(axes: Axes, labels: Sequence[str]) -> None:
    broken = ["\n".join(textwrap.wrap(label, LONGEST_NAME)) for label in labels]
    axes.set_yticks(range(len(labels)), broken, fontsize=9, linespacing=0.95)


def _row_height(labels: Sequence[str]) -> float:
    """Return inches from row to row at which no name touches the next."""
    lines = [len(textwrap.wrap(label, LONGEST_NAME)) for label in labels]
    pairs = [sum(pair) / 2 for pair in pairwise([1, *lines, 1])]
    return 0.05 + 0.13 * max(pairs)


def _balance_finding(rows: list[dict[str, Any]], name_of: Callable[[dict[str, Any]], str]) -> str:
    parts = []
    for key, name in (("smd_before", "Before matching"), ("smd_after", "after matching")):
        values = [(abs(v), r) for r in rows if (v := to_float(r.get(key))) is not None]
        if not values:
            continue
        beyond = sum(v > BALANCE_LINE for v, _ in values)
        largest, row = max(values, key=lambda item: item[0])
        parts.append(
            f"{name}, {words.count(beyond)} of {words.plural(len(values), 'characteristic')} "
            f"differ by more than {words.figure(BALANCE_LINE)} standard deviations (largest: "
            f"{name_of(row)}, {words.number(largest, 2)})"
        )
    return f"{'; '.join(parts)}."


def balance_table(result: OutcomeResult, level: str, ident: str, *, april: bool) -> Table:
    """Make the table of balance at one level."""
    frame = frame_of(
        (row for row in rows_of(result.balance) if _level(row) == level), result.balance.columns
    )

    def two(key: str, heading: str) -> Column:
        return column(key, heading, lambda v: words.number(v, 2), numeric=True)

    name_of = _namer(result, april=april)
    columns = (
        column("covariate", "Characteristic", lambda v: name_of({"covariate": v})),
        two("smd_before", "Difference before (SD)"),
        two("smd_after", "Difference after (SD)"),
    )
    label = words.clean(result.info.label)
    late = [MARK_NOTE] if any(MARK in name_of(row) for row in rows_of(frame)) else []
    return Table(
        ident,
        f"Balance of {LEVELS.get(level, level)}: {label}",
        frame,
        columns,
        note=" ".join([IN_THE_FILE, *late]),
        missing_note="it does not arise: a share has no variance of its own, or nothing varies",
    )


def overlap(result: OutcomeResult, names: Labels, ident: str) -> Chart | None:
    """Draw the propensity scores of pilots and of possible comparators."""
    rows = [r for r in rows_of(result.scores) if to_float(r.get("score")) is not None]
    sides = {
        "Pilots": [float(r["score"]) for r in rows if r.get("treated")],
        "Possible comparators": [float(r["score"]) for r in rows if not r.get("treated")],
    }
    if not all(sides.values()):
        return None
    title = f"Propensity scores of authorities: {words.clean(result.info.label)}"
    finding = _overlap_finding(*sides.values())
    top = max(max(values) for values in sides.values())
    edges = np.linspace(0, 1 if top > 0.6 else top * 1.05 or 1.0, 26)

    def draw(figure: Figure) -> None:
        for index, (name, scores) in enumerate(sides.items()):
            axes = frame_axes(
                figure, left=0.5, right=0.15, top=0.3 + 1.2 * index, bottom=0.5 + 1.2 * (1 - index)
            )
            axes.hist(
                scores,
                bins=list(edges),
                color=SERIES[index],
                edgecolor="white",
                hatch=("", "///")[index],
                linewidth=0.8,
            )
            axes.set_title(f"{name}: number of authorities ({words.count(len(scores))})", pad=5)
            axes.tick_params(labelsize=9)
            axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
            axes.set_xlim(edges[0], edges[-1])
            axes.grid(axis="y", color=SHADE, linewidth=0.8)
            axes.set_axisbelow(True)
            if index:
                axes.set_xlabel("Estimated probability of being a pilot", labelpad=6)
            else:
                axes.tick_params(labelbottom=False)

    drawing = Drawing(draw, 2.9, SMALL)
    columns = (
        column("unit", "Authority", names),
        column("treated", "Pilot", lambda v: "yes" if v else "no"),
        column("score", "Propensity score", lambda v: words.number(v, 3), numeric=True),
    )
    table = Table(ident, title, result.scores, columns)
    return Chart(ident, title, finding, (drawing,), table, small=True)


def _overlap_finding(pilots: list[float], others: list[float]) -> str:
    low, high = min(pilots), max(pilots)
    inside = sum(low <= score <= high for score in others)
    return (
        f"Pilots score from {words.number(low, 2)} to {words.number(high, 2)}, possible "
        f"comparators from {words.number(min(others), 2)} to {words.number(max(others), 2)}; "
        f"{words.count(inside)} of {words.plural(len(others), 'possible comparator')} "
        "lie within the range of the pilots."
    )
