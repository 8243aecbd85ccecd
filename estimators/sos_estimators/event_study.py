"""Leads and lags relative to adoption, on cases: estimator ``event-study``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from sos_estimators.arrays import Floats
from sos_estimators.event_plan import EventStudySettings, Plan, plan, with_events
from sos_estimators.inference.results import FTest, JointTest
from sos_estimators.references import CENGIZ_2019, JACOBSON_1993
from sos_estimators.regression import engine_r
from sos_estimators.regression.design import Design, Fitted, JointHypothesis
from sos_estimators.regression.fit import (
    FITS,
    build_estimate,
    by_engine,
    design_on_cases,
    fit_design,
    four_engines,
)
from sos_estimators.regression.least_squares import side_by_side
from sos_estimators.sample.prepare import FORMS, RegressionSample, in_years, prepare
from sos_estimators.sample.warnings_text import weak_test
from sos_plugins import Estimate, Estimator, Sample, hookimpl
from sos_plugins.contract.columns import OVER_EVENT_TIMES
from sos_plugins.errors import EstimationError


def fit(sample: Sample, options: EventStudySettings, engine: str = "python") -> Estimate:
    """Estimate leads and lags by an engine: ``python``, ``pyfixest``, ``r`` or ``r-fixest``.

    Jacobson, LaLonde and Sullivan (1993), American Economic Review 83(4).

    Args:
        sample: The cases, or a compressed sample.
        options: Settings.
        engine: Which engine.

    Returns:
        The terms ``event=...`` and their mean over the lags ``overall``, in units of the value;
        the joint test of the leads in ``glance``.

    Raises:
        EstimationError: If the sample cannot give the effects; the sentence says why.
        EngineError: If the package or R fails.
    """
    prepared = with_events(prepare(sample, options.form, options.always_treated), options)
    prepared = in_years(prepared, options.years)
    chosen = plan(prepared, options)
    design = _design(prepared, chosen, options)
    fitted = fit_design(design, engine).without_zero_errors(design, prepared.frame["value"])
    leads = _joint_test(fitted, prepared, chosen)
    aht = options.leads_df == "AHT" and leads.p_value is not None
    return build_estimate(
        fitted,
        prepared,
        options,
        estimand=OVER_EVENT_TIMES,
        further={
            "form": options.form,
            "estimand_if": "effects are alike over units",
            "reference": options.reference,
            **_leads(chosen, leads, options),
        },
        after=(
            *_about_thin_events(chosen, options),
            *([f"No joint test of the leads: {leads.reason}."] if leads.reason else []),
            *(weak_test(leads.df_num, leads.df_den) if aht else ()),
        ),
        tidy=_with_reference(fitted.tidy(options.conf_level), chosen, options),
        covariance=_of_events(fitted),
    )


fit_python, fit_pyfixest, fit_r, fit_r_fixest = by_engine(fit, *FITS)


def _design(prepared: RegressionSample, chosen: Plan, options: EventStudySettings) -> Design:
    events = np.array(chosen.events)

    def dummies(cells: pd.DataFrame) -> tuple[Floats, tuple[str, ...]]:
        treated = (cells["treated"] == 1).to_numpy()
        event = cells["event"].to_numpy()
        columns = [(treated & (event == e)).astype(float) for e in chosen.events]
        return side_by_side(columns, len(cells)), tuple(_name(e) for e in chosen.events)

    return design_on_cases(
        prepared,
        options.form,
        ["treated", "event"],
        dummies,
        names=(*(_name(e) for e in chosen.events), "overall"),
        averages=np.column_stack([np.eye(len(events)), (events >= 0) / (events >= 0).sum()]),
        vcov=options.vcov,
        joint=JointHypothesis(
            np.flatnonzero(np.isin(events, chosen.tested)),
            "AHT" if options.leads_df == "AHT" else "Wald",
            _wald_df(prepared, options),
        ),
        ask_r=lambda engine: _ask_r(engine, prepared, options),
        not_identified=lambda places: _not_identified(
            prepared, [chosen.events[place] for place in places], options
        ),
    )


def _wald_df(prepared: RegressionSample, options: EventStudySettings) -> float:
    by_treated = options.leads_df == "treated-clusters"
    return float((len(prepared.treated_clusters) if by_treated else prepared.count("cluster")) - 1)


def _ask_r(
    engine: str, prepared: RegressionSample, options: EventStudySettings
) -> Mapping[str, Any]:
    shared = options.model_dump(include={"form", "reference", "lags_only"})
    if engine == "r-fixest":
        return engine_r.call(
            "did_fixest.R",
            "event_study_fixest",
            prepared,
            ["event"],
            vcov=engine_r.known_to_fixest(options.vcov),
            **shared,
        )
    return engine_r.call(
        "event_study.R",
        "event_study_fit",
        prepared,
        ["event"],
        min_lead_clusters=options.lead_clusters,
        vcov=options.vcov,
        aht=options.leads_df == "AHT",
        **shared,
    )


def _joint_test(fitted: Fitted, prepared: RegressionSample, chosen: Plan) -> JointTest:
    single = len(prepared.treated_clusters) == 1
    alone = "a single treated cluster cannot show how far leads differ by chance"
    untested = fitted.untested or (alone if single else "")
    test = fitted.joint or FTest(np.nan, np.nan)
    return JointTest.of(test, len(chosen.tested), prepared.count("cluster"), untested)


def _not_identified(
    prepared: RegressionSample, events: list[int], options: EventStudySettings
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


def _of_events(fitted: Fitted) -> pd.DataFrame:
    """Return the covariance of the event times, without their mean."""
    assert fitted.covariance is not None
    names = list(fitted.names[:-1])
    return pd.DataFrame(fitted.covariance[:-1, :-1], index=names, columns=names)


def _with_reference(tidy: pd.DataFrame, chosen: Plan, options: EventStudySettings) -> pd.DataFrame:
    """Put the reference, which is zero, where it belongs among the event times."""
    if options.lags_only:
        return tidy
    place = int(np.searchsorted(chosen.events, options.reference))
    zero = pd.DataFrame({"term": [_name(options.reference)], "estimate": [0.0]})
    zero = zero.reindex(columns=tidy.columns)
    return pd.concat([tidy[:place], zero, tidy[place:]], ignore_index=True)


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
    short_label = "Event study"
    Settings = EventStudySettings
    citation = (
        "Jacobson, LaLonde and Sullivan (1993), American Economic Review 83(4); stacked: Cengiz, "
        "Dube, Lindner and Zipperer (2019), Quarterly Journal of Economics 134(3)"
    )
    references = (
        JACOBSON_1993,
        CENGIZ_2019,
    )
    engines = four_engines(fit)
    family = "event-study"
    tests_leads = True
    event_study = True
    baseline = "last"

    def headline(self, options: EventStudySettings) -> str:  # noqa: ARG002
        """Return ``overall``, the mean of the lags."""
        return "overall"


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``event-study``."""
    register(EventStudy())
