"""Engines in R: ``synthetic_did.R`` and ``augmented_synthetic_control.R``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from sos_estimators.arrays import Floats
from sos_estimators.inference.own_effects import OwnErrors
from sos_estimators.regression.engine_r import FOLDER, TIMEOUT
from sos_estimators.synthetic.assignments import Assignments
from sos_estimators.synthetic.followed import Fit, Terms
from sos_estimators.synthetic.measured import Measured, Weigh, weigh_augmented, weigh_did
from sos_estimators.synthetic.panel import Panel
from sos_estimators.synthetic.result import Method, estimate
from sos_estimators.synthetic.settings import (
    AugmentedSettings,
    SyntheticDidSettings,
    SyntheticSettings,
)
from sos_plugins import Engine, Estimate, Requirement, Sample, Tolerance
from sos_plugins.contract.interfaces import R_BASE
from sos_plugins.errors import EngineError
from sos_plugins.r import client as r

R_QUADPROG = Requirement("r", "quadprog", "Debian: sudo apt-get install r-cran-quadprog")
OTHER_SOLVER = Tolerance(
    1e-6, 1e-8, "another exact solver; time weights of nearly alike periods have many solutions"
)
SHARED = ("aggregate", "average", "shape", "anticipation", "min_event", "max_event")


def engine(fit: Callable[[Sample, Any], Estimate]) -> Engine:
    """Declare the engine in base R; ``quadprog`` finds the weights where it is installed.

    Args:
        fit: Fits.
    """
    return Engine(
        name="r",
        fit=fit,
        requires=(R_BASE,),
        tolerance_estimate=OTHER_SOLVER,
        tolerance_std_error=OTHER_SOLVER,
        takes_cells=True,
        decides=(R_QUADPROG,),
    )


def fit_did(sample: Sample, options: SyntheticDidSettings) -> Estimate:
    """Estimate with ``synthetic_did.R``.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Settings.

    Raises:
        EngineError: If R fails.
        DataError, EstimationError: As :func:`sos_estimators.synthetic.result.estimate`.
    """
    return estimate(sample, options, _method("synthetic_did", weigh_did, ("by",)))


def fit_augmented(sample: Sample, options: AugmentedSettings) -> Estimate:
    """Estimate with ``augmented_synthetic_control.R``; otherwise as :func:`fit_did`."""
    own = ("pooling", "penalty", "lags", "augment")
    method = _method("augmented_synthetic_control", weigh_augmented, own)
    return estimate(sample, options, method)


def _method(function: str, weigh: Weigh, own: tuple[str, ...]) -> Method:
    """Ask an R function, which gets the shared settings and those of its own."""
    return Method(partial(_ask, function, (*SHARED, *own)), weigh, every=False)


def _ask(
    function: str,
    settings: tuple[str, ...],
    panel: Panel,
    terms: Terms,
    assignments: Assignments | None,
    options: SyntheticSettings,
) -> Measured:
    g, t = panel.value.shape
    columns = {
        "unit": np.repeat(np.arange(1, g + 1), t),
        "period": np.tile(panel.periods, g),
        "cohort": np.repeat(panel.cohort, t),
        "value": panel.value.ravel(),
        "weight": panel.weight.ravel(),
    }
    given = {name: value for name in settings if (value := getattr(options, name)) is not None}
    placebos = None if assignments is None else assignments.units + 1
    who = {"pilots": panel.pilots + 1, "placebos": placebos}
    answer = r.call(
        FOLDER / f"{function}.R",
        function,
        columns,
        {**given, **who, "least": panel.least},
        timeout=TIMEOUT,
    )
    return _read(answer, panel, terms)


def _read(answer: Mapping[str, Any], panel: Panel, terms: Terms) -> Measured:
    """Put what R gives into the order of the terms; R numbers the pilots."""
    numbered = {panel.units[place]: j for j, place in enumerate(panel.pilots, 1)}
    known = [name.partition("=") for name in terms.names]
    named = [f"pilot={numbered[v]}" if k == "pilot" else f"{k}{s}{v}" for k, s, v in known]
    given = [answer["term"]] if isinstance(answer["term"], str) else list(answer["term"])
    if sorted(given) != sorted(named):
        raise EngineError(f"R gives the terms {given}, expected {named}.")
    order = np.array([given.index(name) for name in named])
    k = len(order)

    def of_rows(name: str) -> Floats:
        values = answer[name]
        flat = np.empty(0) if values is None else np.atleast_1d(np.asarray(values, float))
        return np.asarray(flat.reshape(-1, k)[:, order])

    rmse = answer["placebo_rmse"]
    further = answer.get("further") or {}
    return Measured(
        estimates=of_rows("estimate")[0],
        fit=Fit(*(np.array([float(x)]) for x in answer["fit"])),
        own=OwnErrors(of_rows("own_scores"), of_rows("own_df")[0]),
        jackknife=of_rows("jackknife")[0],
        placebos=of_rows("placebos"),
        placebo_rmse=np.empty(0) if rmse is None else np.atleast_1d(np.asarray(rmse, float)),
        further={name: float(np.asarray(value).ravel()[0]) for name, value in further.items()},
    )
