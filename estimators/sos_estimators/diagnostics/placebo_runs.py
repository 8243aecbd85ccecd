"""Placebo adoption dates and placebo authorities on one sample: estimator ``placebo``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from sos_estimators import did as classic
from sos_estimators.diagnostics.placebo import (
    Fit,
    Placebo,
    placebo_dates,
    placebo_units,
)
from sos_estimators.did import DidSettings
from sos_estimators.inference.vcov import Variance
from sos_estimators.references import ABADIE_2010
from sos_estimators.regression.fit import r_engine
from sos_estimators.sample.adoption import ABOUT_ALWAYS_TREATED, AlwaysTreated, adopters
from sos_estimators.sample.prepare import Form
from sos_plugins import Engine, Estimate, Estimator, Sample, Settings, hookimpl
from sos_plugins.authors.results import t_quantile

TERM = "ATT"
ACTUAL = "actual"


class PlaceboSettings(Settings):
    """Arguments of ``placebo``: those of the classic design, and which placebos."""

    kind: Literal["dates", "units"] = Field(
        "dates",
        description="dates: adoption earlier than it was, on cases before it; units: every "
        "comparator as the pilot in turn",
    )
    shifts: tuple[int, ...] = Field(
        (1, 2), description="by how many periods adoption is moved back, a run each"
    )
    statistic: Literal["estimate", "t"] = Field(
        "t", description="what ranks the real result among placebo authorities, in absolute value"
    )
    form: Form = Field("twfe", description="as in did: twfe, stacked or pilot-post")
    vcov: Variance = Field("CR2", description="as in did")
    always_treated: AlwaysTreated = Field("drop", description=ABOUT_ALWAYS_TREATED)
    conf_level: float = Field(0.95, gt=0, lt=1, description="level of confidence intervals")
    few_clusters: int = Field(
        10, ge=0, description="warn when fewer clusters than this are treated"
    )

    @field_validator("shifts")
    @classmethod
    def _are_positive(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if any(value < 1 for value in values) or len(set(values)) < len(values):
            raise ValueError("shifts must be 1 or more, each once")
        return values

    @property
    def did(self) -> DidSettings:
        """The settings of every run."""
        return DidSettings(
            form=self.form,
            vcov=self.vcov,
            always_treated=self.always_treated,
            conf_level=self.conf_level,
            few_clusters=self.few_clusters,
        )


def fit_python(sample: Sample, options: PlaceboSettings) -> Estimate:
    """Run every placebo with the engine ``python`` of ``did``."""
    return _fit(sample, options, lambda part: classic.fit_python(part, options.did))


def fit_r(sample: Sample, options: PlaceboSettings) -> Estimate:
    """Run every placebo with the engine ``r`` of ``did``."""
    return _fit(sample, options, lambda part: classic.fit_r(part, options.did))


def _fit(sample: Sample, options: PlaceboSettings, fit: Fit) -> Estimate:
    real = fit(sample)
    adopting, _ = adopters(sample.where(sample.frame["weight"] > 0), options.always_treated)
    told: tuple[str, ...] = ()
    if options.kind == "dates":
        runs = placebo_dates(adopting, fit, term=TERM, shifts=options.shifts)
        facts: dict[str, Any] = {}
    else:
        ranked = placebo_units(adopting, fit, term=TERM, statistic=options.statistic)
        runs = ranked.placebos
        facts = {"rank_p_value": ranked.p_value, "n_ranked": ranked.n_ranked}
        told = (
            () if ranked.why_no_p_value == "" else (f"There is no rank: {ranked.why_no_p_value}.",)
        )
    df = float(real.term(TERM)["df"])
    rows = [_row(run, df, options) for run in runs if run.estimate is not None]
    failed = tuple(f"No placebo '{run.label}': {run.reason}" for run in runs if run.reason)
    return Estimate(
        pd.DataFrame([{**real.term(TERM), "term": ACTUAL}, *rows]),
        {**real.glance, "placebo": options.kind, "n_placebos": len(rows), **facts},
        warnings=(*real.warnings, *told, *failed),
    )


def _row(run: Placebo, df: float, options: PlaceboSettings) -> dict[str, Any]:
    """Return the row of a placebo; its interval is on the degrees of freedom of the real run."""
    assert run.estimate is not None
    error = np.nan if run.std_error is None else run.std_error
    half = t_quantile((1 + options.conf_level) / 2, df) * error
    return {
        "term": f"placebo {run.label}",
        "estimate": run.estimate,
        "std_error": error,
        "statistic": run.estimate / error,
        "p_value": np.nan if run.p_value is None else run.p_value,
        "conf_low": run.estimate - half,
        "conf_high": run.estimate + half,
        "df": np.nan if run.std_error is None else df,
    }


class PlaceboRuns(Estimator):
    """Effects where there can be none, by the classic design."""

    name = "placebo"
    label = "Placebo adoption dates and placebo authorities"
    short_label = "Placebo"
    Settings = PlaceboSettings
    family = "placebo"
    diagnostic = True
    citation = (
        "Abadie, Diamond and Hainmueller (2010), Journal of the American Statistical Association "
        "105(490)"
    )
    references = (ABADIE_2010,)
    engines = (
        Engine(name="python", fit=fit_python, packages=("numpy", "scipy", "pandas")),
        r_engine(fit_r),
    )

    def headline(self, options: PlaceboSettings) -> str:  # noqa: ARG002
        """Return ``actual``, the real run beside which placebos are read."""
        return ACTUAL


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``placebo``."""
    register(PlaceboRuns())
