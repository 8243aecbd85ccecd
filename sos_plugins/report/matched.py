"""The diagram of who is matched with whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sos_plugins.report import formatting as words
from sos_plugins.report.charts import Chart, Drawing, frame_axes, in_lines
from sos_plugins.report.labels import Labels
from sos_plugins.report.outcome_tables import group_names, groups_table
from sos_plugins.report.svg import INK, LINE, MARKERS, SERIES
from sos_plugins.report.tables import rows_of
from sos_plugins.study.result import OutcomeResult

MOST_LINES, MOST_NAMES = 200, 80
"""Pairs and authorities that can be told apart in one picture; more stand in the table alone."""

INCHES_A_NAME = 0.235
LONGEST_NAME = 30


def matched_diagram(result: OutcomeResult, names: Labels, ident: str) -> Chart | None:
    """Draw pilots at the left, comparators at the right, and a line from each pilot to its own."""
    pairs = _pairs(result, group_names(result, names))
    table = groups_table(result, names, ident)
    if table is None or not pairs or not _fits(pairs):
        return None
    label = words.clean(result.info.label)
    title = f"Who is compared with whom: {label}"
    finding = _finding(pairs)
    pilots, others = (_side(pairs, side) for side in (0, 1))
    height = 0.55 + INCHES_A_NAME * max(len(pilots), len(others))

    def draw(figure: Figure) -> None:
        axes = frame_axes(figure, left=2.45, right=2.45, top=0.35, bottom=0.1)
        axes.set_axis_off()
        axes.set_xlim(0, 1)
        axes.set_ylim(1, 0)
        places = (_places(pilots), _places(others))
        for n, pilot in enumerate(pilots):
            for other in [o for p, o in pairs if p == pilot]:
                _line(axes, places[0][pilot], places[1][other], n)
        _names(axes, places[0], 0.0, "Pilots", SERIES[0], MARKERS[0])
        _names(axes, places[1], 1.0, "Comparators", SERIES[1], MARKERS[1])

    drawing = Drawing(draw, height)
    return Chart(ident, title, finding, (drawing,), table)


def _pairs(result: OutcomeResult, names: Labels) -> list[tuple[str, str]]:
    rows = [(r.get("pilot"), r.get("comparator")) for r in rows_of(result.groups)]
    return [(names(p), names(c)) for p, c in rows if not words.missing(p) and not words.missing(c)]


def _fits(pairs: Sequence[tuple[str, str]]) -> bool:
    most = max(len(_side(pairs, 0)), len(_side(pairs, 1)))
    return len(pairs) <= MOST_LINES and most <= MOST_NAMES


def _side(pairs: Sequence[tuple[str, str]], side: int) -> list[str]:
    """Return the names of a side: pilots as they come, comparators near their pilots."""
    if side == 0:
        return list(dict.fromkeys(pilot for pilot, _ in pairs))
    order = {pilot: n for n, pilot in enumerate(_side(pairs, 0))}
    places: dict[str, list[int]] = {}
    for pilot, other in pairs:
        places.setdefault(other, []).append(order[pilot])
    return sorted(places, key=lambda other: (sum(places[other]) / len(places[other]), other))


def _places(names: Sequence[str]) -> dict[str, float]:
    return {name: (n + 0.5) / len(names) for n, name in enumerate(names)}


def _line(axes: Axes, start: float, end: float, n: int) -> None:
    axes.plot([0.0, 1.0], [start, end], color=LINE if n % 2 else "#7d868b", linewidth=1.1)


def _names(
    axes: Axes, places: dict[str, float], x: float, heading: str, color: str, marker: str
) -> None:
    side: dict[str, Any] = {
        "ha": "right" if x == 0.0 else "left",
        "xycoords": "data",
        "textcoords": "offset points",
        "annotation_clip": False,
    }
    away = -8 if x == 0.0 else 8
    for name, y in places.items():
        axes.plot(x, y, marker, color=color, markersize=5.5, clip_on=False)
        text, smaller = in_lines(name, LONGEST_NAME)
        size = 9.5 * smaller
        axes.annotate(
            text, (x, y), xytext=(away, 0), va="center", fontsize=size, linespacing=1.0, **side
        )
    axes.annotate(
        heading, (x, 0), xytext=(away, 4), va="bottom", color=INK, fontweight="bold", **side
    )


def _finding(pairs: Sequence[tuple[str, str]]) -> str:
    pilots, others = _side(pairs, 0), _side(pairs, 1)
    uses = {other: sum(o == other for _, o in pairs) for other in others}
    most = max(uses.values())
    told = (
        f"{words.plural(len(pilots), 'pilot')} {'is' if len(pilots) == 1 else 'are'} compared with "
        f"{words.plural(len(others), 'authority', 'authorities')}"
    )
    if most == 1:
        return f"{told}, each of them with one pilot."
    often = [other for other in others if uses[other] == most]
    shown = words.joined(often[:3]) if len(often) <= 3 else words.plural(len(often), "of them")
    return f"{told}; most often used: {shown}, by {words.plural(most, 'pilot')}."
