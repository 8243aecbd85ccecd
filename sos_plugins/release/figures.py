"""Charts of a release, drawn from the figures that it shows and from nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sos_plugins.release.drafts import CONFIDENTIAL
from sos_plugins.report.svg import INK, MARKERS, SERIES, WIDTH, as_file, chart_style

HEIGHT = 3.6
"""Inches."""


EVENT = "Event time (0 = first period after the window, or treated)"
APART = 0.12
"""Event times between the points of one estimator and of the next."""


def charts(
    tables: Mapping[str, pd.DataFrame], called: Mapping[str, str]
) -> Iterator[tuple[str, bytes]]:
    """Draw trends and effects by event time as PNG: rooms refuse SVG, which can hold its data.

    Args:
        tables: Tables as they are shown.
        called: What estimators are called on charts, by their names.

    Yields:
        Name of the file and its bytes.
    """
    for name, frame in tables.items():
        if name.endswith("_trends"):
            yield _drawn(name, _trends, frame)
        elif name.endswith("_event-study"):
            first = frame[frame["engine"] == frame["engine"].iloc[0]]
            yield _drawn(name, _effects, first.replace({"estimator": dict(called)}))


def _drawn(
    name: str, draw: Callable[[Axes, pd.DataFrame], None], frame: pd.DataFrame
) -> tuple[str, bytes]:
    with chart_style(name):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes = figure.subplots()
        draw(axes, frame)
        figure.legend(loc="outside upper left", ncols=2)
        return f"{name}.png", as_file(figure, "png", name)


def _trends(axes: Axes, frame: pd.DataFrame) -> None:
    for n, (label, own) in enumerate(frame.groupby("series", sort=False)):
        x, y = pd.to_numeric(own["period"]), shown(own["mean"])
        axes.plot(x, y, label=str(label).capitalize(), color=SERIES[n], marker=MARKERS[n])
    axes.set_xlabel("Period")
    axes.set_ylabel("Mean")


def _effects(axes: Axes, frame: pd.DataFrame) -> None:
    axes.axhline(0, color=INK)
    for n, (label, own) in enumerate(frame.groupby("estimator", sort=False)):
        y, low, high = (shown(own[name]) for name in ("estimate", "conf_low", "conf_high"))
        axes.errorbar(
            pd.to_numeric(own["event"]) + APART * n,
            y,
            yerr=[y - low, high - y],
            label=str(label),
            linestyle="none",
            color=SERIES[n % len(SERIES)],
            marker=MARKERS[n % len(MARKERS)],
        )
    axes.set_xlabel(EVENT)
    axes.set_ylabel("Effect, with its interval")


def shown(column: pd.Series) -> pd.Series:
    """Return the figures of a column; what is suppressed is a gap."""
    return pd.to_numeric(column.where(column != CONFIDENTIAL), errors="coerce")
