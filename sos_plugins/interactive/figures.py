"""Figures of estimates, drawn as those of the report are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sos_plugins.groundwork.plain import plain
from sos_plugins.report import formatting as words
from sos_plugins.report.events import Effects, draw_effects, drawn_once
from sos_plugins.report.formatting import Scale
from sos_plugins.report.labels import engine_name
from sos_plugins.report.svg import INK, MARKERS, SERIES, SHADE, WIDTH, chart_style
from sos_plugins.study.result import NamedEstimate

EVENT = re.compile(r"event=(-?\d+)$")
UNITS = Scale(1.0, 3, "", "")
"""Of an outcome of which no more is known than its values."""
HEIGHT, LINE_HEIGHT = 3.9, 0.3
"""Inches: of a figure over event times, and of a line of a forest."""
DRAWN = ["estimate", "conf_low", "conf_high"]


@dataclass(frozen=True)
class Drawn:
    """What is drawn as one series: the engines whose figures are the same, and the figures.

    Attributes:
        label: Estimator and engines.
        figures: Frame ``term, estimate, conf_low, conf_high``.
    """

    label: str
    figures: pd.DataFrame


def effect_figure(estimates: Sequence[NamedEstimate], called: Mapping[str, str]) -> Figure:
    """Draw effects by event time where there are any, else every term with its interval.

    Engines that give the same figures are one series.

    Args:
        estimates: At least one, of one estimator.
        called: What estimators are called, by their names.
    """
    name = estimates[0].estimator
    by_engine = {named.engine: named for named in estimates}
    events = [row for named in by_engine.values() for row in _events(named)]
    with chart_style(name):
        if not events:
            return _forest_figure(_series(by_engine, called))
        figure = Figure(figsize=(WIDTH, HEIGHT))
        draw_effects(figure, Effects(events, UNITS, windows=False, years=False))
        figure.axes[0].set_title(called.get(name, name), loc="right", fontsize=9)
        return figure


def _events(named: NamedEstimate) -> list[dict[str, Any]]:
    """Return the terms ``event=e`` as what a chart of effects by event time shows."""
    rows = named.estimate.tidy[["term", *DRAWN]].to_dict("records")
    found = [(EVENT.match(str(row["term"])), row) for row in rows]
    return [
        {"engine": named.engine, "event": int(time[1]), **{key: plain(row[key]) for key in DRAWN}}
        for time, row in found
        if time and not pd.isna(row["estimate"])
    ]


def _series(by_engine: Mapping[str, NamedEstimate], called: Mapping[str, str]) -> list[Drawn]:
    figures = {engine: named.estimate.tidy[["term", *DRAWN]] for engine, named in by_engine.items()}
    rows = [
        {"engine": engine, "event": row["term"], **{key: row[key] for key in DRAWN}}
        for engine, frame in figures.items()
        for row in frame.to_dict("records")
    ]
    return [
        Drawn(
            f"{called.get(by_engine[engines[0]].estimator, by_engine[engines[0]].estimator)} "
            f"({words.joined(map(engine_name, engines))})",
            figures[engines[0]],
        )
        for engines in drawn_once(rows)
    ]


def _forest_figure(series: Sequence[Drawn]) -> Figure:
    terms = list(dict.fromkeys(str(t) for one in series for t in one.figures["term"]))
    figure, axes = _figure(1.3 + LINE_HEIGHT * len(terms) * max(1, len(series) / 2))
    axes.axvline(0, color=INK, linewidth=1)
    for index, one in enumerate(series):
        place = [terms.index(str(term)) for term in one.figures["term"]]
        lines = pd.Series(place) + _offset(index, len(series))
        ends = one.figures["conf_low"], one.figures["conf_high"]
        axes.hlines(lines, *ends, color=_colour(index))
        axes.plot(one.figures["estimate"], lines, label=one.label, **_look(index))
    axes.set_yticks(range(len(terms)), terms)
    axes.set_ylim(len(terms) - 0.4, -0.6)
    axes.set_xlabel("Effect, in the units of the outcome")
    axes.grid(axis="x", color=SHADE, linewidth=0.8)
    _named(figure, axes)
    return figure


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def _named(figure: Figure, axes: Axes) -> None:
    """Name the series above the axes, where no label is cut: one a line."""
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper left", ncols=1)


def _offset(index: int, n: int) -> float:
    return (index - (n - 1) / 2) * min(0.18, 0.7 / n)


def _colour(index: int) -> str:
    return SERIES[index % len(SERIES)]


def _look(index: int) -> dict[str, Any]:
    marker = MARKERS[index % len(MARKERS)]
    return {"color": _colour(index), "marker": marker, "linestyle": "none", "markersize": 5.5}
