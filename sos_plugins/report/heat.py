"""The heat map of usable records by authority and year."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sos_plugins.report import formatting as words
from sos_plugins.report.charts import Chart, Drawing, frame_axes, name_rows
from sos_plugins.report.formatting import to_float
from sos_plugins.report.labels import Labels, april_years, period_name
from sos_plugins.report.svg import LINE, MUTED
from sos_plugins.report.tables import Column, Row, Table, column, frame_of, rows_of
from sos_plugins.study.result import OutcomeResult, StudyResult

EVEN_LUMINANCE = 0.1791
"""Where black and white have the same contrast: (x + 0.05)^2 = 1.05 * 0.05."""

LEAST_DEPTH = 0.5
"""The darkest colour stands for at least this share of unusable records, so that charts compare."""

MOST_ROWS = 20
"""Authorities on a heat map; of more, only those that are not complete, the worst of them."""


MOST_TOLD = 10
"""Authorities in the table beneath, the least complete; the file has all."""


def _about_others(n: int) -> str:
    if n <= MOST_TOLD:
        return ""
    return f"The {MOST_TOLD} least complete of {words.count(n)} authorities; the file has all."


def heat_map(study: StudyResult, result: OutcomeResult, names: Labels, ident: str) -> Chart | None:
    """Draw the share of usable records by authority and year, the figure in every cell."""
    cells = _cells(result)
    periods = sorted({period for _, period in cells})
    units = _worst_first({u for u, _ in cells}, cells, names)
    if not cells:
        return None
    shown = sorted(_drawn(units, cells), key=lambda unit: names(unit))
    april = april_years(study)
    title = f"Usable records by authority and year: {words.clean(result.info.label)}"
    finding = _heat_finding(cells, units, len(shown), names, april=april)

    def draw(figure: Figure) -> None:
        axes = frame_axes(figure, left=2.5, right=0.1, top=0.4, bottom=0.1)
        _draw_cells(axes, shown, periods, cells)
        step = 1 if len(periods) <= (8 if april else 12) else 2 if len(periods) <= 24 else 4
        heads = [period_name(p, april=april) for p in periods]
        axes.set_xticks(range(0, len(periods), step), heads[::step])
        axes.tick_params(length=0, top=False, labeltop=True, labelbottom=False, labelsize=9)
        name_rows(axes, [names(unit) for unit in shown], 34, 9)
        axes.set_xlim(-0.5, len(periods) - 0.5)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.spines[:].set_visible(False)

    height = 0.5 + 0.215 * len(shown)
    drawing = Drawing(draw, height)
    return Chart(ident, title, finding, (drawing,), completeness_table(study, result, names, ident))


def _cells(result: OutcomeResult) -> dict[tuple[str, int], float]:
    usable_shares = {}
    for row in rows_of(result.completeness):
        period, total = to_float(row.get("period")), to_float(row.get("n_candidates"))
        if period is not None and total:
            usable = to_float(row.get("n_usable")) or 0.0
            usable_shares[words.text(row.get("unit")), int(period)] = usable / total
    return usable_shares


def _drawn(units: list[str], cells: dict[tuple[str, int], float]) -> list[str]:
    """Choose the authorities to draw: all, or of too many the least complete."""
    if len(units) <= MOST_ROWS:
        return units
    incomplete = {unit for (unit, _), share in cells.items() if share < 1}
    return [unit for unit in units if unit in incomplete][:MOST_ROWS] or units[:MOST_ROWS]


def _worst_first(units: set[str], cells: dict[tuple[str, int], float], names: Labels) -> list[str]:
    means = {
        unit: float(np.mean([share for (u, _), share in cells.items() if u == unit]))
        for unit in units
    }
    return sorted(units, key=lambda unit: (means[unit], names(unit)))


def _draw_cells(
    axes: Axes, units: list[str], periods: list[int], cells: dict[tuple[str, int], float]
) -> None:
    worst = max([1 - share for share in cells.values()] + [LEAST_DEPTH])
    boxes, colours = [], []
    for y, unit in enumerate(units):
        for x, period in enumerate(periods):
            share = cells.get((unit, period))
            depth = None if share is None else (1 - share) / worst
            boxes.append(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92))
            colours.append("#ffffff" if depth is None else heat_colour(depth))
            ink = MUTED if depth is None else heat_ink(depth)
            label = words.whole_share(share)
            axes.text(x, y, label, ha="center", va="center_baseline", fontsize=8.5, color=ink)
    axes.add_collection(
        PatchCollection(boxes, facecolors=colours, edgecolors=LINE, linewidths=0.4),
        autolim=False,
    )


def heat_colour(depth: float) -> str:
    """Return a colour from near white (0) to dark blue (1)."""
    light, dark = np.array([0xF3, 0xF6, 0xF9]), np.array([0x12, 0x43, 0x6D])
    red, green, blue = (round(float(v)) for v in light + (dark - light) * min(1.0, max(0.0, depth)))
    return f"#{red:02x}{green:02x}{blue:02x}"


def heat_ink(depth: float) -> str:
    """Return the colour of figures on :func:`heat_colour`: black or white, whichever stands out."""
    return "#000000" if luminance(heat_colour(depth)) > EVEN_LUMINANCE else "#ffffff"


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour such as ``#12436d`` (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _heat_finding(
    cells: dict[tuple[str, int], float],
    units: list[str],
    n_shown: int,
    names: Labels,
    *,
    april: bool,
) -> str:
    (unit, period), lowest = min(cells.items(), key=lambda item: (item[1], item[0]))
    if lowest >= 1.0:
        return "Each cell is the percentage of records that could be used: all of them, everywhere."
    parts = [
        f"Each cell is the percentage of records that could be used; darker means fewer. "
        f"The lowest is {words.share(lowest)}, in {names(unit)} in "
        f"{period_name(period, april=april)}; the least complete authority overall is "
        f"{names(units[0])}."
    ]
    if n_shown < len(units):
        parts.append(
            f"Of {words.count(len(units))} authorities, the {words.count(n_shown)} least complete "
            "are drawn; the table has all."
        )
    return " ".join(parts)


def completeness_table(
    study: StudyResult, result: OutcomeResult, names: Labels, ident: str
) -> Table:
    """Make the table of usable shares, one row an authority and one column a year.

    The CSV file has one row an authority and year instead, with the numbers of records.
    """
    cells = _cells(result)
    april = april_years(study)

    def year(period: int) -> Column:
        def show(row: Row) -> str:
            return words.share(cells.get((str(row["unit"]), period)))

        return Column(period_name(period, april=april), show, numeric=True)

    columns = [column("unit", "Authority", names)]
    columns += [year(period) for period in sorted({p for _, p in cells})]
    units = _worst_first({u for u, _ in cells}, cells, names)
    rows = [{"unit": unit} for unit in sorted(units[:MOST_TOLD], key=names)]
    label = words.clean(result.info.label)
    return Table(
        ident,
        f"Share of records that could be used, by authority and year: {label}",
        frame_of(rows, ("unit",)),
        tuple(columns),
        note=_about_others(len(units)),
        missing_note="the authority has no records of this kind in that year",
        raw=result.completeness,
    )
