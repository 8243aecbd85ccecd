"""What an engine finds of the averages, before anything is judged: the same from each engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sos_estimators.arrays import Floats, Ints
from sos_estimators.inference.own_effects import OwnErrors
from sos_estimators.synthetic import did_weights, pooled_weights
from sos_estimators.synthetic.assignments import Assignments
from sos_estimators.synthetic.followed import (
    Fit,
    Followed,
    Terms,
    averages,
    cell_weights,
)
from sos_estimators.synthetic.inference import jackknife, own_effects
from sos_estimators.synthetic.panel import Panel
from sos_estimators.synthetic.settings import (
    AugmentedSettings,
    SyntheticDidSettings,
    SyntheticSettings,
)


@dataclass(frozen=True)
class Measured:
    """K averages of J pilots, and of placebo pilots.

    Attributes:
        estimates: In units of the value, (K,).
        fit: How closely the pilots were followed before, one each.
        own: Errors from the pilots' own effects.
        jackknife: Standard errors without each unit in turn, (K,).
        placebos: Estimates of B placebo assignments, (B, K); B is zero where there are none.
        placebo_rmse: How closely placebo pilots were followed, (B,).
        further: What is particular to the estimator, for the one-row summary.
    """

    estimates: Floats
    fit: Fit
    own: OwnErrors
    jackknife: Floats
    placebos: Floats
    placebo_rmse: Floats
    further: Mapping[str, float] = field(default_factory=dict)

    @property
    def poorer(self) -> float:
        """Share of assignments that are followed as badly before, the observed among them."""
        as_bad = (self.placebo_rmse >= self.fit.rmse[0]).sum()
        n = len(self.placebo_rmse)
        return float((1 + as_bad) / (1 + n)) if n else float("nan")


@dataclass(frozen=True)
class Weighed:
    """Pilots followed under B assignments.

    Attributes:
        followed: With what effects are estimated by.
        fit: How closely, before anything is added by regression.
        further: By name, for the one-row summary, of the first assignment.
    """

    followed: Followed
    fit: Fit
    further: Mapping[str, float] = field(default_factory=dict)


Weigh = Callable[[Panel, Ints, Any], Weighed]


def weigh_did(panel: Panel, units: Ints, options: SyntheticDidSettings) -> Weighed:
    """Find the weights of ``synthetic-did``.

    Args:
        panel: The panel.
        units: Who takes the place of each pilot, (B, J).
        options: Settings.
    """
    followed = did_weights.weigh(panel, units, options)
    return Weighed(followed, followed.fit())


def weigh_augmented(panel: Panel, units: Ints, options: AugmentedSettings) -> Weighed:
    """Find the weights of ``augmented-synthetic-control``.

    Args:
        panel: The panel.
        units: Who takes the place of each pilot, (B, J).
        options: Settings.
    """
    found = pooled_weights.weigh(panel, units, options)
    further = {
        "pooling": float(found.pooling[0]),
        "ridge_penalty": float(found.penalty[0]),
        "fit_before_mean": float(found.together[0]),
        "fit_before_each": float(found.apart[0]),
    }
    return Weighed(found.followed, found.fit, further)


def measure(
    weigh: Weigh,
    panel: Panel,
    terms: Terms,
    assignments: Assignments | None,
    options: SyntheticSettings,
) -> Measured:
    """Estimate with numpy.

    Args:
        weigh: Finds the weights.
        panel: The panel.
        terms: K averages.
        assignments: Of placebo pilots; none where too few authorities would remain.
        options: Settings.

    Raises:
        EstimationError: If weights cannot be found.
    """
    pilots = panel.pilots[None]
    found, weight = weigh(panel, pilots, options), cell_weights(panel, pilots, options)
    estimates = averages(terms, found.followed.gaps, weight)[0]
    placebos, rmse = np.empty((0, len(terms.names))), np.empty(0)
    if assignments is not None:
        others = weigh(panel, assignments.units, options)
        of_others = cell_weights(panel, assignments.units, options)
        placebos, rmse = averages(terms, others.followed.gaps, of_others), others.fit.rmse
    return Measured(
        estimates=estimates,
        fit=found.fit,
        own=own_effects(found.followed, terms, weight).errors(estimates),
        jackknife=jackknife(found.followed, terms, weight),
        placebos=placebos,
        placebo_rmse=rmse,
        further=found.further,
    )
