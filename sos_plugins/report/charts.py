"""What every chart has, and the charts over time: trends and event studies."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import os
import statistics
import textwrap
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, MaxNLocator

from sos_plugins.report import formatting as words
from sos_plugins.report.formatting import Scale, missing, to_float
from sos_plugins.report.labels import april_years, period_name
from sos_plugins.report.svg import (
    DASHES,
    INK,
    LINE,
    MARKERS,
    MUTED,
    SERIES,
    SHADE,
    WIDTH,
    as_file,
    chart_style,
    inline,
)
from sos_plugins.report.tables import Column, Table, column, counts, frame_of, rows_of
from sos_plugins.study.result import OutcomeResult, StudyResult

ZERO_BASE = 0.25
"""A value axis starts at zero when values vary by more than this share of the largest."""

FEW_CASES = 10
"""With fewer cases than this one child moves a share by more than ten percentage points."""

USUAL_SHARE = 0.5
"""A year with less than this share of its series' usual (median) cases is a year cut short: of an
embedding window, of follow-up or of the records; its cases are not like those of other years."""

SLIGHTLY, TWO_LINES = 0.945, 0.78
"""Shares of the usual size of a label that is a little too long, and of one in two lines."""

WIDEST_INTERVAL = 4.0
"""Intervals are cut where they pass this many times the span of the figures that must be seen."""


@dataclass(frozen=True)
class Chart:
    """A chart with its text alternative and the table of its figures.

    Attributes:
        ident: Anchor, unique in the report.
        title: What it shows.
        finding: What it says, in words.
        svg: The picture.
        table: Its figures.
        drawing: How it is drawn, where it becomes a file of its own too.
    """

    ident: str
    title: str
    finding: str
    svg: Markup
    table: Table
    drawing: Drawing | None = None


@dataclass(frozen=True)
class Drawing:
    """How a chart is drawn.

    Attributes:
        draw: Draws on a figure.
        height: Of the figure, in inches.
    """

    draw: Callable[[Figure], None]
    height: float


CHARTS = "SOS_CHARTS"
"""Environment variable: ``none`` leaves the pictures out, which take most of a report's time."""
NO_CHART = Markup('<p class="note">No picture was asked for; the table has its figures.</p>')


def picture(
    draw: Callable[[Figure], None], *, ident: str, title: str, finding: str, height: float
) -> Markup:
    """Draw on a figure of this height (inches) and write it as SVG.

    Where the environment variable ``SOS_CHARTS`` is ``none``, a sentence says so in its place.
    """
    if os.environ.get(CHARTS) == "none":
        return NO_CHART
    with chart_style(ident):
        figure = Figure(figsize=(WIDTH, height))
        draw(figure)
        return inline(figure, ident=ident, title=title, finding=finding)


def chart_files(chart: Chart) -> dict[str, bytes]:
    """Write a chart as files of its own, SVG and PNG, by their names.

    Args:
        chart: One that has a drawing.
    """
    assert chart.drawing is not None
    with chart_style(chart.ident):
        figure = Figure(figsize=(WIDTH, chart.drawing.height))
        chart.drawing.draw(figure)
        return {
            f"{chart.ident}.{kind}": as_file(figure, kind, chart.title) for kind in ("svg", "png")
        }


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


def trends(study: StudyResult, result: OutcomeResult, ident: str) -> Chart | None:
    """Draw the means of pilots and comparators by period, embedding windows shaded."""
    rows = [
        row
        for row in rows_of(result.trends)
        if to_float(row.get("mean")) is not None and to_float(row.get("period")) is not None
    ]
    if not rows:
        return None
    rows = with_few(rows, binary=result.info.binary)
    april, scale, when = april_years(study), words.scale_of(result), uptake(study)
    title = f"Pilots and comparators over time: {words.clean(result.info.label)}"
    finding = _trend_finding(rows, scale, when, april=april)
    if len(result.spans) == 1:
        finding = f"The line of the pilots is that of one authority. {finding}"

    def draw(figure: Figure) -> None:
        axes = frame_axes(figure, left=0.75, right=0.25, top=0.7, bottom=0.6)
        if when:
            _shade(axes, when)
        for index, series in enumerate(_series(rows)):
            color, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
            axes.plot(
                *_coordinates(_points(rows, series)),
                label=words.heading(series),
                color=color,
                marker=marker,
                linestyle=DASHES[index % len(DASHES)],
                linewidth=2,
                markersize=5.5,
            )
            if few := _points(rows, series, few=True):
                axes.plot(
                    *_coordinates(few),
                    label=f"{words.heading(series)}, few cases",
                    color=color,
                    marker=marker,
                    linestyle="none",
                    markerfacecolor="white",
                    markersize=5.5,
                )
        _period_axis(axes, rows, april=april)
        _value_axis(axes, [to_float(r["mean"]) or 0.0 for r in rows], scale)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.1), ncols=3, borderaxespad=0)
        axes.set_title(_level_name(result), color=MUTED, pad=6)

    svg = picture(draw, ident=ident, title=title, finding=finding, height=3.9)
    return Chart(ident, title, finding, svg, _trend_table(result, rows, ident, scale, april=april))


@dataclass(frozen=True)
class Uptake:
    """When the pilots took the programme up, on the axis of periods.

    Attributes:
        first: The earliest start.
        last: The latest end of an embedding window, or the latest start without windows.
        windows: Whether it is made of embedding windows with dates.
    """

    first: float
    last: float
    windows: bool


def uptake(study: StudyResult) -> Uptake | None:
    """Return when pilots took up: from their windows, else from their first treated periods."""
    rows = rows_of(study.pilots)
    starts = [d for d in (words.to_date(r.get("start")) for r in rows) if d]
    ends = [d for d in (words.to_date(r.get("end")) for r in rows) if d]
    if starts and ends:
        return Uptake(april_position(min(starts)), april_position(max(ends)), windows=True)
    cohorts = [c for c in (to_float(r.get("cohort")) for r in rows) if c is not None]
    if not cohorts:
        return None
    return Uptake(min(cohorts) - 0.5, max(cohorts) - 0.5, windows=False)


def april_position(day: dt.date) -> float:
    """Return where a day lies when an April-year spans its number minus and plus one half."""
    year = day.year if (day.month, day.day) >= (4, 1) else day.year - 1
    length = (dt.date(year + 1, 4, 1) - dt.date(year, 4, 1)).days
    return year - 0.5 + (day - dt.date(year, 4, 1)).days / length


def _series(rows: Sequence[dict[str, Any]]) -> list[str]:
    order = {"pilots": 0, "comparators": 1}
    names = dict.fromkeys(str(row["series"]) for row in rows)
    return sorted(names, key=lambda name: (order.get(name, 2), name))


def with_few(rows: Sequence[dict[str, Any]], *, binary: bool) -> list[dict[str, Any]]:
    """Add ``few``: whether the cases of a year are too few for its mean to be told.

    They are when they are less than :data:`USUAL_SHARE` of what is usual in their series, or, of a
    binary outcome, fewer than :data:`FEW_CASES`. (Of other outcomes a case may be the figure of a
    whole authority.)
    """
    cases: dict[str, list[float]] = {series: [] for series in _series(rows)}
    for row in rows:
        if (n := to_float(row.get("n_cases"))) is not None:
            cases[str(row["series"])].append(n)

    def few(row: dict[str, Any]) -> bool:
        n, of_series = to_float(row.get("n_cases")), cases[str(row["series"])]
        if n is None:
            return False
        return n < USUAL_SHARE * statistics.median(of_series) or (binary and n < FEW_CASES)

    return [{**row, "few": few(row)} for row in rows]


def _points(
    rows: Sequence[dict[str, Any]], series: str, *, few: bool = False
) -> list[tuple[float, float]]:
    """Return periods and means of a series, of years with enough cases or with few."""
    return sorted(
        (float(row["period"]), float(row["mean"]))
        for row in rows
        if str(row["series"]) == series and row["few"] == few
    )


def _coordinates(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _shade(axes: Axes, when: Uptake) -> None:
    if when.first == when.last:
        axes.axvline(when.first, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    else:
        axes.axvspan(when.first, when.last, color=SHADE, linewidth=0, zorder=0)
    axes.annotate(
        "embedding\nwindows" if when.windows else "start",
        ((when.first + when.last) / 2, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0 if when.first < when.last else 4, -3),
        textcoords="offset points",
        ha="center" if when.first < when.last else "left",
        va="top",
        color=MUTED,
        fontsize=9,
    )


def _period_axis(axes: Axes, rows: list[dict[str, Any]], *, april: bool) -> None:
    periods = sorted({float(row["period"]) for row in rows})
    step = 1 if len(periods) <= (10 if april else 16) else 2 if len(periods) <= 22 else 5
    shown = periods[::step]
    axes.set_xticks(shown, [period_name(p, april=april) for p in shown])
    axes.set_xlim(periods[0] - 0.6, periods[-1] + 0.6)
    axes.set_xlabel("Year from 1 April to 31 March" if april else "Period", labelpad=6)


def _value_axis(axes: Axes, values: list[float], scale: Scale) -> None:
    low, high = min(values), max(values)
    margin = 0.18 * (high - low or abs(high) or 1.0)
    from_zero = low >= 0 and high - low > ZERO_BASE * high
    axes.set_ylim(0 if from_zero else low - margin, high + 1.6 * margin)
    show_on_axis(axes.yaxis, scale, levels=True)
    axes.grid(axis="y", color=SHADE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=3)


def _level_name(result: OutcomeResult) -> str:
    measure = words.clean(result.info.measure)
    if words.scale_of(result).level_unit == "%":
        return "Share of cases" if result.info.binary else "Per cent"
    return f"Mean, {measure}" if measure else "Mean"


def _trend_finding(
    rows: list[dict[str, Any]],
    scale: Scale,
    when: Uptake | None,
    *,
    april: bool,
) -> str:
    parts = []
    for series in _series(rows):
        points = _points(rows, series)
        if not points:
            parts.append(f"{words.heading(series)}: too few cases in every year.")
            continue
        (first, start), (last, end) = points[0], points[-1]
        parts.append(
            f"{words.heading(series)}: {scale.level(start)} in {period_name(first, april=april)}, "
            f"{scale.level(end)} in {period_name(last, april=april)}."
        )
    gaps = _gaps(rows, when) if when else None
    if gaps and when:
        sides = ("first embedding window", "last one") if when.windows else ("first start", "last")
        parts.append(
            f"The mean gap of pilots over comparators was {scale.with_unit(gaps[0])} in the years "
            f"wholly before the {sides[0]} and {scale.with_unit(gaps[1])} in those wholly after "
            f"the {sides[1]}, each year weighted by the pilots' cases, without matching weights or "
            "adjustment."
        )
    return " ".join([*parts, *_about_few(rows, april=april)])


def _about_few(rows: Sequence[dict[str, Any]], *, april: bool) -> list[str]:
    """Name the years that the text leaves out, by series."""
    told = []
    for series in _series(rows):
        few = sorted((r for r in rows if r["few"] and r["series"] == series), key=_period_of)
        if few:
            years = ", ".join(
                f"{period_name(_period_of(row), april=april)} ({words.count(row['n_cases'])})"
                for row in few
            )
            told.append(f"{series} {years}")
    if not told:
        return []
    return [
        "Years with too few cases to be told, or fewer than half of the usual number, are hollow "
        f"in the chart and left out of this text (cases in brackets): {'; '.join(told)}."
    ]


def _period_of(row: dict[str, Any]) -> float:
    return float(row["period"])


def _gaps(rows: list[dict[str, Any]], when: Uptake) -> tuple[float, float] | None:
    """Return the mean gaps before and after, each year weighted by the pilots' cases."""
    pilots, others = dict(_points(rows, "pilots")), dict(_points(rows, "comparators"))
    cases = {_period_of(r): to_float(r.get("n_cases")) for r in rows if r["series"] == "pilots"}
    both = sorted(set(pilots) & set(others))
    before = [p for p in both if p + 0.5 <= when.first]
    after = [p for p in both if p - 0.5 >= when.last]

    def gap(periods: Sequence[float]) -> float:
        weights = [cases[p] for p in periods]
        known = [1.0 if w is None else w for w in weights]
        gaps = [pilots[p] - others[p] for p in periods]
        return statistics.fmean(gaps, known if sum(known) else None)

    return (gap(before), gap(after)) if before and after else None


def _trend_table(
    result: OutcomeResult,
    rows: Sequence[dict[str, Any]],
    ident: str,
    scale: Scale,
    *,
    april: bool,
) -> Table:
    columns = [
        column("period", "Year" if april else "Period", lambda v: period_name(v, april=april)),
        column("series", "Series", lambda v: words.heading(words.text(v))),
        column("mean", "Mean", scale.level, numeric=True),
        counts("n_cases", "Cases"),
        column("few_cases", "Few cases"),
    ]
    few = {(row["series"], row["period"]) for row in rows if row["few"]}
    frame = result.trends.sort_values(["period", "series"], kind="stable", ignore_index=True)
    marks = [(s, p) in few for s, p in zip(frame["series"], frame["period"], strict=True)]
    caption = f"Means by year: {words.clean(result.info.label)}"
    return Table(ident, caption, frame.assign(few_cases=marks), tuple(columns))


def event_terms(result: OutcomeResult, estimator: str) -> list[dict[str, Any]]:
    """Return the terms ``event=e`` of an estimator by engine, in order of event time."""
    terms = []
    for named in result.estimates:
        if named.estimator != estimator:
            continue
        for row in rows_of(named.estimate.tidy):
            event = to_float(str(row["term"]).removeprefix("event="))
            if str(row["term"]).startswith("event=") and event is not None:
                keep = ("estimate", "std_error", "conf_low", "conf_high", "p_value")
                terms.append(
                    {"engine": named.engine, "event": int(event)} | {k: row[k] for k in keep}
                )
    return sorted(terms, key=lambda row: row["event"])


def event_study(result: OutcomeResult, estimator: str, ident: str) -> Chart | None:
    """Draw the effect by time since the start, every engine beside the others."""
    rows = [row for row in event_terms(result, estimator) if not missing(row["estimate"])]
    if not rows:
        return None
    scale = words.scale_of(result)
    title = f"Before and after the start ({estimator}): {words.clean(result.info.label)}"
    lone = lone_events(result, [row["event"] for row in rows])
    finding = " ".join(filter(None, (_event_finding(rows, scale), _about_lone(lone))))

    def draw(figure: Figure) -> None:
        axes = frame_axes(figure, left=0.75, right=0.25, top=0.7, bottom=0.6)
        axes.axhline(0, color=INK, linewidth=1)
        axes.axvline(-0.5, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        engines = list(dict.fromkeys(row["engine"] for row in rows))
        for index, engine in enumerate(engines):
            offset = (index - (len(engines) - 1) / 2) * min(0.18, 0.7 / len(engines))
            _event_points(axes, [r for r in rows if r["engine"] == engine], index, offset, lone)
        _event_axes(axes, rows, scale)

    svg = picture(draw, ident=ident, title=title, finding=finding, height=3.9)
    return Chart(ident, title, finding, svg, _event_table(result, estimator, ident))


def lone_events(result: OutcomeResult, events: Collection[int]) -> frozenset[int]:
    """Return the event times that one pilot alone has cases at.

    The first of the events given may stand for all before it, the last for all after it.
    """
    spans = [(int(r["first_event"]), int(r["last_event"])) for r in rows_of(result.spans)]
    if not spans:
        return frozenset()
    low, high = min(events), max(events)
    clipped = [(max(first, low), min(last, high)) for first, last in spans]
    n = {e: sum(first <= e <= last for first, last in clipped) for e in events}
    return frozenset(e for e, found in n.items() if found == 1)


def _about_lone(lone: Collection[int]) -> str:
    if not lone:
        return ""
    told = words.joined(words.number(e) for e in sorted(lone))
    return f"Hollow marks rest on one authority: event time {told}."


def _event_points(
    axes: Axes,
    rows: list[dict[str, Any]],
    index: int,
    offset: float,
    lone: Collection[int] = (),
) -> None:
    colour = SERIES[index % len(SERIES)]
    for row in rows:
        if words.excludes_zero(row["conf_low"], row["conf_high"]) is not None:
            x = row["event"] + offset
            axes.plot([x, x], [row["conf_low"], row["conf_high"]], color=colour, linewidth=1.6)
    look: dict[str, Any] = {
        "color": colour,
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": "none",
        "markersize": 5.5,
    }
    axes.plot(
        [row["event"] + offset for row in rows],
        [row["estimate"] for row in rows],
        label=f"engine: {rows[0]['engine']}",
        **look,
    )
    hollow = [row for row in rows if row["event"] in lone]
    axes.plot(
        [row["event"] + offset for row in hollow],
        [row["estimate"] for row in hollow],
        markerfacecolor="white",
        **look,
    )


def _event_axes(axes: Axes, rows: list[dict[str, Any]], scale: Scale) -> None:
    events = sorted({row["event"] for row in rows})
    step = 1 if len(events) <= 20 else 2
    shown = [e for e in range(events[0], events[-1] + 1) if e % step == 0]
    axes.set_xticks(shown, [words.number(e) for e in shown])
    axes.set_xlim(min(events[0], -1) - 0.6, max(events[-1], 0) + 0.6)
    axes.set_xlabel("Years since the start of embedding (0 = first year)", labelpad=6)
    show_on_axis(axes.yaxis, scale, levels=False)
    axes.grid(axis="y", color=SHADE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.1), ncols=3, borderaxespad=0)
    axes.set_title(f"Effect, {scale.unit or 'units of the outcome'}", color=MUTED, pad=6)
    axes.spines["bottom"].set_color(LINE)


def _event_finding(rows: list[dict[str, Any]], scale: Scale) -> str:
    engines = list(dict.fromkeys(row["engine"] for row in rows))
    first = [row for row in rows if row["engine"] == engines[0]]
    parts = []
    for name, chosen in (
        ("before the start", [r for r in first if r["event"] < 0]),
        ("from the start on", [r for r in first if r["event"] >= 0]),
    ):
        tested = [
            r for r in chosen if words.excludes_zero(r["conf_low"], r["conf_high"]) is not None
        ]
        if not tested:
            continue
        clear = sum(bool(words.excludes_zero(r["conf_low"], r["conf_high"])) for r in tested)
        parts.append(
            f"In the years {name}, {_span([r['estimate'] for r in tested], scale)}, and the "
            f"intervals of {words.count(clear)} of {words.count(len(tested))} lie apart from zero."
        )
    if len(engines) > 1:
        parts.append(f"Engines shown: {words.joined(engines)}; these figures: {engines[0]}.")
    return " ".join(parts) or "Estimates without confidence intervals."


def _span(estimates: list[float], scale: Scale) -> str:
    low, high = min(estimates), max(estimates)
    if scale.effect(low) == scale.effect(high):
        return f"estimates are {scale.with_unit(low)}"
    return f"estimates run from {scale.effect(low)} to {scale.with_unit(high)}"


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


def _event_table(result: OutcomeResult, estimator: str, ident: str) -> Table:
    names = ("event", "engine", "estimate", "std_error", "conf_low", "conf_high", "p_value")
    columns = (
        column("event", "Years since the start", words.number, numeric=True),
        column("engine", "Engine"),
        *effect_columns(words.scale_of(result)),
    )
    return Table(
        ident,
        f"Effect by years since the start ({estimator}): {words.clean(result.info.label)}",
        frame_of(event_terms(result, estimator), names),
        columns,
        missing_note="the year is the reference, set to zero, or the engine gave no figure",
    )
