"""The heat map of rows at fault by authority and year: where the records cannot be trusted."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from sos_plugins.profile.record_profile import RecordProfile
from sos_plugins.report import formatting as words
from sos_plugins.report.charts import Chart, Drawing, frame_axes, name_rows
from sos_plugins.report.heat import heat_colour, heat_ink
from sos_plugins.report.labels import Labels, period_name
from sos_plugins.report.svg import LINE, MUTED, SERIES
from sos_plugins.report.tables import Column, Row, Table, column, frame_of, rows_of

LEAST_DEPTH = 0.25
"""The darkest colour stands for at least this share of rows at fault, so that charts compare."""
MOST_ROWS = 160
"""Authorities that are drawn: pilots, then the worst."""
PANEL_ROWS = 40
"""Authorities in one picture, which fits a printed page; each repeats the years."""
INCHES_A_ROW = 0.2
NONE = "none"
MISSING_LINE = SERIES[1]
"""Colour of the frame around a year in which rows of some kind are missing."""


@dataclass(frozen=True)
class Cell:
    """One authority in one year."""

    share: float | None
    missing: int
    breaks: int

    @property
    def label(self) -> str:
        """What stands in the cell: a percentage, or that there are no rows."""
        if self.share is None:
            return NONE
        return words.whole_share(self.share)


Cells = dict[tuple[str, int], Cell]


def trust_map(
    profile: RecordProfile, names: Labels, ident: str, pilots: Collection[str] = ()
) -> Chart | None:
    """Draw the share of rows at fault by authority and year, pilots first, then the worst."""
    cells = _cells(profile.cells)
    if not cells:
        return None
    units = _order(profile.cells, names, set(pilots))
    shown = units[:MOST_ROWS]
    periods = sorted({period for _, period in cells})
    title = "Where the records cannot be trusted: rows at fault by authority and year"
    finding = _finding(cells, units, len(shown), names, bool(pilots))

    def panel(part: list[str]) -> Drawing:
        def draw(figure: Figure) -> None:
            axes = frame_axes(figure, left=2.5, right=0.1, top=0.4, bottom=0.1)
            _draw(axes, part, periods, cells)
            _label(axes, part, periods, names, set(pilots))

        return Drawing(draw, 0.5 + INCHES_A_ROW * len(part))

    drawings = tuple(map(panel, _panels(shown)))
    table = _table(profile, cells, units, periods, names, ident)
    return Chart(ident, title, finding, drawings, table)


def _panels(units: list[str]) -> list[list[str]]:
    """Share out the authorities evenly among as few pictures as hold them."""
    n_panels = max(1, math.ceil(len(units) / PANEL_ROWS))
    return [list(part) for part in np.array_split(np.array(units, dtype=object), n_panels)]


def _cells(frame: pd.DataFrame) -> Cells:
    return {
        (str(row["unit"]), int(row["period"])): Cell(
            row["share"], int(row["missing"]), int(row["breaks"])
        )
        for row in rows_of(frame)
    }


def _order(frame: pd.DataFrame, names: Labels, pilots: set[str]) -> list[str]:
    """Put pilots first, then authorities with missing years, then by their share of faults."""
    sums = frame.groupby("unit")[["n", "n_faulty", "missing"]].sum()
    shares = (sums["n_faulty"] / sums["n"].where(sums["n"] > 0)).fillna(1.0)

    def rank(unit: str) -> tuple[bool, bool, float, str]:
        return (unit not in pilots, not sums["missing"][unit], -shares[unit], names(unit))

    return sorted((str(unit) for unit in sums.index), key=rank)


def _draw(axes: Axes, units: list[str], periods: list[int], cells: Cells) -> None:
    shares = [cell.share for cell in cells.values() if cell.share is not None]
    worst = max([*shares, LEAST_DEPTH])
    boxes, colours, marks, inks, frames = [], [], [], [], []
    for y, unit in enumerate(units):
        for x, period in enumerate(periods):
            cell = cells.get((unit, period), Cell(None, 0, 0))
            depth = None if cell.share is None else cell.share / worst
            boxes.append(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92))
            colours.append("#ffffff" if depth is None else heat_colour(depth))
            ink = MUTED if depth is None else heat_ink(depth)
            axes.text(x, y, cell.label, ha="center", va="center_baseline", fontsize=8.5, color=ink)
            if cell.missing and cell.share is not None:
                frames.append(Rectangle((x - 0.45, y - 0.41), 0.9, 0.82))
            if cell.breaks:
                corner = [(x + 0.48, y - 0.46), (x + 0.48, y + 0.1), (x + 0.24, y - 0.46)]
                marks.append(Polygon(corner))
                inks.append("#000000" if depth is None else heat_ink(depth))
    axes.add_collection(
        PatchCollection(boxes, facecolors=colours, edgecolors=LINE, linewidths=0.4), autolim=False
    )
    framed = PatchCollection(frames, facecolors="none", edgecolors=MISSING_LINE, linewidths=1.6)
    axes.add_collection(framed, autolim=False)
    axes.add_collection(PatchCollection(marks, facecolors=inks, linewidths=0), autolim=False)


def _label(
    axes: Axes, units: list[str], periods: list[int], names: Labels, pilots: set[str]
) -> None:
    step = 1 if len(periods) <= 8 else 2 if len(periods) <= 24 else 4
    heads = [period_name(p, april=True) for p in periods]
    axes.set_xticks(range(0, len(periods), step), heads[::step])
    axes.tick_params(length=0, top=False, labeltop=True, labelbottom=False, labelsize=9)
    name_rows(axes, [names(unit) for unit in units], 34, 9)
    for unit, label in zip(units, axes.get_yticklabels(), strict=True):
        label.set_fontweight("bold" if unit in pilots else "normal")
    axes.set_xlim(-0.5, len(periods) - 0.5)
    axes.set_ylim(len(units) - 0.5, -0.5)
    axes.spines[:].set_visible(False)
    n_pilots = sum(unit in pilots for unit in units)
    if 0 < n_pilots < len(units):
        axes.axhline(n_pilots - 0.5, color="#000000", linewidth=1.2)


def _finding(cells: Cells, units: list[str], n_shown: int, names: Labels, pilots: bool) -> str:
    filled = {key: cell.share for key, cell in cells.items() if cell.share is not None}
    parts = [
        "Each cell is the percentage of rows with at least one fault, over all record tables; "
        f"darker means more. “{NONE}” means that there are no rows, a frame that there are none of "
        "some kind; a corner marks a year that jumps out of the authority's series."
    ]
    if filled:
        worst = max(filled.values())
        unit, period = min(key for key, share in filled.items() if share == worst)
        usual = float(np.median(list(filled.values())))
        parts.append(
            f"The middle authority and year has {words.share(usual)}, the worst "
            f"{words.share(worst)}: {names(unit)} in {period_name(period, april=True)}."
        )
    missing = sum(cell.missing > 0 for cell in cells.values())
    breaks = sum(cell.breaks > 0 for cell in cells.values())
    parts.append(
        f"Rows of some kind are missing in {words.count(missing)} of {words.count(len(cells))} "
        f"authority-years; {words.count(breaks)} break their series."
    )
    if pilots:
        parts.append("Pilots, in bold, come first; the others follow, the worst first.")
    if n_shown < len(units):
        parts.append(f"The table has all {words.count(len(units))} authorities.")
    return " ".join(parts)


def _table(
    profile: RecordProfile,
    cells: Cells,
    units: list[str],
    periods: list[int],
    names: Labels,
    ident: str,
) -> Table:
    def year(period: int) -> Column:
        def show(row: Row) -> str:
            cell = cells.get((str(row["unit"]), period))
            if cell is None or cell.share is None:
                return NONE
            told = ["break"] if cell.breaks else []
            told += ["rows missing"] if cell.missing else []
            return words.share(cell.share) + (f" ({', '.join(told)})" if told else "")

        return Column(period_name(period, april=True), show, numeric=True)

    rows = [{"unit": unit} for unit in units]
    return Table(
        ident,
        "Share of rows at fault, by authority and year",
        frame_of(rows, ("unit",)),
        (column("unit", "Authority", names), *(year(period) for period in periods)),
        raw=profile.cells,
    )
