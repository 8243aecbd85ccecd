"""Power and calibration of a study, each as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sos_plugins.contract.types import OutcomeInfo
from sos_plugins.report import formatting as words
from sos_plugins.report.charts import (
    Chart,
    Drawing,
    Ticks,
    frame_axes,
    name_rows,
    show_on_axis,
)
from sos_plugins.report.formatting import Scale, scale_for
from sos_plugins.report.page import environment
from sos_plugins.report.svg import DASHES, INK, MARKERS, MUTED, SERIES, SHADE
from sos_plugins.report.tables import Column, Table, column, counts, rows_of
from sos_plugins.study.calibrate import CalibrationResult
from sos_plugins.study.power import PowerResult
from sos_plugins.study.power_table import LEVEL, WANTED

SHADES = (*SERIES, "#b58900", "#5b8fb9", "#8c8c8c")
LONGEST = 34
"""Characters of a name beside a chart."""
LINE_HEIGHT = 0.34
POWER_NOTE = (
    "Deals share the same records, so errors are those of the draw among these records and not of "
    "other records. Size is the share of deals without an effect that are significant at 5%."
)
CALIBRATION_NOTE = (
    "Each deal is a whole study of all outcomes. Where nothing was planted every verdict of an "
    "increase or a decrease is a false alarm."
)


def power_charts(result: PowerResult) -> list[Chart]:
    """Draw the power of each outcome."""
    return [_power_chart(result, name) for name in result.infos]


def calibration_charts(result: CalibrationResult) -> list[Chart]:
    """Draw the verdicts on each outcome."""
    return [_verdict_chart(result, name) for name in result.infos]


def power_page(result: PowerResult) -> str:
    """Write the power of a study as one self-contained HTML page."""
    return _page(
        kind="Power",
        result=result,
        tables=[smallest_table(result)],
        charts=power_charts(result),
        note=POWER_NOTE,
    )


def calibration_page(result: CalibrationResult) -> str:
    """Write how often each verdict would come as one self-contained HTML page."""
    return _page(
        kind="Calibration",
        result=result,
        tables=[claims_table(result)],
        charts=calibration_charts(result),
        note=CALIBRATION_NOTE,
    )


def scale_in(result: PowerResult | CalibrationResult, name: str) -> Scale:
    """Choose how effects on an outcome are shown."""
    errors = result.table if isinstance(result, PowerResult) else pd.DataFrame()
    own = errors[errors["outcome"] == name]["mean_std_error"] if len(errors) else pd.Series()
    return scale_for(result.infos[name], float(own.iloc[0]) if len(own) else None)


def with_error(share: Any, error: Any) -> str:
    """Write a share in percent with its Monte Carlo error.

    >>> with_error(0.052, 0.0157)
    '5.2% ± 1.6'
    """
    if words.missing(share):
        return words.MISSING
    return f"{words.share(share)} ± {words.number(100 * float(error), 1)}"


def _page(
    *,
    kind: str,
    result: PowerResult | CalibrationResult,
    tables: Sequence[Table],
    charts: Sequence[Chart],
    note: str,
) -> str:
    template = environment().get_template("repeats.html.j2")
    return template.render(
        kind=kind,
        result=result,
        simulated=result.simulated,
        title=words.clean(result.title),
        tables=tables,
        charts=charts,
        note=note,
    )


def _label(infos: Any, name: str) -> str:
    info: OutcomeInfo = infos[name]
    return words.clean(info.label)


def _estimator_in(result: PowerResult) -> Callable[[Any], str]:
    """Return what writes the name of an estimator as charts call it."""
    return lambda name: result.called.get(name, words.text(name))


def smallest_table(result: PowerResult) -> Table:
    """Make the table of what each estimator finds: a row an outcome and estimator."""

    def found(row: Any) -> str:
        return scale_in(result, row["outcome"]).with_unit(row["detectable"])

    columns = (
        column("estimator", "Estimator", _estimator_in(result)),
        Column("Size", lambda row: with_error(row["size"], row["size_error"]), numeric=True),
        Column(
            "Intervals that hold the truth",
            lambda row: with_error(row["coverage"], row["coverage_error"]),
            numeric=True,
        ),
        Column("Effect found in 80% of deals", found, numeric=True),
    )
    frame = result.smallest.assign(
        label=[_label(result.infos, n) for n in result.smallest["outcome"]]
    )
    return Table(
        "smallest",
        "What each estimator finds on these records",
        frame,
        columns,
        group="label",
        missing_note="no effect that was tried is found in 80% of deals",
    )


def _power_chart(result: PowerResult, name: str) -> Chart:
    own = result.table[result.table["outcome"] == name]
    scale, ident = scale_in(result, name), f"power-{name}"
    title = f"How often an effect is found: {_label(result.infos, name)}"

    def draw(figure: Figure) -> None:
        axes = frame_axes(figure, left=0.75, right=0.25, top=0.6, bottom=0.6)
        for n, (estimator, part) in enumerate(own.groupby("estimator", sort=False)):
            _curve(axes, n, _estimator_in(result)(estimator), part)
        for height in (LEVEL, WANTED):
            axes.axhline(height, color=MUTED, linewidth=0.8, linestyle=":")
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(Ticks(100.0, "%"))
        show_on_axis(axes.xaxis, scale, levels=False)
        axes.set_xlabel(f"Effect that was planted, {scale.unit}".rstrip(", "))
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.02), ncols=3, borderaxespad=0)

    finding = _power_finding(result, name, scale)
    return Chart(ident, title, finding, (Drawing(draw, 3.7),), _power_table(result, own, scale))


def _curve(axes: Axes, n: int, estimator: str, part: pd.DataFrame) -> None:
    ordered = part.sort_values("effect", key=abs)
    axes.errorbar(
        ordered["effect"].to_numpy(float),
        ordered["power"].to_numpy(float),
        yerr=2 * ordered["power_error"].to_numpy(float),
        label=estimator,
        color=SERIES[n % len(SERIES)],
        marker=MARKERS[n % len(MARKERS)],
        linestyle=DASHES[n % len(DASHES)],
        linewidth=1.8,
        elinewidth=0.8,
        markersize=5,
    )


def _power_finding(result: PowerResult, name: str, scale: Scale) -> str:
    main = result.smallest[result.smallest["outcome"] == name].iloc[0]
    size = with_error(main["size"], main["size_error"])
    if words.missing(main["detectable"]):
        found = "no effect that was tried is found in 80% of deals"
    else:
        found = f"{scale.with_unit(main['detectable'])} would be found in 80% of deals"
    name = _estimator_in(result)(main["estimator"])
    return (
        f"By {name}, {found}; without an effect, {size} of deals are significant at 5%. "
        f"{result.repeats} deals; bars are two Monte Carlo errors."
    )


def _power_table(result: PowerResult, own: pd.DataFrame, scale: Scale) -> Table:
    columns = (
        column("effect", "Effect", scale.effect, numeric=True),
        Column("Found", lambda row: with_error(row["power"], row["power_error"]), numeric=True),
        Column(
            "Intervals that hold it",
            lambda row: with_error(row["coverage"], row["coverage_error"]),
            numeric=True,
        ),
        column("mean_estimate", "Mean estimate", scale.effect, numeric=True),
        column("mean_std_error", "Mean standard error", scale.effect, numeric=True),
        column("sd_estimate", "Spread of estimates", scale.effect, numeric=True),
        counts("n", "Deals"),
    )
    shown = own.assign(label=own["estimator"].map(_estimator_in(result)))
    ident, caption = f"power-{own['outcome'].iloc[0]}", "Deals by estimator and effect"
    return Table(ident, caption, shown, columns, group="label", raw=own)


def claims_table(result: CalibrationResult) -> Table:
    """Make the table of how often a whole study claims an effect: a row a truth."""
    columns = (
        Column("What is true", lambda row: truth_name(result, int(row["truth"]))),
        Column(
            "Studies that claim an effect on any outcome",
            lambda row: with_error(row["share"], row["share_error"]),
            numeric=True,
        ),
        counts("n", "Studies"),
    )
    return Table("claims", "How often a whole study claims an effect", result.claims, columns)


def truth_name(result: CalibrationResult, truth: int) -> str:
    """Say what is true in the studies of a truth: the effect on each outcome."""
    if truth == 0:
        return "no effect on any outcome"
    own = result.verdicts[result.verdicts["truth"] == truth].drop_duplicates("outcome")
    told = [
        f"{_label(result.infos, row['outcome'])} "
        f"{scale_in(result, row['outcome']).with_unit(row['effect'])}"
        for row in rows_of(own)
    ]
    return words.joined(told)


def verdict_name(row: Any) -> str:
    """Name a verdict by its level and direction.

    >>> verdict_name({"level": "high", "direction": "decrease"})
    'high: decrease'
    """
    if row["level"] == row["direction"]:
        return str(row["level"])
    return f"{row['level']}: {row['direction']}"


def _verdict_chart(result: CalibrationResult, name: str) -> Chart:
    own = result.verdicts[result.verdicts["outcome"] == name]
    own = own.assign(verdict=[verdict_name(row) for row in rows_of(own)])
    scale, ident = scale_in(result, name), f"verdicts-{name}"
    title = f"How often each verdict comes: {_label(result.infos, name)}"
    verdicts = sorted(own["verdict"].unique())
    truths = [(truth, part) for truth, part in own.groupby("truth")]
    names = [
        "no effect" if part["effect"].iloc[0] == 0 else scale.with_unit(part["effect"].iloc[0])
        for _, part in truths
    ]

    def draw(figure: Figure) -> None:
        top = 0.3 + 0.22 * int(np.ceil(len(verdicts) / 2))
        axes = frame_axes(figure, left=2.2, right=0.3, top=top, bottom=0.5)
        for row, (_, part) in enumerate(truths):
            _bar(axes, row, part, verdicts)
        name_rows(axes, names, LONGEST, 9.5)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(Ticks(100.0, "%"))
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        axes.legend(
            [unique[v] for v in verdicts],
            verdicts,
            loc="lower left",
            bbox_to_anchor=(-0.25, 1.02),
            ncols=2,
            borderaxespad=0,
        )

    finding = _verdict_finding(own, names)
    height = 0.9 + 0.22 * int(np.ceil(len(verdicts) / 2)) + LINE_HEIGHT * len(names)
    table = _verdict_table(own, ident, scale)
    return Chart(ident, title, finding, (Drawing(draw, height),), table)


def _bar(axes: Axes, row: int, part: pd.DataFrame, verdicts: Sequence[str]) -> None:
    left = 0.0
    for n, verdict in enumerate(verdicts):
        share = float(part.loc[part["verdict"] == verdict, "share"].sum())
        color = SHADES[n % len(SHADES)] if not verdict.endswith("cannot tell") else SHADE
        axes.barh(row, share, left=left, height=0.6, color=color, label=verdict, edgecolor=INK)
        left += share


def _verdict_finding(own: pd.DataFrame, names: Sequence[str]) -> str:
    told = []
    for name, (_, part) in zip(names, own.groupby("truth"), strict=True):
        most = part.sort_values("share", ascending=False).iloc[0]
        share = with_error(most["share"], most["share_error"])
        told.append(f"with {name}, '{most['verdict']}' comes most often ({share})")
    return words.capital("; ".join(told)) + "."


def _verdict_table(own: pd.DataFrame, ident: str, scale: Scale) -> Table:
    def planted(row: Any) -> str:
        return "no effect" if not row["effect"] else scale.with_unit(row["effect"])

    columns = (
        Column("What is true", planted),
        column("verdict", "Verdict"),
        Column("Share", lambda row: with_error(row["share"], row["share_error"]), numeric=True),
        Column("As in", lambda row: words.text(row["sentence"]), wide=True),
    )
    return Table(ident, "Verdicts by what is true", own, columns)
