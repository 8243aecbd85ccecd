"""The charts of effects by event time."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sos_plugins.report import formatting as words
from sos_plugins.report.charts import (
    SMALL,
    Chart,
    Drawing,
    axis_limits,
    effect_columns,
    frame_axes,
    show_on_axis,
)
from sos_plugins.report.formatting import Scale, missing, to_float
from sos_plugins.report.labels import engine_name
from sos_plugins.report.svg import INK, LINE, MARKERS, MUTED, SERIES, SHADE
from sos_plugins.report.tables import Table, column, frame_of, rows_of
from sos_plugins.study.result import OutcomeResult

HEIGHT = 2.5
"""Inches of the chart."""

SAME_SPOT = 0.004
"""Engines whose figures all lie within this share of what the axis spans are drawn once: about the
width of a line."""

REFERENCE = "reference"
"""What the time is called that effects are measured from."""

IN_THE_FILE = ("Standard error", "p value")
"""Headings of figures that the page leaves to the file."""

FIGURES = ("estimate", "std_error", "conf_low", "conf_high", "p_value")


@dataclass(frozen=True)
class Effects:
    """What a chart of effects by event time shows, whatever it is from.

    Attributes:
        rows: One an engine and event time: ``engine``, ``event`` (0 is the first period after the
            window, or of treatment), ``estimate``, ``conf_low``, ``conf_high``, in the units of the
            value.
        scale: How effects are shown.
        lone: Event times that rest on one authority.
        windows: Whether event time counts from embedding windows.
        years: Whether periods are years.
    """

    rows: Sequence[Mapping[str, Any]]
    scale: Scale
    lone: frozenset[int] = frozenset()
    windows: bool = True
    years: bool = True

    @property
    def axis(self) -> str:
        """What event time is called on the axis."""
        unit = "Years" if self.years else "Periods"
        first = "first after it" if self.windows else "first treated"
        since = "the window" if self.windows else "the start"
        return f"{unit} from {since} (0 = {first})"


def event_study(
    result: OutcomeResult,
    estimator: str,
    ident: str,
    *,
    called: str = "",
    windows: bool = True,
    years: bool = True,
) -> Chart | None:
    """Draw the effect by event time.

    Args:
        result: The outcome.
        estimator: Whose estimates.
        ident: Anchor of the chart.
        called: What the estimator is called.
        windows: Whether event time counts from embedding windows.
        years: Whether periods are years.

    Returns:
        The chart, or None where there are no estimates by event time.
    """
    terms = event_terms(result, estimator)
    rows = [row for row in terms if not missing(row["estimate"])]
    if not rows:
        return None
    lone = lone_events(result, [row["event"] for row in rows])
    data = Effects(rows, words.scale_of(result), lone, windows=windows, years=years)
    label, called = words.clean(result.info.label), called or estimator
    caption = f"Effect by {'years' if years else 'periods'} since the start ({called}): {label}"
    return effects_chart(
        data,
        ident,
        f"Before and after the start ({called}): {label}",
        _table(ident, caption, terms, data),
        short=f"Effect by {'year' if years else 'period'}",
    )


def effects_chart(data: Effects, ident: str, title: str, table: Table, short: str = "") -> Chart:
    """Draw effects by event time from plain figures.

    Args:
        data: The figures; at least one row.
        ident: Anchor of the chart, unique on its page.
        title: What it shows.
        table: The figures as a table.
        short: Its title where the outcome is said already.
    """
    finding = " ".join(filter(None, (_finding(data), _about_lone(data.lone))))

    def draw(figure: Figure) -> None:
        draw_effects(figure, data)

    drawing = Drawing(draw, HEIGHT, SMALL)
    return Chart(
        ident, title, finding, (drawing,), table, short=short, note=_note(data), small=True
    )


def draw_effects(figure: Figure, data: Effects) -> None:
    """Draw effects with their intervals; engines that give the same are drawn once."""
    axes = frame_axes(figure, left=0.62, right=0.12, top=0.52, bottom=0.5)
    axes.axhline(0, color=INK, linewidth=1)
    axes.axvline(-0.5, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_ylim(*_limits(data))
    sets = drawn_once(data.rows)
    for index, engines in enumerate(sets):
        offset = (index - (len(sets) - 1) / 2) * min(0.18, 0.7 / len(sets))
        rows = [r for r in data.rows if r["engine"] == engines[0] and not is_reference(r)]
        _points(axes, rows, index, offset, data.lone, words.joined(map(engine_name, engines)))
    for event in sorted({row["event"] for row in data.rows if is_reference(row)}):
        _reference(axes, event)
    _axes(axes, data, legend=len(sets) > 1)


def is_reference(row: Mapping[str, Any]) -> bool:
    """Say whether effects are measured from a row: it is set to zero and has no interval.

    >>> is_reference({"estimate": 0.0, "conf_low": None, "conf_high": None})
    True
    """
    ends = (to_float(row["conf_low"]), to_float(row["conf_high"]))
    return to_float(row["estimate"]) == 0 and ends == (None, None)


def _reference(axes: Axes, event: int) -> None:
    """Draw the time that effects are measured from, hollow at zero, with its name where room is."""
    axes.plot(event, 0.0, "o", color=MUTED, markerfacecolor="white", markersize=5, zorder=3)
    low, high = axes.get_ylim()
    up = low + high > 0
    axes.annotate(
        REFERENCE,
        (event, 0.0),
        xytext=(0, 6 if up else -6),
        textcoords="offset points",
        rotation=90,
        ha="center",
        va="bottom" if up else "top",
        fontsize=9,
        color=MUTED,
    )


def drawn_once(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return sets of engines that cannot be told apart on a chart, in the order they came.

    What ``event`` is says which figures are compared: an event time, or a term.

    >>> base = {"event": 0, "conf_low": 0.0, "conf_high": 2.0}
    >>> drawn_once([base | {"engine": e, "estimate": v} for e, v in zip("abc", (1, 1, 1.5))])
    [['a', 'b'], ['c']]
    """
    ends = [to_float(row[k]) for row in rows for k in ("estimate", "conf_low", "conf_high")]
    known = [value for value in ends if value is not None and math.isfinite(value)]
    near = SAME_SPOT * ((max(known) - min(known)) if known else 0.0)
    sets: list[list[str]] = []
    for engine in dict.fromkeys(str(row["engine"]) for row in rows):
        same = (s for s in sets if _same(_figures(rows, s[0]), _figures(rows, engine), near))
        if (found := next(same, None)) is not None:
            found.append(engine)
        else:
            sets.append([engine])
    return sets


def _figures(rows: Sequence[Mapping[str, Any]], engine: str) -> dict[tuple[Any, str], float | None]:
    return {
        (row["event"], name): to_float(row[name])
        for row in rows
        if row["engine"] == engine
        for name in ("estimate", "conf_low", "conf_high")
    }


def _limits(data: Effects) -> tuple[float, float]:
    """Return the limits of the axis: every estimate is seen, and intervals as far as they fit."""
    estimates = [to_float(row["estimate"]) for row in data.rows]
    ends = [to_float(row[name]) for row in data.rows for name in ("conf_low", "conf_high")]
    return axis_limits(estimates, ends)


def _same(
    one: Mapping[tuple[Any, str], float | None],
    other: Mapping[tuple[Any, str], float | None],
    near: float,
) -> bool:
    """Say whether figures of two engines lie on each other; one may lack intervals."""

    def alike(key: tuple[int, str]) -> bool:
        a, b = one[key], other[key]
        if a is None or b is None:
            return a is b or key[1] != "estimate"
        return a == b or abs(a - b) <= near

    return one.keys() == other.keys() and all(map(alike, one))


def event_terms(result: OutcomeResult, estimator: str) -> list[dict[str, Any]]:
    """Return the terms ``event=e`` of an estimator by engine, in order of event time."""
    terms = []
    for named in result.estimates:
        if named.estimator != estimator:
            continue
        for row in rows_of(named.estimate.tidy):
            event = to_float(str(row["term"]).removeprefix("event="))
            if str(row["term"]).startswith("event=") and event is not None:
                figures = {k: row[k] for k in FIGURES}
                terms.append({"engine": named.engine, "event": int(event)} | figures)
    return sorted(terms, key=lambda row: row["event"])


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


def _points(
    axes: Axes,
    rows: Sequence[Mapping[str, Any]],
    index: int,
    offset: float,
    lone: Collection[int],
    label: str,
) -> None:
    colour = SERIES[index % len(SERIES)]
    for row in rows:
        _interval(axes, row, row["event"] + offset, colour)
    look: dict[str, Any] = {
        "color": colour,
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": "none",
        "markersize": 5,
    }
    axes.plot(
        [row["event"] + offset for row in rows],
        [row["estimate"] for row in rows],
        label=label,
        **look,
    )
    if hollow := [row for row in rows if row["event"] in lone]:
        axes.plot(
            [row["event"] + offset for row in hollow],
            [row["estimate"] for row in hollow],
            markerfacecolor="white",
            **look,
        )


def _interval(axes: Axes, row: Mapping[str, Any], x: float, colour: str) -> None:
    """Draw an interval, with an arrow where it reaches beyond the chart."""
    low, high = to_float(row["conf_low"]), to_float(row["conf_high"])
    if low is None or high is None:
        return
    bottom, top = axes.get_ylim()
    axes.plot([x, x], [max(low, bottom), min(high, top)], color=colour, linewidth=1.6)
    for beyond, end, marker in ((low < bottom, bottom, "v"), (high > top, top, "^")):
        if beyond:
            axes.plot(x, end, marker, color=colour, markersize=4.5, clip_on=False)


def _axes(axes: Axes, data: Effects, *, legend: bool) -> None:
    events = sorted({row["event"] for row in data.rows})
    step = max(1, math.ceil((events[-1] - events[0] + 1) / 10))
    shown = [e for e in range(events[0], events[-1] + 1) if e % step == 0]
    axes.set_xticks(shown, [words.number(e) for e in shown])
    axes.set_xlim(min(events[0], -1) - 0.6, max(events[-1], 0) + 0.6)
    axes.set_xlabel(data.axis, labelpad=4, fontsize=9)
    show_on_axis(axes.yaxis, data.scale, levels=False, ticks=4)
    axes.grid(axis="y", color=SHADE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
    axes.set_title(
        f"Effect, {data.scale.unit or 'units of the outcome'}", color=MUTED, pad=5, fontsize=9
    )
    axes.spines["bottom"].set_color(LINE)
    if legend:
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 1.13), ncols=3, borderaxespad=0, fontsize=9
        )


def _finding(data: Effects) -> str:
    engines = list(dict.fromkeys(row["engine"] for row in data.rows))
    first = [row for row in data.rows if row["engine"] == engines[0]]
    parts = []
    for name, chosen in (
        ("before the start", [r for r in first if r["event"] < 0]),
        ("from the start on", [r for r in first if r["event"] >= 0]),
    ):
        if not (tested := _tested(chosen)):
            continue
        clear = _apart(tested)
        parts.append(
            f"In the years {name}, {_span([r['estimate'] for r in tested], data.scale)}, and the "
            f"intervals of {words.count(clear)} of {words.count(len(tested))} lie apart from zero."
        )
    if len(engines) > 1:
        parts.append(_about_engines(data.rows, engines))
    return " ".join(parts) or "Estimates without confidence intervals."


def _about_engines(rows: Sequence[Mapping[str, Any]], engines: Sequence[str]) -> str:
    shown = words.joined(map(engine_name, engines))
    if len(drawn_once(rows)) == 1:
        return f"Engines: {shown}, whose figures lie on each other and are drawn once."
    return f"Engines: {shown}; these figures: {engine_name(engines[0])}."


def _note(data: Effects) -> str:
    """Say beside the chart how many years before and after lie apart from zero."""
    engine = data.rows[0]["engine"]
    first = [row for row in data.rows if row["engine"] == engine]
    sides = (
        ("before", _tested([r for r in first if r["event"] < 0])),
        ("after", _tested([r for r in first if r["event"] >= 0])),
    )
    counted = [
        f"{words.count(_apart(side))} of {words.count(len(side))} {name}"
        for name, side in sides
        if side
    ]
    unit = "Years" if data.years else "Periods"
    parts = [f"{unit} apart from zero: {words.joined(counted)}."] if counted else []
    parts += ["Hollow: one authority."] if data.lone else []
    parts += ["Arrow: it goes on."] if _cut(data) else []
    return " ".join(parts)


def _cut(data: Effects) -> bool:
    """Say whether an interval reaches beyond the chart."""
    low, high = _limits(data)
    ends = [to_float(row[name]) for row in data.rows for name in ("conf_low", "conf_high")]
    return any(end is not None and not low <= end <= high for end in ends)


def _tested(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [r for r in rows if words.excludes_zero(r["conf_low"], r["conf_high"]) is not None]


def _apart(rows: Sequence[Mapping[str, Any]]) -> int:
    return sum(bool(words.excludes_zero(r["conf_low"], r["conf_high"])) for r in rows)


def _span(estimates: Sequence[float], scale: Scale) -> str:
    low, high = min(estimates), max(estimates)
    if scale.effect(low) == scale.effect(high):
        return f"estimates are {scale.with_unit(low)}"
    return f"estimates run from {scale.effect(low)} to {scale.with_unit(high)}"


def _table(ident: str, caption: str, terms: Sequence[Mapping[str, Any]], data: Effects) -> Table:
    columns = (
        column(
            "event",
            "Years since the start" if data.years else "Periods since the start",
            words.number,
            numeric=True,
        ),
        column("engine", "Engine", engine_name),
        *(c for c in effect_columns(data.scale) if c.heading not in IN_THE_FILE),
    )
    fields = ("event", "engine", *FIGURES)
    alike = drawn_once(data.rows)
    apart = {engines[0] for engines in alike}
    dropped = sum(map(len, alike)) - len(alike)
    return Table(
        ident,
        caption,
        frame_of([row for row in terms if row["engine"] in apart], fields),
        columns,
        note="Engines that give the same figures stand once; the file has all." * bool(dropped),
        raw=frame_of(terms, fields),
        missing_note="the year is the reference, set to zero, or the engine gave no figure",
    )
