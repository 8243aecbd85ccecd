"""The chart of trends: means of pilots and comparators by period."""

from __future__ import annotations

import datetime as dt
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sos_plugins.report import formatting as words
from sos_plugins.report.charts import SMALL, Chart, Drawing, frame_axes, show_on_axis
from sos_plugins.report.formatting import Scale, to_float
from sos_plugins.report.labels import april_years, period_name
from sos_plugins.report.svg import DASHES, MARKERS, MUTED, SERIES, SHADE
from sos_plugins.report.tables import Table, column, counts, rows_of
from sos_plugins.study.result import OutcomeResult, StudyResult

ZERO_BASE = 0.25
"""A value axis starts at zero when values vary by more than this share of the largest."""

FEW_CASES = 10
"""With fewer cases than this one child moves a share by more than ten percentage points."""

USUAL_SHARE = 0.5
"""A year with less than this share of its series' usual (median) cases is a year cut short: of an
embedding window, of follow-up or of the records; its cases are not like those of other years."""

ALONE = "The line of the pilots is that of one authority."

HEIGHT = 2.5
"""Inches of the chart."""

ROOM_ABOVE = 0.3
"""Share of the height above the lines, for the name of the windows."""

YEAR_WIDTH = 0.7
"""Inches that the name of a year takes beneath the chart."""


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


@dataclass(frozen=True)
class Trends:
    """What the chart of trends shows, whatever it is from.

    Attributes:
        rows: One a series and period: ``series`` (``pilots``, ``comparators``), ``period``,
            ``mean`` in the units of the value, ``n_cases`` or None.
        binary: Whether the value is 0 or 1, so that few cases are no share.
        scale: How values are shown.
        level: What the axis of values is called.
        when: When the pilots took up, or None.
        april: Whether periods are years from 1 April.
        alone: Whether the line of the pilots is that of one authority.
    """

    rows: Sequence[Mapping[str, Any]]
    binary: bool
    scale: Scale
    level: str
    when: Uptake | None = None
    april: bool = True
    alone: bool = False


def trends(study: StudyResult, result: OutcomeResult, ident: str) -> Chart | None:
    """Draw the means of pilots and comparators by period, embedding windows shaded."""
    data = Trends(
        rows=rows_of(result.trends),
        binary=result.info.binary,
        scale=words.scale_of(result),
        level=_level_name(result),
        when=uptake(study),
        april=april_years(study),
        alone=len(result.spans) == 1,
    )
    label = words.clean(result.info.label)
    return trend_chart(data, ident, label)


def trend_chart(data: Trends, ident: str, label: str) -> Chart | None:
    """Draw trends from plain figures.

    Args:
        data: The figures.
        ident: Anchor of the chart, unique on its page.
        label: The outcome.

    Returns:
        The chart, or None where no period has a mean.
    """
    known = [r for r in data.rows if None not in (to_float(r["mean"]), to_float(r["period"]))]
    rows = with_few(known, binary=data.binary)
    if not rows:
        return None
    title = f"Pilots and comparators over time: {label}"
    finding = _finding(rows, data)

    def draw(figure: Figure) -> None:
        draw_trends(figure, rows, data)

    drawing = Drawing(draw, HEIGHT, SMALL)
    table = _table(data, rows, ident, label)
    note = _note(rows, data)
    return Chart(ident, title, finding, (drawing,), table, short="Over time", note=note, small=True)


def draw_trends(figure: Figure, rows: Sequence[Mapping[str, Any]], data: Trends) -> None:
    """Draw lines of the periods that can be shown; those with few cases are hollow."""
    axes = frame_axes(figure, left=0.62, right=0.12, top=0.52, bottom=0.5)
    if data.when:
        _shade(axes, data.when)
    shown = [row for row in rows if row["shown"]]
    for index, series in enumerate(_series(rows)):
        _line(axes, rows, series, index)
    _period_axis(axes, rows, april=data.april)
    _value_axis(axes, [float(r["mean"]) for r in shown or rows], data.scale)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.13),
        ncols=2,
        borderaxespad=0,
        fontsize=9,
        handlelength=2.6,
        columnspacing=1.2,
    )
    axes.set_title(data.level, color=MUTED, pad=5, fontsize=9)
    axes.tick_params(labelsize=9)


def _line(axes: Axes, rows: Sequence[Mapping[str, Any]], series: str, index: int) -> None:
    look: dict[str, Any] = {
        "color": SERIES[index % len(SERIES)],
        "marker": MARKERS[index % len(MARKERS)],
        "markersize": 4.5,
    }
    axes.plot(
        *_coordinates(_line_points(rows, series)),
        label=words.heading(series),
        linestyle=DASHES[index % len(DASHES)],
        linewidth=1.8,
        **look,
    )
    few = [(x, y) for x, y in _points(rows, series, few=True) if _is_shown(rows, series, x)]
    axes.plot(*_coordinates(few), linestyle="none", markerfacecolor="white", **look)


def _line_points(rows: Sequence[Mapping[str, Any]], series: str) -> list[tuple[float, float]]:
    """Return the points of a line, broken where a period between two has few cases."""
    of_series = sorted((r for r in rows if r["series"] == series), key=_period_of)
    return [(_period_of(r), math.nan if r["few"] else float(r["mean"])) for r in of_series]


def _is_shown(rows: Sequence[Mapping[str, Any]], series: str, period: float) -> bool:
    return any(r["shown"] for r in rows if r["series"] == series and _period_of(r) == period)


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


def _series(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    order = {"pilots": 0, "comparators": 1}
    names = dict.fromkeys(str(row["series"]) for row in rows)
    return sorted(names, key=lambda name: (order.get(name, 2), name))


def with_few(rows: Sequence[Mapping[str, Any]], *, binary: bool) -> list[dict[str, Any]]:
    """Add ``few``, whether a period has too few cases for its mean to be told, and ``shown``.

    There are few when they are less than :data:`USUAL_SHARE` of what is usual in their series, or,
    of a binary outcome, fewer than :data:`FEW_CASES`; then they are too few to be shown at all. (Of
    other outcomes a case may be the figure of a whole authority.)
    """
    cases: dict[str, list[float]] = {series: [] for series in _series(rows)}
    for row in rows:
        if (n := to_float(row.get("n_cases"))) is not None:
            cases[str(row["series"])].append(n)

    def marked(row: Mapping[str, Any]) -> dict[str, Any]:
        n, of_series = to_float(row.get("n_cases")), cases[str(row["series"])]
        if n is None:
            return {**row, "few": False, "shown": True}
        too_few = binary and n < FEW_CASES
        few = too_few or n < USUAL_SHARE * statistics.median(of_series)
        return {**row, "few": few, "shown": not too_few}

    return [marked(row) for row in rows]


def _points(
    rows: Sequence[Mapping[str, Any]], series: str, *, few: bool = False
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


def _period_axis(axes: Axes, rows: Sequence[Mapping[str, Any]], *, april: bool) -> None:
    periods = sorted({float(row["period"]) for row in rows})
    room = (SMALL - 0.74) / (YEAR_WIDTH if april else 0.45)
    shown = periods[:: max(1, math.ceil(len(periods) / room))]
    axes.set_xticks(shown, [period_name(p, april=april) for p in shown])
    axes.set_xlim(periods[0] - 0.6, periods[-1] + 0.6)
    name = "Year from April" if april else "Period"
    axes.set_xlabel(name, labelpad=4, fontsize=9)


def _value_axis(axes: Axes, values: Sequence[float], scale: Scale) -> None:
    low, high = min(values), max(values)
    margin = 0.18 * (high - low or abs(high) or 1.0)
    from_zero = low >= 0 and high - low > ZERO_BASE * high
    bottom = 0 if from_zero else low - margin
    axes.set_ylim(bottom, high + ROOM_ABOVE * (high - bottom))
    show_on_axis(axes.yaxis, scale, levels=True, ticks=4)
    axes.grid(axis="y", color=SHADE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=3)


def _level_name(result: OutcomeResult) -> str:
    measure = words.clean(result.info.measure)
    if words.scale_of(result).level_unit == "%":
        return f"Share of {words.clean(result.info.each)}" if result.info.binary else "Per cent"
    return f"Mean, {measure}" if measure else "Mean"


def _finding(rows: Sequence[Mapping[str, Any]], data: Trends) -> str:
    parts = [ALONE] if data.alone else []
    for series in _series(rows):
        points = _points(rows, series)
        if not points:
            parts.append(f"{words.heading(series)}: too few cases in every year.")
            continue
        (first, start), (last, end) = points[0], points[-1]
        begun, ended = (period_name(p, april=data.april) for p in (first, last))
        parts.append(
            f"{words.heading(series)}: {data.scale.level(start)} in {begun}, "
            f"{data.scale.level(end)} in {ended}."
        )
    if data.when and (gaps := _gaps(rows, data.when)):
        sides = ("first embedding window", "last one")
        sides = sides if data.when.windows else ("first start", "last")
        parts.append(
            f"The mean gap of pilots over comparators was {data.scale.with_unit(gaps[0])} in the "
            f"years wholly before the {sides[0]} and {data.scale.with_unit(gaps[1])} in those "
            f"wholly after the {sides[1]}, each year weighted by the pilots' cases, without "
            "matching weights or adjustment."
        )
    return " ".join([*parts, *_about_few(rows, april=data.april)])


def _note(rows: Sequence[Mapping[str, Any]], data: Trends) -> str:
    """Say beside the chart how far pilots lay from comparators before and after."""
    parts = [ALONE] if data.alone else []
    if data.when and (gaps := _gaps(rows, data.when)):
        unit = "points" if data.scale.level_unit == "%" else data.scale.unit
        before, after = (data.scale.effect(gap) for gap in gaps)
        parts.append(f"Pilots less comparators: {before} {unit} before, {after} after.")
    if any(row["few"] and row["shown"] for row in rows):
        parts.append("Hollow: few cases.")
    if any(not row["shown"] for row in rows):
        parts.append(f"Years of fewer than {FEW_CASES} cases are left out.")
    return " ".join(parts)


def _about_few(rows: Sequence[Mapping[str, Any]], *, april: bool) -> list[str]:
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
        "Years with fewer than half of the usual number of cases are hollow in the chart, those "
        f"with fewer than {FEW_CASES} are not drawn, and both are left out of this text (cases in "
        f"brackets): {'; '.join(told)}."
    ]


def _period_of(row: Mapping[str, Any]) -> float:
    return float(row["period"])


def _gaps(rows: Sequence[Mapping[str, Any]], when: Uptake) -> tuple[float, float] | None:
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


def _table(data: Trends, rows: Sequence[Mapping[str, Any]], ident: str, label: str) -> Table:
    columns = (
        column(
            "period",
            "Year" if data.april else "Period",
            lambda v: period_name(v, april=data.april),
        ),
        column("series", "Series", lambda v: words.heading(words.text(v))),
        column("mean", "Mean", data.scale.level, numeric=True),
        counts("n_cases", "Cases"),
        column("few_cases", "Few cases"),
    )
    few = {(row["series"], row["period"]) for row in rows if row["few"]}
    frame = pd.DataFrame([dict(row) for row in data.rows])
    frame = frame.sort_values(["period", "series"], kind="stable", ignore_index=True)
    marks = [(s, p) in few for s, p in zip(frame["series"], frame["period"], strict=True)]
    caption = f"Means by year: {label}"
    return Table(ident, caption, frame.assign(few_cases=marks), columns)
