"""Figures of estimates, drawn as those of the report are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sos_plugins.report.svg import INK, MARKERS, MUTED, SERIES, SHADE, WIDTH, chart_style
from sos_plugins.study.result import NamedEstimate

EVENT = re.compile(r"event=(-?\d+)$")
HEIGHT, LINE_HEIGHT = 3.9, 0.3
"""Inches: of a figure over event times, and of a line of a forest."""
SAME = 1e-6
"""Figures that differ by less, relative to the largest, lie on one point of any chart."""
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


def effect_figure(estimates: Sequence[NamedEstimate]) -> Figure:
    """Draw effects by event time where there are any, else every term with its interval.

    Engines that give the same figures are one series.

    Args:
        estimates: At least one.
    """
    series = _series(estimates)
    by_event = [_events(one.figures) for one in series]
    with chart_style(estimates[0].estimator):
        if any(len(frame) for frame in by_event):
            return _event_figure(series, by_event)
        return _forest_figure(series)


def _series(estimates: Sequence[NamedEstimate]) -> list[Drawn]:
    alike: list[list[NamedEstimate]] = []
    for named in estimates:
        for members in alike:
            if members[0].estimator == named.estimator and _same(members[0], named):
                members.append(named)
                break
        else:
            alike.append([named])
    return [
        Drawn(
            f"{members[0].estimator} ({', '.join(named.engine for named in members)})",
            members[0].estimate.tidy[["term", *DRAWN]],
        )
        for members in alike
    ]


def _same(one: NamedEstimate, other: NamedEstimate) -> bool:
    a, b = one.estimate.tidy, other.estimate.tidy
    if list(a["term"]) != list(b["term"]):
        return False
    left, right = a[DRAWN].to_numpy(dtype=float), b[DRAWN].to_numpy(dtype=float)
    size = np.nanmax(np.abs(np.where(np.isfinite(left), left, np.nan)), initial=0.0)
    return bool(np.allclose(left, right, rtol=0, atol=SAME * size, equal_nan=True))


def _events(figures: pd.DataFrame) -> pd.DataFrame:
    """Return terms ``event=e`` with ``position``, in order of event time."""
    time = figures["term"].astype(str).str.extract(EVENT, expand=False)
    events = figures[time.notna()].assign(position=time.dropna().astype(float))
    return events.sort_values("position", ignore_index=True)


def _event_figure(series: Sequence[Drawn], frames: Sequence[pd.DataFrame]) -> Figure:
    figure, axes = _figure(HEIGHT)
    axes.axhline(0, color=INK, linewidth=1)
    axes.axvline(-0.5, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    for index, (one, frame) in enumerate(zip(series, frames, strict=True)):
        shifted = frame["position"] + _offset(index, len(series))
        axes.vlines(shifted, frame["conf_low"], frame["conf_high"], color=_colour(index))
        axes.plot(shifted, frame["estimate"], label=one.label, **_look(index))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("Periods since adoption (0 is the first treated period)")
    axes.set_ylabel("Effect, in the units of the outcome")
    axes.grid(axis="y", color=SHADE, linewidth=0.8)
    _named(figure, axes)
    return figure


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
