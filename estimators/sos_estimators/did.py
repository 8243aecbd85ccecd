"""The classic difference-in-differences on cases: estimator ``did``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from sos_estimators.arrays import Floats
from sos_estimators.inference.inference_table import Inference, Method, of_prepared
from sos_estimators.inference.inference_table_r import in_r, too_many_refits
from sos_estimators.inference.results import (
    Own,
    drop_zero_errors,
    glance,
    tidy_rows,
)
from sos_estimators.inference.vcov import (
    VCOV,
    check_model,
    spread,
    warn_no_jackknife,
)
from sos_estimators.inference.wild import Weights
from sos_estimators.regression import engine_pyfixest, feols
from sos_estimators.regression import engine_r as r_engine
from sos_estimators.regression.design_matrix import covariate_columns, regression
from sos_estimators.regression.least_squares import (
    CollinearTermsError,
    Convention,
    Regression,
    Variance,
    correction,
    least_squares,
)
from sos_estimators.regression.logit import logit
from sos_estimators.regression.logit_separation import (
    check_logit_contrast,
    drop_perfectly_predicted,
)
from sos_estimators.sample.adoption import ABOUT_ALWAYS_TREATED, AlwaysTreated
from sos_estimators.sample.prepare import (
    STRUCTURE,
    Form,
    Prepared,
    prepare,
)
from sos_estimators.sample.warnings_text import (
    cannot_be_told,
    collinear_covariates,
    few_clusters,
    few_df,
    one_sided_pilots,
)
from sos_plugins import Engine, Estimate, Estimator, Sample, Settings, Variant, hookimpl
from sos_plugins.contract.interfaces import R_BASE, R_SANDWICH
from sos_plugins.contract.types import plain


class DidSettings(Settings):
    """Arguments of ``did``."""

    form: Form = Field(
        "twfe",
        description="twfe: unit and period effects; stacked: both within each matched group; "
        "pilot-post: period effects, pilot and post terms, no unit effects (as in the 2021 report)",
    )
    model: Literal["linear", "logit"] = Field(
        "linear", description="logit for a value of 0 or 1: ATT is then the average marginal effect"
    )
    vcov: Variance = Field("CR2", description=f"{VCOV}; a logit takes CR1 unless told otherwise")
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


@dataclass(frozen=True)
class Fitted:
    """What an engine found: terms, estimates, errors and degrees of freedom (p,), warnings.

    Degrees of freedom are clusters - 1 if none. ``lacks`` says why there are no errors, if so.
    """

    terms: tuple[str, ...]
    estimates: Floats
    std_errors: Floats
    warnings: tuple[str, ...]
    df: Floats | None = None
    lacks: str = ""


def fit_python(sample: Sample, options: DidSettings) -> Estimate:
    """Fit with numpy; the table of inference, if any, goes to ``glance["inference"]``."""
    fitted = _fit(sample, options, _logit if options.model == "logit" else _linear)
    return _with_inference(fitted, sample, options, of_prepared) if options.inference else fitted


def fit_r(sample: Sample, options: DidSettings) -> Estimate:
    """Fit with ``lm`` or ``glm``, ``sandwich``, and ``clubSandwich`` for CR2-cases."""
    fitted = _fit(sample, options, _in_r)
    if not options.inference:
        return fitted
    told = too_many_refits(prepare(sample, options.form, options.always_treated), options.draws)
    return _warned(fitted, told) if told else _with_inference(fitted, sample, options, in_r)


def fit_pyfixest(sample: Sample, options: DidSettings) -> Estimate:
    """Fit with ``feols`` of pyfixest; without errors where it has no such variance."""
    return _without_table(_fit(sample, options, _in_pyfixest), options)


def fit_r_fixest(sample: Sample, options: DidSettings) -> Estimate:
    """Fit with ``feols`` of the R package ``fixest``; likewise."""
    return _without_table(_fit(sample, options, _in_r_fixest), options)


def linear_limit(sample: Sample, options: DidSettings) -> str | None:  # noqa: ARG001
    """Say that average marginal effects are not what ``feols`` gives."""
    return None if options.model == "linear" else "feols has no logit"


def _without_table(fitted: Estimate, options: DidSettings) -> Estimate:
    if not options.inference:
        return fitted
    return _warned(fitted, "The table of inference is computed by engines python and r only.")


def _with_inference(
    fitted: Estimate, sample: Sample, options: DidSettings, how: Callable[..., Inference]
) -> Estimate:
    if options.model == "logit":
        return _warned(fitted, "The table of inference is for model = 'linear' and is left out.")
    found = how(
        prepare(sample, options.form, options.always_treated),
        options,
        options.inference,
        seed=options.seed,
        draws=options.draws,
    )
    return replace(
        fitted,
        glance={
            **fitted.glance,
            "effective_clusters": found.effective_clusters,
            "inference": plain(found.table),
        },
        warnings=tuple(dict.fromkeys((*fitted.warnings, *found.warnings))),
    )


def _warned(fitted: Estimate, told: str) -> Estimate:
    return replace(fitted, warnings=(*fitted.warnings, told))


def _fit(
    sample: Sample, options: DidSettings, how: Callable[[Prepared, DidSettings], Fitted]
) -> Estimate:
    check_model(options.vcov, options.model)
    prepared = prepare(sample, options.form, options.always_treated)
    if options.model == "logit":
        prepared = drop_perfectly_predicted(prepared, options.form)
        check_logit_contrast(prepared)
    try:
        fitted = how(prepared, options)
    except CollinearTermsError:
        raise cannot_be_told(prepared, options.form) from None
    facts = glance(
        prepared, estimand=_estimand(options), vcov=options.vcov, conf_level=options.conf_level
    )
    errors, about_errors = drop_zero_errors(
        fitted.std_errors,
        fitted.terms,
        prepared.frame["value"],
        lambda: Own.of(_regression(prepared, options)),
    )
    tidy = tidy_rows(
        fitted.terms,
        fitted.estimates,
        errors,
        df=facts["n_clusters"] - 1 if fitted.df is None else fitted.df,
        conf_level=options.conf_level,
    )
    told = (
        *prepared.warnings,
        *one_sided_pilots(prepared, options.form),
        *few_clusters(prepared, options.few_clusters, options.vcov),
        *few_df(fitted.terms, fitted.df, options.vcov, errors),
        *about_errors,
        *fitted.warnings,
    )
    facts |= {"form": options.form, "model": options.model}
    estimate = Estimate(tidy, facts, warnings=told)
    return estimate.without_std_errors(fitted.lacks) if fitted.lacks else estimate


def _estimand(options: DidSettings) -> str:
    if options.model == "logit":
        return "average marginal effect on the treated cases after adoption"
    return "average treatment effect on the treated, if effects are alike over units and time"


def _regression(prepared: Prepared, options: DidSettings) -> Regression:
    def term(cells: pd.DataFrame) -> tuple[Floats, tuple[str, ...]]:
        return cells[["D"]].to_numpy(float), ("ATT",)

    return regression(prepared, options.form, ["D"], term)


def _linear(prepared: Prepared, options: DidSettings) -> Fitted:
    problem = _regression(prepared, options)
    fit = least_squares(problem)
    found = spread(problem, fit, options.vcov, np.eye(1))
    return Fitted(
        ("ATT",),
        fit.coefficients,
        np.sqrt(np.diag(found.covariance)),
        (*collinear_covariates(problem.covariate_names, fit.kept, options.form), *found.warnings),
        found.df,
    )


def _logit(prepared: Prepared, options: DidSettings) -> Fitted:
    problem = _regression(prepared, options)
    fit = logit(problem)
    widening = correction(cast(Convention, options.vcov), fit.counts)
    return Fitted(
        ("ATT", "log_odds"),
        np.array([fit.effect, fit.log_odds]),
        np.sqrt(widening * np.square(fit.influence).sum(axis=0)),
        collinear_covariates(problem.covariate_names, fit.kept, options.form),
    )


def _in_r(prepared: Prepared, options: DidSettings) -> Fitted:
    answer = r_engine.fit(
        "did.R", "did_fit", prepared, form=options.form, model=options.model, vcov=options.vcov
    )
    if answer["aliased"][0]:
        raise CollinearTermsError([0])
    names = (*STRUCTURE[options.form], *covariate_columns(prepared.frame, prepared.covariates)[1])
    told = tuple(f"R warns: {w}." for w in answer["warnings"])
    return Fitted(
        tuple(answer["term"]),
        answer["estimate"],
        answer["std_error"],
        (
            *collinear_covariates(names, answer["kept"], options.form),
            *told,
            *warn_no_jackknife(np.atleast_1d(answer["std_error"]), options.vcov),
        ),
        np.atleast_1d(np.asarray(answer["df"], float)),
    )


def _in_pyfixest(prepared: Prepared, options: DidSettings) -> Fitted:
    problem = _regression(prepared, options)
    return _by_feols(feols.by_pyfixest(problem, options.form, options.vcov))


def _in_r_fixest(prepared: Prepared, options: DidSettings) -> Fitted:
    return _by_feols(feols.by_r_fixest("did_fixest", prepared, options.form, options.vcov))


def _by_feols(found: feols.Found) -> Fitted:
    told = found.warnings
    return Fitted(("ATT",), found.estimates, found.std_errors, told, lacks=found.lacks)


LOGIT = {"model": "logit", "vcov": "CR1"}
"""The variant of a study, whatever variance its linear model has."""


class Did(Estimator):
    """The classic design: treated against comparators, before against after."""

    name = "did"
    label = "Classic difference-in-differences on cases"
    Settings = DidSettings
    citation = (
        "Angrist and Pischke (2009), Mostly Harmless Econometrics, ch. 5; stacked: Cengiz, Dube, "
        "Lindner and Zipperer (2019), Quarterly Journal of Economics 134(3); variance: Liang and "
        "Zeger (1986), Biometrika 73(1)"
    )
    engines = (
        Engine(
            name="python",
            fit=fit_python,
            packages=("numpy", "scipy", "pandas"),
            takes_cells=True,
        ),
        engine_pyfixest.engine(fit_pyfixest, linear_limit),
        Engine(
            name="r",
            fit=fit_r,
            requires=(R_BASE, R_SANDWICH),
            decides=(r_engine.R_CLUB_SANDWICH,),
            limits=lambda sample, options: r_engine.limits(sample, options.form, options.vcov),
        ),
        feols.r_fixest_engine(fit_r_fixest, linear_limit),
    )

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


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``did``."""
    register(Did())
