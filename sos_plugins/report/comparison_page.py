"""Two studies compared: one HTML file that needs nothing else."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from sos_plugins.report import formatting as words
from sos_plugins.report.charts import (
    Chart,
    Drawing,
    axis_limits,
    draw_interval,
    frame_axes,
    name_rows,
    show_on_axis,
)
from sos_plugins.report.formatting import Scale, scale_for
from sos_plugins.report.page import environment
from sos_plugins.report.svg import INK, MARKERS, SERIES, SHADE
from sos_plugins.report.tables import Column, Row, Table, column, counts, rows_of
from sos_plugins.study.compare import TOGETHER, Comparison, Difference

LONGEST = 44
"""Characters of a name beside a chart."""
LABELS, LINE_HEIGHT = 3.6, 0.34
"""Inches."""


def setting_text(value: object) -> str:
    """Write the value of a setting as a study file would, in one line.

    >>> setting_text(["a", {"ratio": 2, "replacement": True}])
    'a, ratio = 2, replacement = true'
    """
    if isinstance(value, (list, tuple)):
        return ", ".join(setting_text(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} = {setting_text(part)}" for key, part in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)


def difference_text(one: Difference) -> str:
    """Say in which setting two studies differ, and how.

    Args:
        one: The difference.
    """
    where = f"{one.where} {one.setting}".strip()
    return f"{where}: {setting_text(one.before)}; {setting_text(one.after)}"


def comparison_page(result: Comparison) -> str:
    """Write two studies beside each other, and what each difference does, as one HTML page.

    Args:
        result: The comparison.
    """
    return (
        environment()
        .get_template("comparison.html.j2")
        .render(
            result=result,
            simulated=result.simulated,
            titles=[words.clean(title) for title in result.titles],
            table=both_table(result),
            charts=comparison_charts(result),
            others=[difference_text(one) for one in result.others],
        )
    )


def comparison_charts(result: Comparison) -> list[Chart]:
    """Draw what each difference does to each outcome that has an estimate."""
    rows = result.rows()
    charts = (_chart(result, name, rows) for name in result.before)
    return [chart for chart in charts if chart is not None]


def both_table(result: Comparison) -> Table:
    """Make the table of both studies: a row an outcome."""
    rows = [
        {**row, "label": _label(result, row["outcome"])}
        for row in result.rows()
        if row["where"] == TOGETHER
    ]

    def side(which: str, title: str) -> Column:
        return Column(words.clean(title), lambda row: _with_interval(result, row, which), True)

    columns = (
        column("label", "Outcome"),
        side("before", result.titles[0]),
        side("after", result.titles[1]),
        Column("Change", lambda row: _scale(result, row).with_unit(row["change"]), numeric=True),
        Column("Why there is none", lambda row: words.text(row["reason"] or None), wide=True),
    )
    shown = columns if any(row["reason"] for row in rows) else columns[:-1]
    return Table("both", "Main estimates of both studies", pd.DataFrame(rows), shown)


def _scale(result: Comparison, row: Row) -> Scale:
    name = str(row["outcome"])
    return scale_for(result.infos[name], result.before[name].std_error)


def _label(result: Comparison, name: str) -> str:
    return words.clean(result.infos[name].label)


def _with_interval(result: Comparison, row: Row, side: str) -> str:
    scale = _scale(result, row)
    interval = scale.interval(row[f"conf_low_{side}"], row[f"conf_high_{side}"])
    estimate = scale.effect(row[f"estimate_{side}"])
    return estimate if words.missing(row[f"conf_low_{side}"]) else f"{estimate} ({interval})"


def _chart(result: Comparison, name: str, rows: list[dict[str, object]]) -> Chart | None:
    """Draw the first study, it with each difference alone, and the second."""
    first = result.before[name]
    if first.estimate is None:
        return None
    own = [row for row in rows if row["outcome"] == name]
    start = {**own[0], "label": words.clean(result.titles[0]), "change": None, "reason": ""}
    start |= {f"{k}_after": own[0][f"{k}_before"] for k in ("estimate", "conf_low", "conf_high")}
    start |= {"n_cases_after": own[0]["n_cases_before"], "before": "", "after": ""}
    frame = pd.DataFrame([start, *({**row, "label": _named(result, row)} for row in own)])
    drawn = frame[frame["estimate_after"].notna()].reset_index(drop=True)
    scale = _scale(result, own[0])

    def draw(figure: Figure) -> None:
        axes = frame_axes(figure, left=LABELS, right=0.3, top=0.2, bottom=0.6)
        ends = drawn[["conf_low_after", "conf_high_after"]].to_numpy(float)
        both = [first.conf_low, first.conf_high, *ends[-1]]
        limits = axis_limits([*drawn["estimate_after"], *both], list(ends.ravel()))
        axes.axvline(0, color=INK, linewidth=1)
        axes.axvline(float(first.estimate or 0), color=SERIES[0], linewidth=1, linestyle=":")
        for line, (estimate, (low, high)) in enumerate(
            zip(drawn["estimate_after"], ends, strict=True)
        ):
            whole = line == 0 or drawn["where"].iloc[line] == TOGETHER
            known = None if pd.isna(low) else low, None if pd.isna(high) else high
            draw_interval(axes, known, line, limits, linewidth=2.4 if whole else 1.4)
            marker = MARKERS[2] if whole else MARKERS[0]
            axes.plot(estimate, line, marker, color=SERIES[0], markersize=7 if whole else 4.5)
        name_rows(axes, list(drawn["label"]), LONGEST, 9.5)
        axes.set_xlim(*limits)
        axes.set_ylim(len(drawn) - 0.5, -0.5)
        show_on_axis(axes.xaxis, scale, levels=False, ticks=5)
        axes.grid(axis="x", color=SHADE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set_xlabel(f"Effect, {scale.unit}" if scale.unit else "Effect")

    ident = f"changes-{name}"
    return Chart(
        ident,
        f"What each difference does: {_label(result, name)}",
        _finding(frame, scale),
        (Drawing(draw, 0.8 + LINE_HEIGHT * len(drawn)),),
        _changes_table(frame, ident, scale),
    )


def _named(result: Comparison, row: Row) -> str:
    if row["where"] == TOGETHER:
        return words.clean(result.titles[1])
    setting = row["setting"] or row["where"]
    sides = " \N{RIGHTWARDS ARROW} ".join(setting_text(row[side]) for side in ("before", "after"))
    return f"{setting}: {words.clean(sides)}"


def _finding(frame: pd.DataFrame, scale: Scale) -> str:
    """Say which difference alone changes the estimate most, and what all together do."""
    single = frame[(frame.index > 0) & (frame["where"] != TOGETHER)]
    known = single[single["change"].notna()]
    told = []
    if len(known):
        most = max(rows_of(known), key=lambda row: abs(row["change"]))
        told.append(
            f"Of {words.plural(len(single), 'difference')}, each alone, {most['label']} changes "
            f"the estimate most: by {scale.with_unit(most['change'])}."
        )
    if n := len(single) - len(known):
        told.append(f"{words.capital(words.plural(n, 'difference'))} cannot stand alone.")
    last = frame.iloc[-1]
    if last["where"] == TOGETHER and pd.notna(last["change"]):
        told.append(
            f"All together change it from {scale.with_unit(last['estimate_before'])} to "
            f"{scale.with_unit(last['estimate_after'])}."
        )
    return " ".join(told)


def _changes_table(frame: pd.DataFrame, ident: str, scale: Scale) -> Table:
    def interval(row: Row) -> str:
        return scale.interval(row["conf_low_after"], row["conf_high_after"])

    columns = (
        column("label", "Study, or the difference alone"),
        column("estimate_after", "Estimate", scale.effect, numeric=True),
        Column("Confidence interval", interval, numeric=True),
        column("change", "Change", scale.effect, numeric=True),
        counts("n_cases_after", "Cases"),
        Column("Why there is none", lambda row: words.text(row["reason"] or None), wide=True),
    )
    shown = columns if frame["reason"].astype(bool).any() else columns[:-1]
    return Table(ident, "Estimates with each difference", frame, shown)
