"""Fixed against random effects of authorities or children: estimator ``panel-effects``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from sos_estimators.arrays import Bools, Floats
from sos_estimators.diagnostics.panel_models import (
    DifferenceTest,
    Ols,
    RandomEffects,
    Units,
    fixed_effects,
    hausman,
    mundlak,
    random_effects,
    with_means,
)
from sos_estimators.diagnostics.panel_settings import PanelSettings
from sos_estimators.inference.results import about_no_error, glance, negligible
from sos_estimators.regression.design_matrix import codes_of, covariate_columns
from sos_estimators.regression.engine_r import FOLDER, TIMEOUT
from sos_estimators.regression.least_squares import side_by_side
from sos_estimators.sample.prepare import (
    ABOUT_YEARS,
    RegressionSample,
    Years,
    in_years,
    prepare,
)
from sos_estimators.sample.warnings_text import few_clusters
from sos_plugins import Engine, Estimate, Estimator, Sample, hookimpl
from sos_plugins.authors.results import tidy_rows
from sos_plugins.contract.columns import ON_THE_TREATED
from sos_plugins.contract.interfaces import R_BASE
from sos_plugins.errors import EstimationError
from sos_plugins.r import client as r

TERMS = ("fixed", "random", "mean")
"""The effect with fixed and with random effects, and the coefficient of its mean by unit."""
VCOV = "CR1"
Tests = dict[str, DifferenceTest]


class PanelEffectsSettings(PanelSettings):
    """Arguments of ``panel-effects``."""

    by: Literal["child", "authority"] = Field(
        "authority",
        description="whose effects are fixed or random: those of children or authorities",
    )
    years: Years = Field("window", description=ABOUT_YEARS)
    few_clusters: int = Field(
        10, ge=0, description="warn when fewer clusters than this are treated"
    )


@dataclass(frozen=True)
class PanelData:
    """Cases as both regressions take them.

    Attributes:
        value: (n,).
        columns: A constant, periods, pilot, after, covariates, pilot x after last; (n, k).
        compared: Columns that the tests compare: all but the constant, periods and pilot, (k,).
        units: Whose effects they are.
    """

    value: Floats
    columns: Floats
    compared: Bools
    units: Units


@dataclass(frozen=True)
class PanelFit:
    """What an engine gives.

    Attributes:
        estimates: Of :data:`TERMS`.
        std_errors: By cluster, of :data:`TERMS`.
        figures: Variances of both, what is taken off of means, errors of one variance.
        tests: ``hausman`` and ``mundlak``.
    """

    estimates: Floats
    std_errors: Floats
    figures: Mapping[str, float]
    tests: Tests


def panel_data(prepared: RegressionSample, options: PanelEffectsSettings) -> PanelData:
    """Make the columns of both regressions.

    Raises:
        EstimationError: If effects are those of children and the sample does not tell them.
    """
    frame = prepared.frame
    covariates, _ = covariate_columns(frame, prepared.covariates)
    periods = pd.get_dummies(codes_of(frame, period_keys(options))).to_numpy(float)
    parts = [
        np.ones(len(frame)),
        periods[:, 1:],
        frame["treated"].to_numpy(float),
        after_of_all(frame),
        covariates,
        frame["D"].to_numpy(float),
    ]
    columns = side_by_side(parts, len(frame))
    compared = np.arange(columns.shape[1]) > periods.shape[1]
    units = Units.of(
        codes_of(frame, unit_keys(prepared, options)),
        codes_of(frame, ["cluster"]),
        frame["weight"].to_numpy(float),
    )
    return PanelData(frame["value"].to_numpy(float), columns, compared, units)


def period_keys(options: PanelEffectsSettings) -> list[str]:
    """Return the columns that make a period."""
    return ["period", "group"] if options.form == "stacked" else ["period"]


def unit_keys(prepared: RegressionSample, options: PanelEffectsSettings) -> list[str]:
    """Return the columns that make a unit; in matched groups one for each group it serves.

    Raises:
        EstimationError: If children are not told.
    """
    frame = prepared.frame
    if options.by == "child" and "child" not in frame:
        raise EstimationError(
            "by = 'child' needs to know whose cases are whose, and the sample has no column "
            "'child' without gaps. Take by = 'authority'."
        )
    further = ["child"] if options.by == "child" else []
    return ["unit", *further, *(["group"] if "group" in frame else [])]


def both_effects(data: PanelData) -> tuple[Ols, RandomEffects]:
    """Fit fixed and random effects, before either engine: what cannot be told is one sentence.

    Raises:
        EstimationError: If the effect cannot be told from those of units, or a variance from none.
    """
    within = fixed_effects(data.value, data.columns, data.units)
    if not within.kept[-1]:
        raise not_within_units()
    return within, random_effects(data.value, data.columns, data.units, within)


def in_python(
    prepared: RegressionSample,
    options: PanelEffectsSettings,
    data: PanelData,
    both: tuple[Ols, RandomEffects],
) -> PanelFit:
    """Fit both with numpy."""
    del prepared, options
    within, between = both
    extended = with_means(data.value, data.columns, data.units, between.share, within.kept)
    k = len(within.kept)
    places = np.flatnonzero(data.compared & within.kept & between.fit.kept)
    of_means = k + np.searchsorted(np.flatnonzero(within.kept), places)
    fits = ((within, k - 1), (between.fit, k - 1), (extended, len(extended.kept) - 1))
    n_clusters = int(data.units.cluster.max()) + 1
    return PanelFit(
        np.array([fit.estimates[place] for fit, place in fits]),
        np.array([np.sqrt(fit.clustered[place, place]) for fit, place in fits]),
        {
            "variance_within": between.idiosyncratic,
            "variance_of_effects": between.individual,
            "theta": float(between.share.mean()),
            "fixed_std_error_iid": float(np.sqrt(within.covariance[-1, -1])),
            "random_std_error_iid": float(np.sqrt(between.fit.covariance[-1, -1])),
        },
        {
            "hausman": hausman(within, between.fit, places),
            "mundlak": mundlak(extended, of_means, n_clusters),
        },
    )


def after_of_all(frame: pd.DataFrame) -> Floats:
    """Return ``post`` of pilots and comparators, (n,); zeros where comparators have no "after".

    There it is the effect itself, pilot x after, and no term beside it.
    """
    post = frame["post"].to_numpy(float)
    return np.zeros(len(post)) if np.array_equal(post, frame["D"].to_numpy(float)) else post


def not_within_units() -> EstimationError:
    """Say that the effect cannot be told from those of units."""
    return EstimationError(
        "Within units nothing is left of pilot x after once periods and covariates are taken out: "
        "no unit has cases before and after its adoption. Take by = 'authority'."
    )


def in_r(
    prepared: RegressionSample,
    options: PanelEffectsSettings,
    data: PanelData,
    both: tuple[Ols, RandomEffects],
) -> PanelFit:
    """Fit both in base R, from the cases."""
    del both
    frame = prepared.frame
    covariates, names = covariate_columns(frame, prepared.covariates)
    columns: dict[str, Any] = {
        "value": data.value,
        "weight": data.units.weight,
        "D": frame["D"].to_numpy(float),
        "treated": frame["treated"].to_numpy(float),
        "post": after_of_all(frame),
        "unit": data.units.code.astype(float),
        "cluster": data.units.cluster.astype(float),
        "period": codes_of(frame, period_keys(options)).astype(float),
        **{f"x{n}": column for n, column in enumerate(covariates.T, 1)},
    }
    answer = r.call(
        FOLDER / "panel_effects.R",
        "panel_effects",
        columns,
        {"covariates": [f"x{n}" for n in range(1, len(names) + 1)]},
        timeout=TIMEOUT,
    )
    return PanelFit(
        np.asarray(answer["estimate"], float),
        np.asarray(answer["std_error"], float),
        {name: float(answer[name][0]) for name in FIGURES},
        {
            name: _test(np.asarray(answer[name], float), name, int(data.units.cluster.max()) + 1)
            for name in ("hausman", "mundlak")
        },
    )


FIGURES = (
    "variance_within",
    "variance_of_effects",
    "theta",
    "fixed_std_error_iid",
    "random_std_error_iid",
)
REASONS = {
    "hausman": "the difference of the two covariances is no covariance",
    "mundlak": "there are too many means for the clusters, or none differs between units",
}


def _test(answer: Floats, name: str, n_clusters: int) -> DifferenceTest:
    statistic, df, p_value = answer
    df_den = np.inf if name == "hausman" else n_clusters - 1.0
    if np.isnan(statistic):
        return DifferenceTest(None, int(df), df_den, None, REASONS[name])
    return DifferenceTest(float(statistic), int(df), df_den, float(p_value))


Fitter = Callable[
    [RegressionSample, PanelEffectsSettings, PanelData, tuple[Ols, RandomEffects]], PanelFit
]


def _fit(sample: Sample, options: PanelEffectsSettings, fitter: Fitter) -> Estimate:
    prepared = prepare(sample, options.form, options.always_treated)
    prepared = in_years(prepared, options.years)
    data = panel_data(prepared, options)
    fitted = fitter(prepared, options, data, both_effects(data))
    none = fitted.std_errors <= negligible(data.value)
    lost = [term for term, gone in zip(TERMS, none, strict=True) if gone]
    no_errors = [about_no_error(lost, exactly=False)] if lost else []
    of_cases = np.bincount(data.units.code)
    df = float(data.units.cluster.max())
    tidy = tidy_rows(
        TERMS,
        fitted.estimates,
        np.where(none, np.nan, fitted.std_errors),
        df=df,
        conf_level=options.conf_level,
    )
    return Estimate(
        tidy,
        {
            **glance(prepared, estimand=ON_THE_TREATED, vcov=VCOV, conf_level=options.conf_level),
            "estimand_if": "effects are alike over units and time",
            "by": options.by,
            "n_effects": len(of_cases),
            "n_repeated": int((of_cases > 1).sum()),
            **fitted.figures,
            **_figures(fitted.tests),
        },
        warnings=(*prepared.warnings, *_warnings(prepared, options, fitted), *no_errors),
    )


def _figures(tests: Tests) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for name, test in tests.items():
        rows |= {
            f"{name}_statistic": test.statistic,
            f"{name}_df": test.df,
            f"{name}_p_value": test.p_value,
        }
    return rows


def _warnings(
    prepared: RegressionSample, options: PanelEffectsSettings, fitted: PanelFit
) -> Sequence[str]:
    told = [*few_clusters(prepared, options.few_clusters, VCOV)]
    if fitted.figures["variance_of_effects"] == 0:
        told.append(
            "The variance of the effects is estimated as 0, so random effects are none: cases are "
            "pooled."
        )
    told += [
        f"No {name.capitalize()} test: {test.reason}."
        for name, test in fitted.tests.items()
        if test.reason
    ]
    if not fitted.tests["hausman"].reason:
        told.append(
            "Hausman's test takes errors for independent; cases of an authority are not, and then "
            "its p value means little. Mundlak's test, with errors by cluster, stands beside it."
        )
    return told


def fit_python(sample: Sample, options: PanelEffectsSettings) -> Estimate:
    """Estimate with fixed and with random effects by numpy.

    Args:
        sample: The cases.
        options: Settings.

    Returns:
        The terms ``fixed`` and ``random``, the effect by either, and ``mean``, the coefficient of
        its mean by unit; both tests in ``glance``.

    Raises:
        EstimationError: If the sample cannot give the effect; the sentence says why.
    """
    return _fit(sample, options, in_python)


def fit_r(sample: Sample, options: PanelEffectsSettings) -> Estimate:
    """Estimate with fixed and with random effects by base R; otherwise as :func:`fit_python`."""
    return _fit(sample, options, in_r)


class PanelEffects(Estimator):
    """Whether fixed and random effects of units tell the same."""

    name = "panel-effects"
    label = "Fixed and random effects of authorities or children, Hausman's and Mundlak's tests"
    short_label = "Fixed and random effects"
    Settings = PanelEffectsSettings
    family = "panel-effects"
    diagnostic = True
    citation = (
        "Hausman (1978), Econometrica 46(6); Mundlak (1978), Econometrica 46(1); Baltagi and Chang "
        "(1994), Journal of Econometrics 62(2)"
    )
    engines = (
        Engine(name="python", fit=fit_python, packages=("numpy", "scipy", "pandas")),
        Engine(name="r", fit=fit_r, requires=(R_BASE,)),
    )

    def headline(self, options: PanelEffectsSettings) -> str:  # noqa: ARG002
        """Return ``fixed``."""
        return "fixed"


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``panel-effects``."""
    register(PanelEffects())
