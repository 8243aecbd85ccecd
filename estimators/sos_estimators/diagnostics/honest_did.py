"""Event study with honest bounds: estimator ``honest-did``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import pandas as pd
from pydantic import Field, field_validator

from sos_estimators import event_study
from sos_estimators.diagnostics.coefficients import EventCoefficients
from sos_estimators.diagnostics.honest import (
    Delta,
    HonestBounds,
    RobustInterval,
    honest_bounds,
)
from sos_estimators.diagnostics.honest_r import honest_bounds_in_r
from sos_estimators.diagnostics.pretest import pretest_power, slope_for_power
from sos_estimators.event_plan import EventStudySettings
from sos_estimators.inference.vcov import VCOV, Variance
from sos_estimators.regression.fit import r_engine
from sos_estimators.sample.adoption import ABOUT_ALWAYS_TREATED, AlwaysTreated
from sos_plugins import Engine, Estimate, Estimator, Sample, Settings, Tolerance, hookimpl
from sos_plugins.errors import EstimationError

DEFAULT_M: Mapping[Delta, tuple[float, ...]] = {
    "relative-magnitudes": (0.0, 0.5, 1.0, 1.5, 2.0),
    "smoothness": (0.0,),
}
"""Smoothness has the unit of the outcome, so only a straight line is a default for all."""

SAME_BOUNDS = Tolerance(
    1e-6, 1e-8, "the same bounds, of coefficients whose least squares is summed in another order"
)


class HonestSettings(Settings):
    """Arguments of every estimator that bounds an event study."""

    delta: Delta = Field(
        "relative-magnitudes",
        description="relative-magnitudes: trends diverge at most m times as fast as at worst "
        "before adoption; smoothness: their slope changes by at most m a period",
    )
    m: tuple[float, ...] = Field(
        (),
        description="how much trends may diverge, one term each; none: 0, 0.5, 1, 1.5, 2 for "
        "relative magnitudes, 0 for smoothness (in units of the outcome)",
    )
    target: str = Field(
        "average", description="the effect that is bounded: average of the lags, or event=0 ..."
    )
    min_event: int | None = Field(
        None, lt=-1, description="first event time; earlier ones are binned, or left out"
    )
    max_event: int | None = Field(
        None, ge=0, description="last event time; later ones are binned, or left out"
    )
    conf_level: float = Field(0.95, gt=0, lt=1, description="level of confidence intervals")
    few_clusters: int = Field(
        10, ge=2, description="warn when fewer clusters than this are treated"
    )
    pretest_power: float = Field(
        0.5, gt=0, lt=1, description="power of the test of the leads whose slope is reported"
    )
    draws: int = Field(
        10_000, ge=1000, description="draws for the first stage of tests of relative magnitudes"
    )
    seed: int = Field(0, ge=0, description="seed of these draws")

    @field_validator("m")
    @classmethod
    def _are_not_negative(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if any(value < 0 for value in values) or len(set(values)) < len(values):
            raise ValueError("values must be 0 or more, each once")
        return values

    @property
    def values(self) -> tuple[float, ...]:
        """The values of m, the default filled in."""
        return self.m or DEFAULT_M[self.delta]


class HonestDidSettings(HonestSettings):
    """Arguments of ``honest-did``."""

    form: Literal["twfe", "stacked"] = Field(
        "twfe",
        description="twfe: unit and period effects; stacked: both within each matched group",
    )
    vcov: Variance = Field("CR2", description=VCOV)
    always_treated: AlwaysTreated = Field("drop", description=ABOUT_ALWAYS_TREATED)

    @property
    def event_study(self) -> EventStudySettings:
        """The settings of the event study inside."""
        return EventStudySettings(
            form=self.form,
            min_event=self.min_event,
            max_event=self.max_event,
            vcov=self.vcov,
            always_treated=self.always_treated,
            conf_level=self.conf_level,
            few_clusters=self.few_clusters,
        )


def fit_python(sample: Sample, options: HonestDidSettings) -> Estimate:
    """Bound the event study of the engine ``python``."""
    return bounded(event_study.fit_python(sample, options.event_study), options)


def fit_r(sample: Sample, options: HonestDidSettings) -> Estimate:
    """Bound the event study of the engine ``r``, in R too."""
    return bounded(event_study.fit_r(sample, options.event_study), options, honest_bounds_in_r)


def bounded(
    study: Estimate,
    options: HonestSettings,
    bound: Callable[..., HonestBounds] = honest_bounds,
) -> Estimate:
    """Bound an event study that carries the covariance of its terms, whoever estimated it.

    Args:
        study: Leads and lags.
        options: What is asked for.
        bound: ``honest_bounds``, or its twin in R.

    Raises:
        EstimationError: If it carries none, event times have gaps, or there is no such target.
    """
    path = EventCoefficients.from_estimate(study)
    bounds = bound(
        path,
        delta=options.delta,
        m=options.values,
        target=options.target,
        conf_level=options.conf_level,
        draws=options.draws,
        seed=options.seed,
    )
    about_power, told = _power(path, options)
    of_study = {k: v for k, v in study.glance.items() if not k.startswith("leads_")}
    return Estimate(
        pd.DataFrame([_row(term_of(i.m), i) for i in bounds.intervals]),
        {**of_study, **_glance(path, bounds), **about_power},
        warnings=(*study.warnings, *_warnings(path), *told),
    )


def term_of(m: float) -> str:
    """Name the term of one m."""
    return f"M={m:g}"


def _row(term: str, interval: RobustInterval) -> dict[str, Any]:
    return {
        "term": term,
        "estimate": interval.estimate,
        "std_error": interval.std_error,
        "statistic": interval.estimate / interval.std_error,
        "p_value": interval.p_value,
        "conf_low": interval.conf_low,
        "conf_high": interval.conf_high,
        "df": float("inf"),
    }


def _glance(path: EventCoefficients, bounds: HonestBounds) -> dict[str, Any]:
    return {
        "estimand": f"effect on the treated ({bounds.target}), trends diverging by at most M "
        f"({bounds.delta})",
        "delta": bounds.delta,
        "target": bounds.target,
        "n_leads": path.n_pre,
        "n_lags": path.n_post,
        "breakdown": bounds.breakdown,
        "breakdown_relative": (bounds.breakdown if bounds.delta == "relative-magnitudes" else None),
        "parallel_estimate": bounds.parallel.estimate,
        "parallel_conf_low": bounds.parallel.conf_low,
        "parallel_conf_high": bounds.parallel.conf_high,
    }


def _power(
    path: EventCoefficients, options: HonestSettings
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what the test of the leads would miss, or a warning that it cannot be told."""
    try:
        slope = slope_for_power(path, options.pretest_power, level=1 - options.conf_level)
        missed = pretest_power(path, slope, level=1 - options.conf_level)
    except EstimationError as error:
        return {"pretest_slope": None, "pretest_bias": None, "pretest_size": None}, (str(error),)
    return {
        "pretest_slope": slope,
        "pretest_bias": missed.bias(path.weights(options.target)),
        "pretest_size": missed.size,
    }, ()


def _warnings(path: EventCoefficients) -> tuple[str, ...]:
    if not path.is_singular:
        return ()
    return (
        "The clusters are fewer than the event-study coefficients: their covariance is singular, "
        "and bounds that rest on it are less certain than they look. Bin event times with "
        "min_event and max_event.",
    )


class HonestDid(Estimator):
    """Robust confidence intervals of an event study's effect, and where the conclusion breaks."""

    name = "honest-did"
    label = "Honest bounds: what if trends were not parallel"
    short_label = "Honest bounds"
    Settings = HonestDidSettings
    family = "honest-bounds"
    diagnostic = True
    figures = ("breakdown", "breakdown_relative")
    citation = (
        "Rambachan and Roth (2023), Review of Economic Studies 90(5); tests: Andrews, Roth and "
        "Pakes (2023), Review of Economic Studies 90(6); pre-test: Roth (2022), American Economic "
        "Review: Insights 4(3)"
    )
    engines = (
        Engine(name="python", fit=fit_python, packages=("numpy", "scipy", "scikit-learn")),
        r_engine(fit_r, SAME_BOUNDS),
    )

    def headline(self, options: HonestDidSettings) -> str:
        """Return the term of the first m."""
        return term_of(options.values[0])


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``honest-did``."""
    register(HonestDid())
