"""Charts of a release, drawn from the figures that it shows and from nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sos_plugins.release.drafts import CONFIDENTIAL
from sos_plugins.report.svg import MARKERS, SERIES, WIDTH, as_file, chart_style

HEIGHT = 3.6
"""Inches."""


def charts(tables: dict[str, pd.DataFrame]) -> Iterator[tuple[str, bytes]]:
    """Draw trends and effects by event time as PNG: rooms refuse SVG, which can hold its data.

    Args:
        tables: Tables as they are shown.

    Yields:
        Name of the file and its bytes.
    """
    for name, frame in tables.items():
        if name.endswith("_trends"):
            yield _drawn(name, frame, "series", "period", "mean")
        elif name.endswith("_event-study"):
            first = frame[frame["engine"] == frame["engine"].iloc[0]]
            yield _drawn(name, first, "estimator", "event", "estimate")


def _drawn(name: str, frame: pd.DataFrame, by: str, x: str, y: str) -> tuple[str, bytes]:
    with chart_style(name):
        figure = Figure(figsize=(WIDTH, HEIGHT))
        axes = figure.subplots()
        for n, (label, own) in enumerate(frame.groupby(by, sort=False)):
            _line(axes, n, str(label), own[x], shown(own[y]))
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.legend()
        return f"{name}.png", as_file(figure, "png", name)


def shown(column: pd.Series) -> pd.Series:
    """Return the figures of a column; what is suppressed is a gap."""
    return pd.to_numeric(column.where(column != CONFIDENTIAL), errors="coerce")


def _line(axes: Axes, n: int, label: str, x: pd.Series, y: pd.Series) -> None:
    color, marker = SERIES[n % len(SERIES)], MARKERS[n % len(MARKERS)]
    axes.plot(pd.to_numeric(x), y, label=label, color=color, marker=marker)
