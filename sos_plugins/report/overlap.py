"""The chart of the propensity scores of cases, before and after they are matched or weighted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sos_plugins.report import formatting as words
from sos_plugins.report.charts import SMALL, Chart, Drawing, frame_axes
from sos_plugins.report.svg import INK, SERIES, SHADE
from sos_plugins.report.tables import Table, column
from sos_plugins.study.result import OutcomeResult

SIDES = {"Pilots' cases": 1, "Comparators' cases": 0}


def overlap_of_cases(result: OutcomeResult, ident: str) -> Chart | None:
    """Draw the scores of pilots' and comparators' cases: weights before as lines, after as bars."""
    frame = result.overlap
    if frame.empty or any(not frame.loc[frame["treated"] == s, "n_cases"].sum() for s in (0, 1)):
        return None
    title = f"Propensity scores of cases: {words.clean(result.info.label)}"
    finding = _finding(frame)

    def draw(figure: Figure) -> None:
        for index, (name, side) in enumerate(SIDES.items()):
            rows = frame[frame["treated"] == side]
            axes = frame_axes(
                figure, left=0.5, right=0.15, top=0.3 + 1.2 * index, bottom=0.5 + 1.2 * (1 - index)
            )
            width = float(rows["high"].iloc[0] - rows["low"].iloc[0])
            axes.bar(
                rows["low"],
                _shares(rows["weight_after"]),
                width=width,
                align="edge",
                color=SERIES[index],
                edgecolor="white",
                hatch=("", "///")[index],
                linewidth=0.8,
            )
            axes.stairs(
                _shares(rows["weight_before"]),
                np.append(rows["low"], rows["high"].iloc[-1]),
                color=INK,
                linewidth=1.2,
            )
            n = words.count(int(rows["n_cases"].sum()))
            axes.set_title(f"{name} ({n}): % of weight, line before", pad=5, fontsize=9)
            axes.tick_params(labelsize=9)
            axes.set_xlim(0, 1)
            axes.grid(axis="y", color=SHADE, linewidth=0.8)
            axes.set_axisbelow(True)
            if index:
                axes.set_xlabel("Estimated probability of being a pilot's case", labelpad=6)
            else:
                axes.tick_params(labelbottom=False)

    drawing = Drawing(draw, 2.9, SMALL)
    return Chart(ident, title, finding, (drawing,), _table(frame, ident, title), small=True)


def _shares(weights: pd.Series) -> np.ndarray:
    total = float(weights.sum())
    return np.asarray(100 * weights / total if total > 0 else weights, dtype=float)


def _finding(frame: pd.DataFrame) -> str:
    """Say where pilots' cases score, and how many score where no comparators' case does."""
    own = frame[(frame["treated"] == 1) & (frame["n_cases"] > 0)]
    other = frame[(frame["treated"] == 0) & (frame["n_cases"] > 0)]
    alone = ~own["low"].isin(other["low"])
    lonely, total = int(own.loc[alone, "n_cases"].sum()), int(own["n_cases"].sum())
    spans = [
        f"from {words.number(float(side['low'].min()), 2)} to "
        f"{words.number(float(side['high'].max()), 2)}"
        for side in (own, other)
    ]
    return (
        f"Pilots' cases score {spans[0]}, comparators' cases {spans[1]}; {words.count(lonely)} of "
        f"{words.plural(total, 'case')} of pilots score where no comparators' case does."
    )


def _table(frame: pd.DataFrame, ident: str, title: str) -> Table:
    def two(value: Any) -> str:
        return words.number(value, 2)

    columns = (
        column("low", "Score from", two, numeric=True),
        column("high", "to", two, numeric=True),
        column("treated", "Pilots' cases", lambda v: "yes" if v else "no"),
        column("n_cases", "Cases", lambda v: words.count(int(v)), numeric=True),
        column("weight_before", "Weight before", words.figure, numeric=True),
        column("weight_after", "Weight after", words.figure, numeric=True),
    )
    return Table(ident, title, frame[frame["n_cases"] > 0], columns)
