"""``did`` and ``event-study`` by ``feols``: of pyfixest, and of the R package ``fixest``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sos_estimators.arrays import Floats
from sos_estimators.regression import engine_pyfixest
from sos_estimators.regression import engine_r as r_engine
from sos_estimators.regression.least_squares import CollinearTermsError, Regression
from sos_estimators.sample.prepare import Form, Prepared
from sos_estimators.sample.warnings_text import collinear_covariates, left_out
from sos_plugins import Engine, Estimate, Requirement, Sample, Tolerance
from sos_plugins.cells.build import COMPRESSED
from sos_plugins.contract.interfaces import R_BASE

R_FIXEST = Requirement("r", "fixest", 'in R: install.packages("fixest")')
FIXEST_STOPS = Tolerance(
    1e-5, 1e-7, "fixest takes effects out by alternating projections, which end at a tolerance"
)
IN_R = ("CR0", "CR1", "fixest")
"""Variances that fixest has, by our names."""

Fit = Callable[[Sample, Any], Estimate]


@dataclass(frozen=True)
class Found:
    """What ``feols`` found of p terms.

    Attributes:
        estimates: (p,).
        covariance: (p, p); missing where the package has no such variance.
        warnings: What was left out.
        lacks: Why the covariance is missing, as a clause; empty if it is not.
    """

    estimates: Floats
    covariance: Floats
    warnings: tuple[str, ...]
    lacks: str

    @property
    def std_errors(self) -> Floats:
        """(p,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))


def by_pyfixest(problem: Regression, form: Form, vcov: str) -> Found:
    """Fit with pyfixest.

    Raises:
        CollinearTermsError: If a term is collinear.
        EngineError: If pyfixest fails.
    """
    fit = engine_pyfixest.regress(problem, vcov, separate=form == "stacked")
    dropped = collinear_covariates(problem.covariate_names, fit.kept, form)
    return Found(fit.coefficients, fit.covariance, dropped, fit.lacks)


def by_r_fixest(
    function: str,
    prepared: Prepared,
    form: Form,
    vcov: str,
    further: Sequence[str] = (),
    **arguments: object,
) -> Found:
    """Fit with a function of ``did_fixest.R``.

    Raises:
        CollinearTermsError: If a term is collinear.
        EngineError: If R fails.
    """
    answer = r_engine.fit(
        "did_fixest.R",
        function,
        prepared,
        further,
        form=form,
        vcov=vcov if vcov in IN_R else "CR1",
        **arguments,
    )
    if answer["aliased"][0]:
        raise CollinearTermsError([int(place) - 1 for place in np.atleast_1d(answer["lost"])])
    estimates = np.atleast_1d(np.asarray(answer["estimate"], float))
    covariance = np.asarray(answer["covariance"], float).reshape(len(estimates), -1)
    names = [str(name) for name in np.atleast_1d(answer["left_out"])]
    told = (*left_out(names, form), *(f"R warns: {w}." for w in answer["warnings"]))
    lacks = _r_fixest_lacks(vcov)
    return Found(estimates, covariance * (np.nan if lacks else 1.0), told, lacks)


def _r_fixest_lacks(vcov: str) -> str:
    """Say which variance fixest does not have, as a clause; empty if it has."""
    if vcov == "CR1S":
        return "fixest counts effects nested in clusters as one intercept"
    return "" if vcov in IN_R else f"fixest has no {vcov}"


def r_fixest_engine(fit: Fit, limits: Callable[[Sample, Any], str | None]) -> Engine:
    """Declare the engine on ``feols`` of the R package ``fixest``, which takes cases."""

    def needs_cases(sample: Sample, options: Any) -> str | None:
        if COMPRESSED[0] in sample.frame:
            return "fixest counts cases, and this sample is compressed to cells"
        return limits(sample, options)

    return Engine(
        name="r-fixest",
        fit=fit,
        requires=(R_BASE, R_FIXEST),
        limits=needs_cases,
        tolerance_estimate=FIXEST_STOPS,
        tolerance_std_error=FIXEST_STOPS,
        packages=("fixest",),
    )
