"""Engine on the Python package ``diff-diff``: its weights, one fit a date of adoption.

The package refuses several dates at once. Its weights come from the algorithm of Frank and Wolfe,
which stops early, and are made sparse on the way, as in the R package ``synthdid``.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from sos_estimators.arrays import Bools, Floats
from sos_estimators.synthetic import did_weights
from sos_estimators.synthetic.assignments import Assignments
from sos_estimators.synthetic.followed import Terms, averages, cell_weights, in_window
from sos_estimators.synthetic.inference import jackknife, own_effects
from sos_estimators.synthetic.measured import Measured, weigh_did
from sos_estimators.synthetic.panel import Panel, make_panel
from sos_estimators.synthetic.result import Method, estimate
from sos_estimators.synthetic.settings import SyntheticDidSettings
from sos_plugins import Engine, Estimate, Requirement, Sample, Tolerance
from sos_plugins.errors import EngineError, SosError

DIFF_DIFF = Requirement("python", "diff_diff", "pip install 'sos-plugins[diff-diff]'")
STOPS_EARLY = Tolerance(
    0.02,
    0.02,
    "diff-diff's Frank-Wolfe weights are sparse and stop before the best: 0.004 off in the "
    "examples, where the noise of a case is one",
)
EQUAL = 1e-9
"""Pilots of a date count alike when their weights differ by less than this share."""


def engine() -> Engine:
    """Declare the engine."""
    return Engine(
        name="diff-diff",
        fit=fit,
        requires=(DIFF_DIFF,),
        limits=limits,
        tolerance_estimate=STOPS_EARLY,
        tolerance_std_error=STOPS_EARLY,
        packages=("diff-diff",),
        takes_cells=True,
    )


def limits(sample: Sample, options: SyntheticDidSettings) -> str | None:
    """Say what the package cannot do of what is asked.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Settings.
    """
    try:
        panel = make_panel(sample, options)
    except SosError:
        return None
    event = panel.periods[None] - panel.dates[:, None]
    weight = cell_weights(panel, panel.pilots[None], options)[0]
    counts = (weight * in_window(event, options)).sum(axis=1)
    for date in np.unique(panel.dates) if options.by == "cohort" else ():
        some = counts[panel.dates == date]
        if np.ptp(some) > EQUAL * some.max():
            return (
                "diff-diff follows the plain mean of the authorities that adopt at a time, and "
                "here they have unequal weights; set by=pilot or average=authorities"
            )
    return None


def fit(sample: Sample, options: SyntheticDidSettings) -> Estimate:
    """Estimate with ``diff_diff.SyntheticDiD``.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Settings.

    Raises:
        EngineError: If the package fails.
        DataError, EstimationError: As :func:`sos_estimators.synthetic.result.estimate`.
    """
    method = Method(
        measure, weigh_did, every=False, lacks="diff-diff draws placebo pilots of its own"
    )
    return estimate(sample, options, method)


def measure(
    panel: Panel,
    terms: Terms,
    assignments: Assignments | None,  # noqa: ARG001
    options: SyntheticDidSettings,
) -> Measured:
    """Average effects with the weights of the package; no placebo pilots, and no errors.

    Args:
        panel: The panel.
        terms: K averages.
        assignments: Not used: the package draws placebo pilots of its own.
        options: Settings.
    """
    pilots = panel.pilots[None]
    ours = did_weights.weigh(panel, pilots, options)
    weights, times = np.zeros_like(ours.weights), np.zeros_like(ours.times)
    event = panel.periods[None] - panel.dates[:, None]
    late = in_window(event, options)
    for number in np.unique(ours.block):
        inside = np.flatnonzero(ours.block == number)
        first = inside[0]
        of_units, of_times = _fitted(
            panel, ours.shaped[first], pilots[0, inside], ours.before[first], late[first]
        )
        weights[0, inside], times[0, inside] = of_units, of_times
    followed = replace(ours, weights=weights, times=times)
    weight = cell_weights(panel, pilots, options)
    estimates = averages(terms, followed.gaps, weight)[0]
    return Measured(
        estimates=estimates,
        fit=followed.fit(),
        own=own_effects(followed, terms, weight).errors(estimates),
        jackknife=jackknife(followed, terms, weight),
        placebos=np.empty((0, len(terms.names))),
        placebo_rmse=np.empty(0),
    )


def _fitted(
    panel: Panel, series: Floats, pilots: Any, early: Bools, late: Bools
) -> tuple[Floats, Floats]:
    """Return the weights of all units, (G,), and periods, (T,), by the package."""
    used = np.flatnonzero(early | late)
    units = np.append(np.flatnonzero(panel.pool), pilots)
    frame = pd.DataFrame(
        {
            "unit": np.repeat(units, len(used)),
            "period": np.tile(used, len(units)),
            "value": series[np.ix_(units, used)].ravel(),
            "treated": np.repeat(np.isin(units, pilots).astype(int), len(used)),
        }
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = _run(frame, [int(t) for t in np.flatnonzero(late)])
    except Exception as error:
        raise EngineError(f"The package 'diff-diff' failed: {error}") from error
    of_units, of_times = np.zeros(len(panel.units)), np.zeros(len(panel.periods))
    for unit, weight in found.unit_weights.items():
        of_units[int(unit)] = weight
    for period, weight in found.time_weights.items():
        of_times[int(period)] = weight
    return of_units, of_times


def _run(frame: pd.DataFrame, after: list[int]) -> Any:
    from diff_diff import SyntheticDiD

    ask = partial(SyntheticDiD, n_bootstrap=2, variance_method="placebo", seed=0)
    return ask().fit(
        frame,
        outcome="value",
        treatment="treated",
        unit="unit",
        time="period",
        post_periods=after,
    )
