"""Leads and lags relative to adoption, on cases: estimator ``event-study``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from sos_estimators.arrays import Floats
from sos_estimators.event_plan import (
    EventStudySettings,
    Plan,
    plan,
    with_events,
)
from sos_estimators.inference.aht import approximate_hotelling
from sos_estimators.inference.cluster_products import by_cluster
from sos_estimators.inference.results import (
    FTest,
    JointTest,
    Own,
    drop_zero_errors,
    glance,
    tidy_rows,
    wald,
)
from sos_estimators.inference.vcov import spread, warn_no_jackknife
from sos_estimators.regression import engine_pyfixest, feols
from sos_estimators.regression import engine_r as r_engine
from sos_estimators.regression.design_matrix import covariate_columns, regression
from sos_estimators.regression.least_squares import (
    CollinearTermsError,
    Regression,
    least_squares,
    side_by_side,
)
from sos_estimators.sample.prepare import FORMS, Prepared, prepare
from sos_estimators.sample.warnings_text import (
    collinear_covariates,
    few_clusters,
    few_df,
    weak_test,
)
from sos_plugins import Engine, Estimate, Estimator, Sample, hookimpl
from sos_plugins.contract.interfaces import R_BASE, R_SANDWICH, no_limits
from sos_plugins.errors import EngineError, EstimationError


@dataclass(frozen=True)
class Fitted:
    """What an engine found.

    Attributes:
        estimates: By event time, (p,).
        std_errors: Likewise.
        overall: Mean of the lags and its standard error.
        leads: Statistic of the tested leads and its degrees of freedom.
        warnings: From this engine.
        covariance: Of the estimates, (p, p).
        df: Degrees of freedom of the estimates and of their mean over the lags, (p + 1,).
        untested: Why this engine does not test the leads; empty if it does.
        lacks: Why there are no errors; empty if there are.
    """

    estimates: Floats
    std_errors: Floats
    overall: tuple[float, float]
    leads: FTest
    warnings: tuple[str, ...]
    covariance: Floats
    df: Floats
    untested: str = ""
    lacks: str = ""


def fit_python(sample: Sample, options: EventStudySettings) -> Estimate:
    """Fit with numpy."""
    return _fit(sample, options, _linear)


def fit_r(sample: Sample, options: EventStudySettings) -> Estimate:
    """Fit with ``lm`` of base R, ``sandwich``, and ``clubSandwich`` for CR2-cases."""
    return _fit(sample, options, _in_r)


def fit_pyfixest(sample: Sample, options: EventStudySettings) -> Estimate:
    """Fit with ``feols`` of pyfixest; without errors where it has no such variance."""
    return _fit(sample, options, _in_pyfixest)


def fit_r_fixest(sample: Sample, options: EventStudySettings) -> Estimate:
    """Fit with ``feols`` of the R package ``fixest``; likewise."""
    return _fit(sample, options, _in_r_fixest)


def _fit(
    sample: Sample,
    options: EventStudySettings,
    how: Callable[[Prepared, Plan, EventStudySettings], Fitted],
) -> Estimate:
    prepared = with_events(prepare(sample, options.form, options.always_treated), options)
    chosen = plan(prepared, options)
    try:
        found = how(prepared, chosen, options)
    except CollinearTermsError as error:
        raise _not_identified(prepared, [chosen.events[i] for i in error.places], options) from None
    fitted, about_errors = _with_real_errors(found, prepared, chosen, options)
    leads = _joint_test(fitted, prepared, chosen)
    facts = glance(
        prepared,
        estimand="effect on the treated by period since adoption, if alike over units",
        vcov=options.vcov,
        conf_level=options.conf_level,
    )
    told = (
        *prepared.warnings,
        *few_clusters(prepared, options.few_clusters, options.vcov),
        *few_df(
            _names(chosen),
            fitted.df,
            options.vcov,
            np.append(fitted.std_errors, fitted.overall[1]),
        ),
        *about_errors,
        *fitted.warnings,
        *_about_thin_events(chosen, options),
        *([f"No joint test of the leads: {leads.reason}."] if leads.reason else []),
        *(weak_test(leads.df_num, leads.df_den) if _aht(leads, options) else ()),
    )
    estimate = Estimate(
        _tidy(chosen.events, fitted, options),
        {
            **facts,
            "form": options.form,
            "reference": options.reference,
            **_leads(chosen, leads, options),
        },
        warnings=told,
        covariance=_named(fitted.covariance, chosen.events),
    )
    return estimate.without_std_errors(fitted.lacks) if fitted.lacks else estimate


def _regression(prepared: Prepared, chosen: Plan, options: EventStudySettings) -> Regression:
    def dummies(cells: pd.DataFrame) -> tuple[Floats, tuple[str, ...]]:
        treated = (cells["treated"] == 1).to_numpy()
        event = cells["event"].to_numpy()
        columns = [(treated & (event == e)).astype(float) for e in chosen.events]
        return side_by_side(columns, len(cells)), tuple(_name(e) for e in chosen.events)

    return regression(prepared, options.form, ["treated", "event"], dummies)


def _linear(prepared: Prepared, chosen: Plan, options: EventStudySettings) -> Fitted:
    problem = _regression(prepared, chosen, options)
    fit = least_squares(problem)
    leads = np.flatnonzero(np.isin(chosen.events, chosen.tested))
    mean = _with_mean(chosen)[:, -1]
    by_aht = len(leads) > 0 and options.leads_df == "AHT"
    clusters = by_cluster(problem) if by_aht else None
    combinations = _with_mean(chosen)
    found = spread(problem, fit, options.vcov, combinations, clusters)
    variance = found.covariance[:-1, :-1]
    if not len(leads):
        test = FTest(float("nan"), float("nan"))
    elif clusters is not None:
        test = approximate_hotelling(clusters, np.eye(len(mean))[leads])
    else:
        df = _wald_df(prepared, options)
        square = wald(fit.coefficients[leads], variance[np.ix_(leads, leads)], problem.n_clusters)
        test = FTest(square, df)
    return Fitted(
        estimates=fit.coefficients,
        std_errors=np.sqrt(np.diag(variance)),
        overall=(float(mean @ fit.coefficients), float(np.sqrt(found.covariance[-1, -1]))),
        leads=test,
        warnings=(
            *collinear_covariates(problem.covariate_names, fit.kept, options.form),
            *found.warnings,
        ),
        covariance=variance,
        df=found.df,
    )


def _with_mean(chosen: Plan) -> Floats:
    """Each event time, and the mean of the lags, as combinations of the terms, (p, p + 1)."""
    lags = np.array(chosen.events) >= 0
    return np.column_stack([np.eye(len(lags)), lags / lags.sum()])


def _wald_df(prepared: Prepared, options: EventStudySettings) -> float:
    by_treated = options.leads_df == "treated-clusters"
    return float((len(prepared.treated_clusters) if by_treated else prepared.count("cluster")) - 1)


def _in_r(prepared: Prepared, chosen: Plan, options: EventStudySettings) -> Fitted:
    answer = r_engine.fit(
        "event_study.R",
        "event_study_fit",
        prepared,
        ["event"],
        form=options.form,
        reference=options.reference,
        lags_only=options.lags_only,
        min_lead_clusters=options.lead_clusters,
        vcov=options.vcov,
        aht=options.leads_df == "AHT",
    )
    if answer["aliased"][0]:
        raise CollinearTermsError([chosen.events.index(int(e)) for e in answer["collinear"]])
    if [int(e) for e in answer["event"]] != list(chosen.events):
        raise EngineError(f"R estimated other event times than asked for: {answer['event']}.")
    names = covariate_columns(prepared.frame, prepared.covariates)[1]
    told = tuple(f"R warns: {w}." for w in answer["warnings"])
    statistic, df = (float(x) for x in answer["leads"])
    return Fitted(
        estimates=answer["estimate"],
        std_errors=answer["std_error"],
        overall=(float(answer["overall"][0]), float(answer["overall"][1])),
        leads=FTest(statistic, df if options.leads_df == "AHT" else _wald_df(prepared, options)),
        warnings=(
            *collinear_covariates(names, answer["kept"], options.form),
            *told,
            *warn_no_jackknife(np.append(answer["std_error"], answer["overall"][1]), options.vcov),
        ),
        df=np.asarray(answer["df"], float),
        covariance=np.asarray(answer["covariance"], float).reshape(len(chosen.events), -1),
    )


def _in_pyfixest(prepared: Prepared, chosen: Plan, options: EventStudySettings) -> Fitted:
    problem = _regression(prepared, chosen, options)
    found = feols.by_pyfixest(problem, options.form, options.vcov)
    return _by_feols(found, prepared, chosen, options)


def _in_r_fixest(prepared: Prepared, chosen: Plan, options: EventStudySettings) -> Fitted:
    found = feols.by_r_fixest(
        "event_study_fixest",
        prepared,
        options.form,
        options.vcov,
        ["event"],
        reference=options.reference,
        lags_only=options.lags_only,
    )
    return _by_feols(found, prepared, chosen, options)


def _by_feols(
    found: feols.Found, prepared: Prepared, chosen: Plan, options: EventStudySettings
) -> Fitted:
    """Add the mean of the lags, and Wald's test where it is asked for."""
    leads = np.flatnonzero(np.isin(chosen.events, chosen.tested))
    lags = np.array(chosen.events) >= 0
    mean = lags / lags.sum()
    variance = found.covariance
    square, untested = float("nan"), ""
    if options.leads_df == "AHT":
        untested = "feols has no AHT test"
    elif found.lacks:
        untested = found.lacks
    else:
        of_leads = variance[np.ix_(leads, leads)]
        square = wald(found.estimates[leads], of_leads, prepared.count("cluster"))
    return Fitted(
        estimates=found.estimates,
        std_errors=found.std_errors,
        overall=(float(mean @ found.estimates), float(np.sqrt(mean @ variance @ mean))),
        leads=FTest(square, _wald_df(prepared, options)),
        warnings=found.warnings,
        covariance=variance,
        df=np.full(len(mean) + 1, prepared.count("cluster") - 1.0),
        untested=untested,
        lacks=found.lacks,
    )


def _with_real_errors(
    fitted: Fitted, prepared: Prepared, chosen: Plan, options: EventStudySettings
) -> tuple[Fitted, tuple[str, ...]]:
    """Make errors that are zero but for rounding missing, and a joint test that needs them."""
    together = np.append(fitted.std_errors, fitted.overall[1])
    errors, told = drop_zero_errors(
        together,
        _names(chosen),
        prepared.frame["value"],
        lambda: Own.of(_regression(prepared, chosen, options), _with_mean(chosen)),
    )
    of_leads = errors[:-1][np.isin(chosen.events, chosen.tested)]
    overall = (fitted.overall[0], float(errors[-1]))
    found = replace(fitted, std_errors=errors[:-1], overall=overall)
    if told and np.isnan(of_leads).any():
        untested = found.untested or "some have no standard error"
        found = replace(found, leads=FTest(float("nan"), fitted.leads.df), untested=untested)
    return found, told


def _joint_test(fitted: Fitted, prepared: Prepared, chosen: Plan) -> JointTest:
    single = len(prepared.treated_clusters) == 1
    alone = "a single treated cluster cannot show how far leads differ by chance"
    untested = fitted.untested or (alone if single else "")
    return JointTest.of(fitted.leads, len(chosen.tested), prepared.count("cluster"), untested)


def _aht(test: JointTest, options: EventStudySettings) -> bool:
    return options.leads_df == "AHT" and test.p_value is not None


def _not_identified(
    prepared: Prepared, events: list[int], options: EventStudySettings
) -> EstimationError:
    what = (
        f"The event times {', '.join(map(str, events))} cannot be told from {FORMS[options.form]}, "
        "the covariates and the other event times"
    )
    if (prepared.frame["treated"] == 1).all():
        return EstimationError(
            f"{what}: no unit is never treated, and then a trend in event time is one of units and "
            "periods too. Set lags_only = true, or count event times as one with min_event and "
            "max_event; or take imputation, two-stage or callaway-santanna with control = "
            "'notyettreated', which compare with units not treated yet only."
        )
    return EstimationError(
        f"{what}. Bin the ends with min_event and max_event, or see that comparators have cases in "
        "the same periods."
    )


def _name(event: int) -> str:
    return f"event={event}"


def _names(chosen: Plan) -> tuple[str, ...]:
    return (*(_name(e) for e in chosen.events), "overall")


def _named(covariance: Floats, events: tuple[int, ...]) -> pd.DataFrame:
    names = [_name(e) for e in events]
    return pd.DataFrame(covariance, index=names, columns=names)


def _tidy(events: tuple[int, ...], fitted: Fitted, options: EventStudySettings) -> pd.DataFrame:
    reference = [] if options.lags_only else [options.reference]
    rows = tidy_rows(
        [*(_name(e) for e in events), *(_name(e) for e in reference), "overall"],
        np.concatenate([fitted.estimates, np.zeros(len(reference)), fitted.overall[:1]]),
        np.concatenate([fitted.std_errors, np.full(len(reference), np.nan), fitted.overall[1:]]),
        df=np.concatenate([fitted.df[:-1], np.full(len(reference), 1.0), fitted.df[-1:]]),
        conf_level=options.conf_level,
    )
    order = np.argsort([*events, *reference, np.inf], kind="stable")
    return rows.iloc[order].reset_index(drop=True)


def _about_thin_events(chosen: Plan, options: EventStudySettings) -> tuple[str, ...]:
    if not chosen.thin:
        return ()
    return (
        f"Fewer than {options.lead_clusters} treated clusters have the event times "
        f"{', '.join(map(str, chosen.thin))}: their standard errors are rough, and the joint "
        "test leaves leads among them out.",
    )


def _leads(chosen: Plan, test: JointTest, options: EventStudySettings) -> dict[str, Any]:
    return {
        "leads_test": "AHT" if options.leads_df == "AHT" else "Wald",
        "leads_tested": list(chosen.tested),
        "leads_statistic": test.statistic,
        "leads_df_num": test.df_num or None,
        "leads_df_den": test.df_den if test.df_num else None,
        "leads_p_value": test.p_value,
    }


class EventStudy(Estimator):
    """Effects by period since adoption; the leads show whether trends were parallel."""

    name = "event-study"
    label = "Event study on cases: leads and lags"
    Settings = EventStudySettings
    citation = (
        "Jacobson, LaLonde and Sullivan (1993), American Economic Review 83(4); stacked: Cengiz, "
        "Dube, Lindner and Zipperer (2019), Quarterly Journal of Economics 134(3)"
    )
    engines = (
        Engine(
            name="python",
            fit=fit_python,
            packages=("numpy", "scipy", "pandas"),
            takes_cells=True,
        ),
        engine_pyfixest.engine(fit_pyfixest),
        Engine(
            name="r",
            fit=fit_r,
            requires=(R_BASE, R_SANDWICH),
            decides=(r_engine.R_CLUB_SANDWICH,),
            limits=lambda sample, options: r_engine.limits(sample, options.form, options.vcov),
        ),
        feols.r_fixest_engine(fit_r_fixest, no_limits),
    )

    family = "event-study"
    tests_leads = True

    def headline(self, options: EventStudySettings) -> str:  # noqa: ARG002
        """Return ``overall``, the mean of the lags."""
        return "overall"


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``event-study``."""
    register(EventStudy())
