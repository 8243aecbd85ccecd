"""The chart of every analysis: the main one, the sensitivity runs and the engines."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sos_plugins.contract.types import Run
from sos_plugins.report import formatting as words
from sos_plugins.report.charts import (
    Chart,
    Drawing,
    axis_limits,
    draw_interval,
    frame_axes,
    show_on_axis,
)
from sos_plugins.report.formatting import Scale, to_float
from sos_plugins.report.labels import all_runs, grouped_runs, run_label
from sos_plugins.report.outcome_tables import runs_table
from sos_plugins.report.svg import INK, MARKERS, MUTED, SERIES, SHADE
from sos_plugins.study.result import OutcomeResult

LABEL_WIDTH = 3.25
"""Inches left of the chart for the names of runs."""

LONG_LABEL, LONGEST_LABEL = 38, 48
"""Characters: longer names are set smaller, the longest in several lines."""

FURTHER_LINE = 0.6
"""Rows that a further line of a name takes."""


def forest(
    result: OutcomeResult, ident: str, called: Mapping[str, str] | None = None
) -> Chart | None:
    """Draw every run that gave an estimate, in families, the main estimate as a line.

    Args:
        result: The outcome.
        ident: Anchor of the chart.
        called: What plugins are called, by their names.
    """
    runs = all_runs(result)
    shown = [run for run in runs if to_float(run.estimate) is not None]
    if not shown:
        return None
    scale = words.scale_of(result)
    groups = grouped_runs(shown)
    limits = _limits(shown)
    title = f"Every analysis side by side: {words.clean(result.info.label)}"
    finding = _forest_finding(runs, shown, scale)
    labels = {id(run): run_label(run, called) for run in shown}
    lines = sum(
        _headed(members) + sum(_rows(labels[id(run)]) for run in members) for _, members in groups
    )

    def draw(figure: Figure) -> None:
        axes = frame_axes(figure, left=LABEL_WIDTH, right=1.7, top=0.35, bottom=0.6)
        axes.set_xlim(*limits)
        axes.set_ylim(lines - 0.4, -0.6)
        axes.axvline(0, color=INK, linewidth=1)
        if shown[0].family == "main":
            axes.axvline(shown[0].estimate or 0.0, color=SERIES[0], linewidth=1, linestyle=":")
        _forest_rows(axes, groups, labels, scale, limits)
        _forest_axes(axes, scale)

    drawing = Drawing(draw, 0.95 + 0.235 * lines)
    return Chart(ident, title, finding, (drawing,), runs_table(result, ident, called))


def _label_lines(label: str) -> list[str]:
    return textwrap.wrap(label, LONGEST_LABEL)


def _rows(label: str) -> float:
    """Rows of the chart that a run of this name takes."""
    return 1 + FURTHER_LINE * (len(_label_lines(label)) - 1)


def _headed(runs: list[Run]) -> bool:
    return not (len(runs) == 1 and runs[0].family == "main")


def _forest_axes(axes: Axes, scale: Scale) -> None:
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    show_on_axis(axes.xaxis, scale, levels=False, ticks=5)
    axes.grid(axis="x", color=SHADE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"Effect, {scale.unit}" if scale.unit else "Effect", labelpad=6)
    at_right: dict[str, Any] = {
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "color": MUTED,
    }
    axes.annotate("Effect (interval)", (1, 1), xytext=(122, 4), ha="right", va="bottom", **at_right)


def _limits(runs: list[Run]) -> tuple[float, float]:
    estimates = [to_float(run.estimate) or 0.0 for run in runs]
    ends = [to_float(end) for run in runs for end in (run.conf_low, run.conf_high)]
    main = [to_float(runs[0].conf_low), to_float(runs[0].conf_high)]
    return axis_limits([*estimates, *main], ends)


def _forest_rows(
    axes: Axes,
    groups: list[tuple[str, list[Run]]],
    labels: Mapping[int, str],
    scale: Scale,
    limits: tuple[float, float],
) -> None:
    line = 0.0
    indent = 72 * LABEL_WIDTH - 8
    beside: dict[str, Any] = {
        "xycoords": ("axes fraction", "data"),
        "textcoords": "offset points",
        "va": "center",
    }
    for heading, runs in groups:
        if _headed(runs):
            axes.annotate(heading, (0, line), xytext=(-indent, 0), fontweight="bold", **beside)
            line += 1
        for run in runs:
            name = labels[id(run)]
            taken, label = _rows(name), "\n".join(_label_lines(name))
            line += (taken - 1) / 2
            _forest_run(axes, run, line, limits)
            main = run.family == "main"
            weight = "bold" if main else "normal"
            size = 9.5 if len(label) <= LONG_LABEL else 8.5
            left = 8 - indent if _headed(runs) else -indent
            axes.annotate(
                label, (0, line), xytext=(left, 0), fontweight=weight, fontsize=size, **beside
            )
            value = scale.effect(run.estimate)
            if words.excludes_zero(run.conf_low, run.conf_high) is not None:
                value += f" ({scale.interval(run.conf_low, run.conf_high)})"
            axes.annotate(
                value, (1, line), xytext=(122, 0), ha="right", fontweight=weight, **beside
            )
            line += (taken + 1) / 2


def _forest_run(axes: Axes, run: Run, line: float, limits: tuple[float, float]) -> None:
    main = run.family == "main"
    ends = (to_float(run.conf_low), to_float(run.conf_high))
    draw_interval(axes, ends, line, limits, linewidth=2.4 if main else 1.4)
    marker = MARKERS[2] if main else MARKERS[0]
    alone: dict[str, Any] = {"markerfacecolor": "white"} if one_authority(run) else {}
    axes.plot(
        to_float(run.estimate) or 0.0,
        line,
        marker,
        color=SERIES[0],
        markersize=7 if main else 4.5,
        **alone,
    )


def one_authority(run: Run) -> bool:
    """Return whether a run rests on a single treated authority."""
    return run.n_treated_units == 1


def _about_one_authority(shown: list[Run]) -> str:
    """Say what hollow marks are, and where their intervals are from."""
    alone = [run for run in shown if one_authority(run)]
    if not alone:
        return ""
    told = f"Hollow marks rest on one authority ({words.count(len(alone))})"
    numbers = sorted({run.n_placebos for run in alone if run.n_placebos is not None})
    if not numbers:
        return f"{told}."
    most = words.count(numbers[-1])
    n = most if len(numbers) == 1 else f"{words.count(numbers[0])} to {most}"
    return f"{told}; their intervals are from {n} placebo pilots of the pool."


def _forest_finding(runs: tuple[Run, ...], shown: list[Run], scale: Scale) -> str:
    estimates = [to_float(run.estimate) or 0.0 for run in shown]
    below = sum(e < 0 for e in estimates)
    signs = [words.excludes_zero(run.conf_low, run.conf_high) for run in shown]
    parts = [
        f"{words.count(len(shown))} of {words.plural(len(runs), 'analysis', 'analyses')} gave an "
        f"estimate, from {scale.effect(min(estimates))} to {scale.effect(max(estimates))} "
        f"{scale.unit}: {words.count(below)} below zero and "
        f"{words.count(sum(e > 0 for e in estimates))} above. The intervals of "
        f"{words.count(sum(bool(s) for s in signs))} of "
        f"{words.count(sum(s is not None for s in signs))} lie apart from zero."
    ]
    if shown[0].family == "main":
        parts.insert(0, f"The main estimate is {scale.with_unit(shown[0].estimate)}.")
    return " ".join(filter(None, (*parts, _about_one_authority(shown))))
