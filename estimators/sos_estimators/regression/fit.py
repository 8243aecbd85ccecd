"""Fit a design by an engine, and make the estimate that users get."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import pandas as pd

from sos_estimators.inference.results import glance
from sos_estimators.regression import engine_pyfixest, engine_python, engine_r
from sos_estimators.regression.design import Design, Fitted
from sos_estimators.regression.least_squares import CollinearTermsError
from sos_estimators.sample.prepare import Prepared
from sos_estimators.sample.warnings_text import few_clusters, few_df
from sos_plugins import Engine, Estimate, Sample

FITS: Mapping[str, Callable[[Design], Fitted]] = {
    "python": engine_python.fit,
    "pyfixest": engine_pyfixest.fit,
    "r": partial(engine_r.fit, engine="r"),
    "r-fixest": partial(engine_r.fit, engine="r-fixest"),
}
ByEngine = Callable[[Sample, Any, str], Estimate]


def fit_design(design: Design, engine: str) -> Fitted:
    """Fit a design by an engine: a name of :data:`FITS`.

    Returns:
        Its J averages, in units of the value.

    Raises:
        EstimationError: If a term cannot be told from the rest; the design says why.
        EngineError: If the package or R fails.
    """
    try:
        return FITS[engine](design)
    except CollinearTermsError as error:
        raise design.not_identified(error.places) from None


def by_engine(fit: ByEngine, *engines: str) -> tuple[Callable[[Sample, Any], Estimate], ...]:
    """Return the fit of an estimator by each engine: functions of a sample and its settings."""
    return tuple(partial(fit, engine=engine) for engine in engines)  # type: ignore[call-arg]


def python_engine(fit: Callable[[Sample, Any], Estimate]) -> Engine:
    """Declare the engine on numpy, the reference of cross-checks; it takes cells."""
    return Engine(name="python", fit=fit, packages=("numpy", "pandas", "scipy"), takes_cells=True)


class Options(Protocol):
    """What of the settings of an estimator is used."""

    @property
    def vcov(self) -> str:
        """Name of the variance."""

    @property
    def conf_level(self) -> float:
        """Level of confidence intervals."""

    @property
    def few_clusters(self) -> int:
        """Fewer treated clusters than this are few."""


def build_estimate(
    fitted: Fitted,
    prepared: Prepared,
    options: Options,
    *,
    estimand: str,
    further: Mapping[str, Any],
    before: Sequence[str] = (),
    after: Sequence[str] = (),
    tidy: pd.DataFrame | None = None,
    covariance: pd.DataFrame | None = None,
) -> Estimate:
    """Make the estimate that users get of a checked sample.

    Args:
        fitted: What an engine gives, without errors that are zero but for rounding.
        prepared: The sample.
        options: Settings of the estimator.
        estimand: What is estimated, in words.
        further: What is particular to the estimator, for the one-row summary.
        before: Warnings before those about standard errors.
        after: Warnings after them.
        tidy: One row a term, if not those of ``fitted``.
        covariance: Of the terms that have one.
    """
    vcov = options.vcov
    estimate = Estimate(
        fitted.tidy(options.conf_level) if tidy is None else tidy,
        {
            **glance(prepared, estimand=estimand, vcov=vcov, conf_level=options.conf_level),
            **further,
        },
        warnings=(
            *prepared.warnings,
            *before,
            *few_clusters(prepared, options.few_clusters, vcov),
            *few_df(fitted.names, fitted.df, vcov, fitted.std_errors),
            *fitted.warnings,
            *after,
        ),
        covariance=covariance,
    )
    return estimate.without_std_errors(fitted.lacks) if fitted.lacks else estimate
