"""The classic difference-in-differences on cases: estimator ``did``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from sos_estimators.inference.inference_table import Inference, Method, by_lot, table_in_python
from sos_estimators.inference.inference_table_r import table_in_r, too_many_refits
from sos_estimators.inference.vcov import VCOV, Variance, factor_of
from sos_estimators.inference.wild import Weights
from sos_estimators.references import ANGRIST_PISCHKE_2009, CENGIZ_2019, LIANG_ZEGER_1986
from sos_estimators.regression import engine_r
from sos_estimators.regression.design import Design
from sos_estimators.regression.design_matrix import treatment
from sos_estimators.regression.fit import (
    FITS,
    build_estimate,
    by_engine,
    design_on_cases,
    fit_design,
    four_engines,
)
from sos_estimators.regression.logit_separation import (
    check_logit_contrast,
    drop_perfectly_predicted,
)
from sos_estimators.sample.adoption import ABOUT_ALWAYS_TREATED, AlwaysTreated
from sos_estimators.sample.prepare import (
    ABOUT_YEARS,
    Form,
    RegressionSample,
    Years,
    in_years,
    prepare,
)
from sos_estimators.sample.warnings_text import (
    not_identified,
    one_sided_pilots,
)
from sos_plugins import Estimate, Estimator, Sample, Settings, Variant, hookimpl
from sos_plugins.contract.columns import ON_THE_TREATED
from sos_plugins.contract.settings import TAKES_CASE_WEIGHTS
from sos_plugins.contract.types import AssignmentDraws, DrawnStatistics
from sos_plugins.errors import EstimationError
from sos_plugins.groundwork.plain import plain


class DidSettings(Settings):
    """Arguments of ``did``."""

    form: Form = Field(
        "twfe",
        description="twfe: unit and period effects; stacked: both within each matched group; "
        "pilot-post: period effects, pilot and post terms, no unit effects (as in the 2021 report)",
    )
    years: Years = Field("window", description=ABOUT_YEARS)
    model: Literal["linear", "logit"] = Field(
        "linear", description="logit for a value of 0 or 1: ATT is then the average marginal effect"
    )
    vcov: Variance = Field(
        "CR2",
        json_schema_extra=TAKES_CASE_WEIGHTS,
        description=f"{VCOV}; a logit takes CR1 unless told otherwise",
    )
    always_treated: AlwaysTreated = Field("drop", description=ABOUT_ALWAYS_TREATED)
    conf_level: float = Field(0.95, gt=0, lt=1, description="level of confidence intervals")
    few_clusters: int = Field(
        10, ge=0, description="warn when fewer clusters than this are treated"
    )
    inference: tuple[Method, ...] = Field(
        (), description="further methods of inference on ATT, side by side in a table"
    )
    draws: int = Field(
        9999,
        ge=99,
        description="bootstrap replications and random assignments in that table, unless fewer "
        "are all there are",
    )
    seed: int = Field(1, ge=0, description="seed of the bootstrap and of random assignments")
    wild_weights: Weights = Field(
        "auto",
        description="auxiliary variable of the wild bootstrap; auto: all sign vectors if they are "
        "not more than the draws, else Webb's six points for few clusters, else signs",
    )

    @model_validator(mode="before")
    @classmethod
    def _variance_of_a_logit(cls, values: Any) -> Any:
        """Give a logit, for which there is no CR2, the variance CR1 where none is chosen."""
        if isinstance(values, dict) and values.get("model") == "logit" and "vcov" not in values:
            return {**values, "vcov": "CR1"}
        return values


TABLES: Mapping[str, Callable[..., Inference]] = {"python": table_in_python, "r": table_in_r}
"""Engines that compute the table of inference."""
ASSUMED = {
    "linear": "effects are alike over units and time",
    "logit": "the log-odds of all cases are added up of the same effects",
}
"""What must hold for the coefficient to be the average effect on the treated."""


def fit(sample: Sample, options: DidSettings, engine: str = "python") -> Estimate:
    """Estimate the effect by an engine: ``python``, ``pyfixest``, ``r`` or ``r-fixest``.

    Angrist and Pischke (2009), Mostly Harmless Econometrics, chapter 5.

    Args:
        sample: The cases, or a compressed sample.
        options: Settings.
        engine: Which engine.

    Returns:
        The term ``ATT`` in units of the value (of a logit in probabilities, with ``log_odds``);
        the table of inference, if any, in ``glance["inference"]``.

    Raises:
        EstimationError: If the sample cannot give the effect; the sentence says why.
        EngineError: If the package or R fails.
    """
    if options.model == "logit":
        factor_of(options.vcov)
    prepared = in_years(prepare(sample, options.form, options.always_treated), options.years)
    fitted_on = prepared
    if options.model == "logit":
        fitted_on = drop_perfectly_predicted(prepared, options.form)
        check_logit_contrast(fitted_on)
    design = _design(fitted_on, options)
    estimate = build_estimate(
        fit_design(design, engine).without_zero_errors(design, fitted_on.frame["value"]),
        fitted_on,
        options,
        estimand=ON_THE_TREATED,
        further={
            "form": options.form,
            "model": options.model,
            "estimand_if": ASSUMED[options.model],
        },
        before=one_sided_pilots(fitted_on, options.form),
    )
    return _with_table(estimate, prepared, options, engine) if options.inference else estimate


fit_python, fit_pyfixest, fit_r, fit_r_fixest = by_engine(fit, *FITS)


def _design(prepared: RegressionSample, options: DidSettings) -> Design:
    form = options.form

    def ask_r(engine: str) -> Mapping[str, Any]:
        if engine == "r-fixest":
            vcov = engine_r.known_to_fixest(options.vcov)
            return engine_r.call("did_fixest.R", "did_fixest", prepared, form=form, vcov=vcov)
        return engine_r.call(
            "did.R", "did_fit", prepared, form=form, model=options.model, vcov=options.vcov
        )

    return design_on_cases(
        prepared,
        form,
        ["D"],
        treatment,
        names=("ATT", "log_odds") if options.model == "logit" else ("ATT",),
        averages=np.eye(1),
        vcov=options.vcov,
        model=options.model,
        ask_r=ask_r,
        not_identified=lambda _: not_identified(prepared, form),
    )


def _with_table(
    estimate: Estimate, prepared: RegressionSample, options: DidSettings, engine: str
) -> Estimate:
    """Add the table of inference, or say why there is none."""
    told = _no_table(prepared, options, engine)
    if told:
        return replace(estimate, warnings=(*estimate.warnings, told))
    table = TABLES[engine](
        prepared, options, options.inference, seed=options.seed, draws=options.draws
    )
    return replace(
        estimate,
        glance={
            **estimate.glance,
            "effective_clusters": table.effective_clusters,
            "inference": plain(table.table),
        },
        warnings=tuple(dict.fromkeys((*estimate.warnings, *table.warnings))),
    )


def _no_table(prepared: RegressionSample, options: DidSettings, engine: str) -> str | None:
    if engine not in TABLES:
        return "The table of inference is computed by engines python and r only."
    told = too_many_refits(prepared, options.draws) if engine == "r" else None
    if told is None and options.model == "logit":
        return "The table of inference is for model = 'linear' and is left out."
    return told


def linear_limit(sample: Sample, options: DidSettings) -> str | None:  # noqa: ARG001
    """Say that average marginal effects are not what ``feols`` gives."""
    return None if options.model == "linear" else "feols has no logit"


LOGIT = {"model": "logit", "vcov": "CR1"}
"""The variant of a study, whatever variance its linear model has."""


class Did(Estimator):
    """The classic design: treated against comparators, before against after."""

    name = "did"
    label = "Classic difference-in-differences on cases"
    short_label = "Difference-in-differences"
    Settings = DidSettings
    citation = (
        "Angrist and Pischke (2009), Mostly Harmless Econometrics, ch. 5; stacked: Cengiz, Dube, "
        "Lindner and Zipperer (2019), Quarterly Journal of Economics 134(3); variance: Liang and "
        "Zeger (1986), Biometrika 73(1)"
    )
    references = (
        ANGRIST_PISCHKE_2009,
        CENGIZ_2019,
        LIANG_ZEGER_1986,
    )
    engines = four_engines(fit, linear_limit)
    variants = (
        Variant("logit", "logit instead of a linear model", LOGIT, binary_only=True),
        Variant(
            "original-form",
            "the regression of 2021: after, pilot and year, without authority effects",
            {"form": "pilot-post"},
        ),
        Variant("pooled", "authority and year effects, groups pooled", {"form": "twfe"}),
    )

    def headline(self, options: DidSettings) -> str:  # noqa: ARG002
        """Return ``ATT``."""
        return "ATT"

    def reassigned(
        self, sample: Sample, options: DidSettings, draws: AssignmentDraws
    ) -> DrawnStatistics:
        """Return the t statistic by CR1, and those under assignments by common lots."""
        if options.model != "linear":
            raise EstimationError("assignments are for model = 'linear'")
        return by_lot(prepare(sample, options.form, options.always_treated), options.form, draws)


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``did``."""
    register(Did())
