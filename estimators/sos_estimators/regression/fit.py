"""Fit a design by an engine, and make the estimate that users get."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from sos_estimators.arrays import Bools, Floats
from sos_estimators.inference.results import glance
from sos_estimators.inference.vcov import R_CLUB_SANDWICH
from sos_estimators.regression import engine_pyfixest, engine_python, engine_r
from sos_estimators.regression.design import Design, Fitted
from sos_estimators.regression.design_matrix import Terms, regression
from sos_estimators.regression.least_squares import CollinearTermsError
from sos_estimators.sample.prepare import Form, RegressionSample
from sos_estimators.sample.warnings_text import collinear_covariates, few_clusters, few_df
from sos_plugins import Engine, Estimate, Sample, Tolerance
from sos_plugins.authors.results import without_std_errors
from sos_plugins.contract.interfaces import EXACT, R_BASE, R_SANDWICH, no_limits
from sos_plugins.errors import EngineError

FITS: Mapping[str, Callable[[Design], Fitted]] = {
    "python": engine_python.fit,
    "pyfixest": engine_pyfixest.fit,
    "r": partial(engine_r.fit, engine="r"),
    "r-fixest": partial(engine_r.fit, engine="r-fixest"),
}
Fit = Callable[[Sample, Any], Estimate]
ByEngine = Callable[[Sample, Any, str], Estimate]
Limits = Callable[[Sample, Any], str | None]
INSTEAD = "CR1"
"""Variance with which R fits where it cannot give the one that is asked for."""
LEADS_FIGURES = ("leads_statistic", "leads_df_den", "leads_p_value")
"""What of ``glance`` rests on the variance."""


def fit_design(design: Design, engine: str) -> Fitted:
    """Fit a design by an engine: a name of :data:`FITS`.

    Args:
        design: The design.
        engine: A name of :data:`FITS`.

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


def design_on_cases(
    prepared: RegressionSample,
    form: Form,
    by: Sequence[str],
    terms: Terms,
    *,
    names: Sequence[str],
    averages: Floats,
    vcov: str,
    ask_r: Callable[[str], Mapping[str, Any]] | None = None,
    **given: Any,
) -> Design:
    """Design the regression of a form.

    Args:
        prepared: The checked sample.
        form: Which effects.
        by: Columns that the terms are made of.
        terms: Makes the columns (m, p) and names of the terms.
        names: Of the J averages that are reported.
        averages: How much each term counts in each average, (p, J).
        vcov: Name of the variance.
        ask_r: Has R make and fit the same design; unless given, R fits the terms that ``terms``
            makes, of a linear model without a joint test.
        given: What else a :class:`Design` is given.
    """

    def about_left_out(kept: Bools) -> tuple[str, ...]:
        return collinear_covariates(design.regression.covariate_names, kept, form)

    def fit_terms(engine: str) -> Mapping[str, Any]:
        if engine != "r" or given.get("joint") is not None:
            raise EngineError(
                f"Engine '{engine}' has no script for this design: it fits averages of terms by "
                "lm, without a joint test. Give the design ask_r."
            )
        columns = terms(prepared.frame)[0]
        return engine_r.fit_terms(
            prepared, form, columns, names=names, averages=averages, vcov=vcov
        )

    design = Design(
        names=tuple(names),
        averages=averages,
        vcov=vcov,
        ask_r=ask_r or fit_terms,
        n_clusters=prepared.count("cluster"),
        regress=lambda: regression(prepared, form, by, terms),
        about_left_out=about_left_out,
        connected=form != "stacked",
        **given,
    )
    return design


def by_engine(fit: ByEngine, *engines: str) -> tuple[Fit, ...]:
    """Return the fit of an estimator by each engine: functions of a sample and its settings.

    Args:
        fit: Fits by an engine, the third argument.
        engines: Names.
    """
    return tuple(partial(fit, engine=engine) for engine in engines)  # type: ignore[call-arg]


def r_engine(fit: Fit, tolerance: Tolerance = EXACT) -> Engine:
    """Declare the engine in base R of an estimator with ``form`` and ``vcov``, on cases.

    Args:
        fit: Fits.
        tolerance: Of cross-checks.
    """
    return Engine(
        name="r",
        fit=_without_errors_if_too_large(fit),
        requires=(R_BASE, R_SANDWICH),
        decides=(R_CLUB_SANDWICH,),
        limits=lambda sample, options: engine_r.limits(sample, options.form, options.vcov),
        tolerance_estimate=tolerance,
        tolerance_std_error=tolerance,
    )


def _without_errors_if_too_large(fit: Fit) -> Fit:
    """Give estimates alone where clusters are too large for the variance in R."""

    def fitted(sample: Sample, options: Any) -> Estimate:
        reason = engine_r.too_large_for(sample, options.vcov)
        if not reason:
            return fit(sample, options)
        estimate = fit(sample, options.model_copy(update={"vcov": INSTEAD}))
        untested = {name: None for name in estimate.glance if name in LEADS_FIGURES}
        glance = {**estimate.glance, "vcov": options.vcov, **untested}
        return without_std_errors(replace(estimate, glance=glance), reason)

    return fitted


def r_fixest_engine(
    fit: Fit,
    limits: Limits,
    *,
    takes_cells: bool = False,
) -> Engine:
    """Declare the engine on ``feols`` of the R package ``fixest``.

    Args:
        fit: Fits.
        limits: Says what it cannot do.
        takes_cells: Whether it takes compressed samples.
    """
    return Engine(
        name="r-fixest",
        fit=fit,
        requires=(R_BASE, engine_r.R_FIXEST),
        limits=limits,
        tolerance_estimate=engine_r.FIXEST_STOPS,
        tolerance_std_error=engine_r.FIXEST_STOPS,
        packages=("fixest",),
        takes_cells=takes_cells,
    )


def four_engines(fit: ByEngine, feols_limits: Limits = no_limits) -> tuple[Engine, ...]:
    """Declare all engines of an estimator on cases.

    Args:
        fit: Fits by an engine.
        feols_limits: Says what ``feols`` of either package cannot do.
    """
    python, pyfixest, r, r_fixest = by_engine(fit, *FITS)
    return (
        python_engine(python),
        engine_pyfixest.engine(pyfixest, feols_limits),
        r_engine(r),
        r_fixest_engine(
            r_fixest,
            lambda sample, options: engine_r.needs_cases(sample) or feols_limits(sample, options),
        ),
    )


def python_engine(fit: Fit) -> Engine:
    """Declare the engine on numpy, the reference of cross-checks; it takes cells.

    Args:
        fit: Fits.
    """
    return Engine(name="python", fit=fit, packages=("numpy", "pandas", "scipy"), takes_cells=True)


def build_estimate(
    fitted: Fitted,
    prepared: RegressionSample,
    options: Any,
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
        options: Settings of the estimator: ``vcov``, ``conf_level`` and ``few_clusters``.
        estimand: What is estimated, in words.
        further: What is particular to the estimator, for the one-row summary.
        before: Warnings before those about standard errors.
        after: Warnings after them.
        tidy: One row a term, if not those of ``fitted``.
        covariance: Of the terms that have one.
    """
    vcov, df = options.vcov, np.broadcast_to(fitted.df, fitted.estimates.shape)
    return fitted.estimate(
        options.conf_level,
        {
            **glance(prepared, estimand=estimand, vcov=vcov, conf_level=options.conf_level),
            **further,
        },
        (
            *prepared.warnings,
            *before,
            *few_clusters(prepared, options.few_clusters, vcov),
            *few_df(fitted.names, df, vcov, fitted.std_errors),
            *fitted.warnings,
            *after,
        ),
        covariance=covariance,
        tidy=tidy,
    )
