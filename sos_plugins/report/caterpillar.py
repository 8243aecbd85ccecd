"""What the pilots have in common: the chart of their effects, pooled, and the tables beneath."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sos_plugins.contract.types import PooledEffects
from sos_plugins.report import formatting as words
from sos_plugins.report.charts import (
    Chart,
    Drawing,
    axis_limits,
    draw_interval,
    frame_axes,
    in_lines,
    show_on_axis,
)
from sos_plugins.report.findings import pooled_sentence
from sos_plugins.report.formatting import Scale, to_float
from sos_plugins.report.svg import INK, MARKERS, MUTED, SERIES, SHADE
from sos_plugins.report.tables import Column, Row, Table, column, frame_of, rows_of
from sos_plugins.study.result import OutcomeResult

OWN, SHARED = SERIES[0], SERIES[1]
"""Colours of what is of one pilot and of what rests on all."""
LABEL_WIDTH, VALUE_WIDTH = 2.35, 1.75
"""Inches beside the chart for names at its left and figures at its right."""
LONGEST_LABEL = 30
"""Characters of a name in one line; longer ones are set smaller, in lines."""
DIAMOND = 0.22
"""Half the height of the pooled diamond, in lines."""
BELOW = 0.3
"""How far below a pilot's own effect stands its effect in the light of all, in lines."""


def caterpillar(result: OutcomeResult, ident: str) -> Chart | None:
    """Draw the effect of each pilot by size, the pooled effect and what the next may expect."""
    pooled = result.pooled
    if pooled is None:
        return None
    scale, rows = words.scale_of(result), _sorted(pooled)
    lines = len(rows) + 1 + (pooled.prediction_low is not None)
    title = f"Effects of the pilots, each alone, and pooled: {words.clean(result.info.label)}"
    limits = _limits(pooled, rows)

    def draw(figure: Figure) -> None:
        axes = frame_axes(figure, left=LABEL_WIDTH, right=VALUE_WIDTH, top=0.62, bottom=0.6)
        axes.set_xlim(*limits)
        axes.set_ylim(lines - 0.4, -0.6)
        axes.axvline(0, color=INK, linewidth=1)
        axes.axvline(pooled.estimate, color=SHARED, linewidth=1, linestyle=":")
        for line, row in enumerate(rows):
            _draw_pilot(axes, row, line, limits, scale)
        _draw_pooled(axes, pooled, len(rows), limits, scale)
        _finish(axes, scale)

    finding = _finding(pooled, rows, scale)
    drawing = Drawing(draw, 1.22 + 0.29 * lines)
    return Chart(ident, title, finding, (drawing,), pilots_table(result, pooled, ident))


def _sorted(pooled: PooledEffects) -> list[dict[str, Any]]:
    rows = rows_of(pooled.pilots)
    return sorted(rows, key=lambda row: (to_float(row["estimate"]) or 0.0, str(row["unit"])))


def _limits(pooled: PooledEffects, rows: Sequence[Row]) -> tuple[float, float]:
    core = [to_float(row[name]) for row in rows for name in ("estimate", "shrunken")]
    core += [pooled.conf_low, pooled.conf_high]
    ends = [to_float(row[name]) for row in rows for name in ("conf_low", "conf_high")]
    return axis_limits(core, [*ends, pooled.prediction_low, pooled.prediction_high])


def _draw_pilot(axes: Axes, row: Row, line: int, limits: tuple[float, float], scale: Scale) -> None:
    ends = (to_float(row["conf_low"]), to_float(row["conf_high"]))
    draw_interval(axes, ends, line, limits, linewidth=1.4, color=OWN)
    named = ("Pilot alone", "In the light of all pilots") if line == 0 else ("_", "_")
    axes.plot(row["estimate"], line, MARKERS[0], color=OWN, markersize=5.5, label=named[0])
    axes.plot(
        *(row["shrunken"], line + BELOW, MARKERS[1]),
        color=SHARED,
        markerfacecolor="white",
        markersize=5,
        label=named[1],
    )
    value = scale.effect(row["estimate"])
    value += "" if None in ends else f" ({scale.interval(*ends)})"
    _beside(axes, line, words.clean(str(row["name"])), value)


def _draw_pooled(
    axes: Axes, pooled: PooledEffects, line: int, limits: tuple[float, float], scale: Scale
) -> None:
    low, middle, high = pooled.conf_low, pooled.estimate, pooled.conf_high
    left, right = max(low, limits[0]), min(high, limits[1])
    corners = [(left, line), (middle, line - DIAMOND), (right, line), (middle, line + DIAMOND)]
    axes.fill(*zip(*corners, strict=True), color=SHARED, linewidth=0)
    value = f"{scale.effect(middle)} ({scale.interval(low, high)})"
    _beside(axes, line, "Average effect", value, weight="bold")
    ends = (pooled.prediction_low, pooled.prediction_high)
    if None not in ends:
        draw_interval(axes, ends, line + 1, limits, linewidth=4, color=SHARED)
        _beside(axes, line + 1, "Next authority", scale.interval(*ends), weight="bold")


def _beside(axes: Axes, line: int, label: str, value: str, weight: str = "normal") -> None:
    beside: dict[str, Any] = {
        "xycoords": ("axes fraction", "data"),
        "textcoords": "offset points",
        "va": "center",
        "fontweight": weight,
    }
    left = -72 * LABEL_WIDTH + 8
    text, smaller = in_lines(label, LONGEST_LABEL)
    axes.annotate(
        text, (0, line), xytext=(left, 0), fontsize=9.5 * smaller, linespacing=1.0, **beside
    )
    right = 72 * VALUE_WIDTH - 4
    axes.annotate(value, (1, line), xytext=(right, 0), ha="right", **beside)


def _finish(axes: Axes, scale: Scale) -> None:
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    show_on_axis(axes.xaxis, scale, levels=False, ticks=5)
    axes.grid(axis="x", color=SHADE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"Effect, {scale.unit}" if scale.unit else "Effect", labelpad=6)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        borderaxespad=0,
        ncols=2,
        handletextpad=0.4,
        labelcolor=MUTED,
    )


def _finding(pooled: PooledEffects, rows: Sequence[Row], scale: Scale) -> str:
    least, most = rows[0], rows[-1]
    said = (
        f"The effects of {words.plural(len(rows), 'pilot')} run from "
        f"{scale.effect(least['estimate'])} ({words.clean(str(least['name']))}) to "
        f"{scale.effect(most['estimate'])} ({words.clean(str(most['name']))}) {scale.unit}".rstrip()
    )
    between = scale.with_unit(math.sqrt(pooled.tau2))
    return (
        f"{said}. Between authorities the true effects are estimated to differ by a standard "
        f"deviation of {between}: {words.share(pooled.i2, 0)} of the differences seen, the rest "
        "being error."
    )


def pilots_table(result: OutcomeResult, pooled: PooledEffects, ident: str) -> Table:
    """Make the table of the pilots: alone, with their weight, and in the light of all."""
    scale = words.scale_of(result)
    columns = (
        column("name", "Pilot", lambda v: words.clean(str(v))),
        column("estimate", "Effect alone", scale.effect, numeric=True),
        column("std_error", "Standard error", scale.effect, numeric=True),
        _interval("Interval alone", scale, "conf_low", "conf_high"),
        column("weight", "Weight", words.share, numeric=True),
        column("shrunken", "In the light of all", scale.effect, numeric=True),
        _interval("Its interval", scale, "shrunken_low", "shrunken_high"),
    )
    caption = f"Effects of the pilots: {words.clean(result.info.label)}"
    frame = frame_of(_sorted(pooled), list(pooled.pilots.columns))
    return Table(ident, caption, frame, columns, note=_unit_note(scale))


def _interval(heading: str, scale: Scale, low: str, high: str) -> Column:
    return Column(heading, lambda row: scale.interval(row[low], row[high]), numeric=True)


def _unit_note(scale: Scale) -> str:
    return f"Effects are in {scale.unit}." if scale.unit else ""


POOLED_COLUMNS = ("figure", "value", "low", "high", "df", "p_value", "meaning")
"""Columns of the table of pooled figures."""


def pooled_table(result: OutcomeResult, ident: str) -> Table | None:
    """Make the table of the average effect, the variance between pilots and the next pilot."""
    pooled = result.pooled
    if pooled is None:
        return None
    scale = words.scale_of(result)
    columns = (
        column("figure", "Figure", lambda v: words.capital(words.text(v))),
        Column("Value", lambda row: _figure(row, "value", scale), numeric=True),
        Column("Interval", lambda row: _ends(row, scale), numeric=True),
        column("df", "Degrees of freedom", words.figure, numeric=True),
        column("p_value", "p value", words.p_cell, numeric=True),
        Column("What it means", lambda row: words.text(row["meaning"]), wide=True),
    )
    caption = f"What the pilots have in common: {words.clean(result.info.label)}"
    note = words.end_sentence(f"By {pooled.plugin}: {pooled.method}. {pooled.citation}")
    frame = frame_of(_pooled_rows(pooled), POOLED_COLUMNS)
    return Table(ident, caption, frame, columns, note=note)


def _pooled_rows(pooled: PooledEffects) -> list[dict[str, Any]]:
    roots = {name: math.sqrt(getattr(pooled, name)) for name in ("tau2", "tau2_low", "tau2_high")}
    return [
        {
            "figure": "average effect",
            "value": pooled.estimate,
            "p_value": pooled.p_value,
            "low": pooled.conf_low,
            "high": pooled.conf_high,
            "df": pooled.df,
            "meaning": "the mean of the effects in authorities like these",
        },
        {
            "figure": "next authority",
            "df": pooled.prediction_df,
            "low": pooled.prediction_low,
            "high": pooled.prediction_high,
            "meaning": "where the effect in a further authority like these is expected",
        },
        {
            "figure": "standard deviation between authorities",
            "value": roots["tau2"],
            "low": roots["tau2_low"],
            "high": roots["tau2_high"],
            "meaning": "how far true effects lie from their mean",
        },
        {
            "figure": SHARE_BETWEEN,
            "value": pooled.i2,
            "meaning": "I squared: how much of what the effects differ by is more than error",
        },
        {
            "figure": COCHRAN,
            "value": pooled.q,
            "df": pooled.q_df,
            "p_value": pooled.q_p_value,
            "meaning": "the test that all pilots have the same effect",
        },
    ]


SHARE_BETWEEN, COCHRAN = "share between authorities", "Cochran's Q"


def _figure(row: Row, key: str, scale: Scale) -> str:
    if row["figure"] == COCHRAN:
        return words.figure(row[key])
    return words.share(row[key]) if row["figure"] == SHARE_BETWEEN else scale.effect(row[key])


def _ends(row: Row, scale: Scale) -> str:
    return scale.interval(row["low"], row["high"])


def pooled_notes(result: OutcomeResult) -> tuple[str, ...]:
    """Return the sentence on what the next authority may expect, and what to mind, or why none."""
    if result.pooled is None:
        return (words.end_sentence(result.not_pooled),) if result.not_pooled else ()
    return (pooled_sentence(result), *map(words.end_sentence, result.pooled.warnings))
