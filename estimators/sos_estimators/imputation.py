"""Imputation of untreated outcomes: estimator ``imputation``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import Field

from sos_estimators.inference.results import FTest, JointTest, negligible, wald
from sos_estimators.regression import engine_pyfixest
from sos_estimators.regression.feols import FIXEST_STOPS, R_FIXEST
from sos_estimators.regression.least_squares import (
    CollinearTermsError,
    Convention,
    Floats,
    Regression,
    group_sums,
    least_squares,
)
from sos_estimators.staggered import engine_did2s, engine_r
from sos_estimators.staggered.averages import Averages, Effects, list_averages, list_effects
from sos_estimators.staggered.cohort_cells import Cells, make_cells
from sos_estimators.staggered.first_stage import Compared, first_stage, imputable
from sos_estimators.staggered.plugin import StaggeredEstimator, python_engine, r_engine
from sos_estimators.staggered.result import Found, build_estimate
from sos_estimators.staggered.saturated import scores_of
from sos_estimators.staggered.settings import ImputedSettings
from sos_plugins import Engine, Estimate, Estimator, Requirement, Sample, hookimpl
from sos_plugins.contract.interfaces import R_BASE

R_DIDIMPUTATION = Requirement("r", "didimputation", 'in R: install.packages("didimputation")')
VCOV = "conservative, effects centred by cohort and period, summed by cluster"


class ImputationSettings(ImputedSettings):
    """Arguments of ``imputation``."""

    leads: bool = Field(
        True,
        description="with aggregate=event: also test the time before treatment, by a regression "
        "of the untreated cases on leads",
    )
    leads_vcov: Convention = Field(
        "CR1", description="small-sample convention of the variance of the leads"
    )


@dataclass(frozen=True)
class Leads:
    """Coefficients of the time before treatment, among untreated cases.

    Attributes:
        reference: Event time that the others are compared with; None if no leads are asked for,
            or it is outside the window.
        events: Event times with a coefficient, (q,).
        estimates: (q,).
        scores: What each cluster adds to them; their cross products are the covariance. (G, q).
        warnings: What was left out.
    """

    reference: int | None
    events: tuple[int, ...]
    estimates: Floats
    scores: Floats
    warnings: tuple[str, ...] = ()

    @property
    def covariance(self) -> Floats:
        """Covariance of the leads, (q, q)."""
        return np.asarray(self.scores.T @ self.scores)

    @property
    def std_errors(self) -> Floats:
        """(q,)."""
        return np.asarray(np.sqrt((self.scores**2).sum(axis=0)))


def prepare(sample: Sample, options: ImputationSettings) -> tuple[Cells, Effects, Averages]:
    """Check and collapse a sample, leave out what cannot be imputed, list what to estimate."""
    cells = imputable(make_cells(sample, options, options.control), options.control)
    effects = list_effects(cells, leads=False, reference=False)
    return cells, effects, list_averages(effects, options)


def fit_python(sample: Sample, options: ImputationSettings) -> Estimate:
    """Estimate with numpy.

    Raises:
        DataError, EstimationError: As :func:`prepare`.
    """
    cells, effects, averages = prepare(sample, options)
    leads = fit_leads(cells, options) if wants_leads(options) else no_leads(cells.n_clusters)
    return assemble(impute(cells, effects, averages, options.control), leads, cells, options)


def impute(cells: Cells, effects: Effects, averages: Averages, control: Compared) -> Found:
    """Average the differences from what is imputed; their conservative errors.

    Equations 6 to 8 of Borusyak, Jaravel and Spiess (2024): effects are centred at the average of
    their cohort and period in which each unit and period counts by the square of its weight.
    """
    stage = first_stage(cells, control)
    weights = averages.cell_weights(effects, cells)
    estimates = weights.T @ stage.residual
    departure = stage.residual[:, None] - _centre(cells, effects, weights, stage.residual)
    factors = weights * departure
    factors += stage.influence(weights, cells.weight) * stage.residual[:, None]
    return Found.of(averages.names, estimates, group_sums(factors, cells.codes("cluster")))


def _centre(cells: Cells, effects: Effects, weights: Floats, residual: Floats) -> Floats:
    """The average effect of each cell's cohort and period, (m, J); zero outside an average."""
    unit_period = cells.codes("owner", "period")
    weight = group_sums(weights, unit_period)
    total = group_sums(weights * residual[:, None], unit_period)
    of_row = np.full(len(weight), -1, dtype=np.int64)
    of_row[unit_period] = effects.of_cell
    groups = of_row + 1
    numerator = group_sums(weight * total, groups)
    denominator = group_sums(weight**2, groups)
    mean = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
    return np.asarray(mean[effects.of_cell + 1])


def wants_leads(options: ImputationSettings) -> bool:
    """Whether leads are asked for."""
    return options.leads and options.aggregate == "event"


def no_leads(n_clusters: int, *warnings: str) -> Leads:
    """Make a result without leads."""
    return Leads(None, (), np.empty(0), np.empty((n_clusters, 0)), warnings)


def lead_events(cells: Cells, options: ImputationSettings) -> tuple[tuple[int, ...], int | None]:
    """List the leads to estimate, and the last one, which they are compared with."""
    table = cells.table[~cells.treated & (cells.table["cohort"] > 0)]
    events = sorted({int(e) for e in table["period"] - table["cohort"]})
    reference = events.pop()
    first = -np.inf if options.min_event is None else options.min_event
    return tuple(e for e in events if e >= first), reference if reference >= first else None


def _coefficients(problem: Regression, convention: Convention) -> tuple[Floats, Floats]:
    """Coefficients (q,) and what each cluster adds to them, (G, q)."""
    fit = least_squares(problem)
    return fit.coefficients, scores_of(fit, convention)


def fit_leads(
    cells: Cells,
    options: ImputationSettings,
    regress: Callable[[Regression, Convention], tuple[Floats, Floats]] = _coefficients,
) -> Leads:
    """Regress the untreated cases on leads beside unit effects, period effects and covariates.

    With an event window, earlier leads serve as reference too. Leads that are collinear are left
    out, the earliest last.
    """
    events, reference = lead_events(cells, options)
    untreated = cells.where(~cells.treated)
    told: list[str] = []
    while events:
        try:
            estimates, added = regress(_lead_regression(untreated, events), options.leads_vcov)
        except CollinearTermsError as error:
            gone = {events[i] for i in error.places}
            told.append(_about_collinear(gone))
            events = tuple(e for e in events if e not in gone)
        else:
            scores = np.zeros((cells.n_clusters, len(events)))
            scores[np.unique(cells.codes("cluster")[~cells.treated])] = added
            return Leads(reference, events, estimates, scores, tuple(told))
    return replace(no_leads(cells.n_clusters, *told), reference=reference)


def _about_collinear(events: Iterable[int]) -> str:
    return (
        f"The leads {', '.join(map(str, sorted(events)))} cannot be told from the effects of units "
        "and periods and the other leads, and are left out."
    )


def _lead_regression(untreated: Cells, events: tuple[int, ...]) -> Regression:
    table = untreated.table
    event = (table["period"] - table["cohort"]).where(table["cohort"] > 0).to_numpy(float)
    columns, names = untreated.covariate_columns()
    return Regression(
        value=untreated.value,
        weight=untreated.weight,
        n_cases=int(table["n_cases"].sum()),
        effects=(untreated.codes("owner"), untreated.codes("period")),
        cluster=untreated.codes("cluster"),
        covariates=columns,
        covariate_names=names,
        terms=np.asfortranarray((event[:, None] == np.array(events)).astype(float)),
        term_names=tuple(f"event={e}" for e in events),
    )


def assemble(found: Found, leads: Leads, cells: Cells, options: ImputationSettings) -> Estimate:
    """Put the averages and the leads together, the overall effect first."""
    reference = () if leads.reference is None else (leads.reference,)
    before = tuple(f"event={e}" for e in (*leads.events, *reference))
    zeros = np.zeros((cells.n_clusters, len(reference)))
    together = Found(
        (*found.names[:1], *before, *found.names[1:]),
        _second(found.estimates, np.append(leads.estimates, zeros[0])),
        _second(found.std_errors, np.append(leads.std_errors, zeros[0])),
        None
        if found.scores is None
        else _second(found.scores, np.column_stack([leads.scores, zeros])),
        (*found.warnings, *leads.warnings),
    )
    further = _joint_test(leads, cells) if wants_leads(options) else None
    return build_estimate(together, cells, options, vcov=VCOV, df=np.inf, further=further)


def _second(values: Floats, inserted: Floats) -> Floats:
    """Insert values after the first in the last dimension."""
    return np.concatenate([values[..., :1], inserted, values[..., 1:]], axis=-1)


def _joint_test(leads: Leads, cells: Cells) -> dict[str, Any]:
    n_clusters = int(cells.table.loc[~cells.treated, "cluster"].nunique())
    statistic = wald(leads.estimates, leads.covariance, n_clusters)
    if (leads.std_errors <= negligible(cells.value)).any():
        statistic = float("nan")
    test = JointTest.of(FTest(statistic, n_clusters - 1), len(leads.events), n_clusters)
    return {
        "leads_tested": list(leads.events),
        "leads_statistic": test.statistic,
        "leads_df_num": test.df_num or None,
        "leads_df_den": test.df_den if test.df_num else None,
        "leads_p_value": test.p_value,
    }


def fit_pyfixest(sample: Sample, options: ImputationSettings) -> Estimate:
    """Estimate with ``did2s`` of pyfixest, the leads with its ``feols``; without standard errors.

    The two-stage estimates are those of the imputation; the errors are not.

    Raises:
        EngineError: If pyfixest fails.
        DataError, EstimationError: As :func:`prepare`.
    """
    cells, effects, averages = prepare(sample, options)
    found = replace(
        engine_did2s.two_stage(cells, effects, averages),
        std_errors=np.full(len(averages.names), np.nan),
    )
    leads = no_leads(cells.n_clusters)
    if wants_leads(options):
        leads = fit_leads(cells, options, _coefficients_by_pyfixest)
    return assemble(found, leads, cells, options).without_std_errors(
        "pyfixest has no conservative errors of the imputation"
    )


def _coefficients_by_pyfixest(problem: Regression, convention: Convention) -> tuple[Floats, Floats]:
    coefficients = engine_pyfixest.regress(problem, convention).coefficients
    return coefficients, np.full((problem.n_clusters, len(coefficients)), np.nan)


def fit_r(sample: Sample, options: ImputationSettings) -> Estimate:
    """Estimate with ``imputation.R``.

    Raises:
        EngineError: If R fails.
        DataError, EstimationError: As :func:`prepare`.
    """
    cells, _, averages = prepare(sample, options)
    found = engine_r.call(
        "imputation.R",
        "imputation",
        cells,
        options,
        control=options.control,
        leads=wants_leads(options),
        leads_vcov=options.leads_vcov,
    )
    leads = (
        _leads_of_r(found, cells, options) if wants_leads(options) else no_leads(cells.n_clusters)
    )
    return assemble(engine_r.in_order(found, averages.names), leads, cells, options)


def fit_didimputation(sample: Sample, options: ImputationSettings) -> Estimate:
    """Estimate with ``did_imputation`` of the R package ``didimputation``.

    Raises:
        EngineError: If R fails.
        DataError, EstimationError: As :func:`prepare`.
    """
    cells, _, averages = prepare(sample, options)
    found = engine_r.call("imputation_didimputation.R", "imputation_didimputation", cells, options)
    return assemble(
        engine_r.in_order(found, averages.names), no_leads(cells.n_clusters), cells, options
    )


def _leads_of_r(found: dict[str, Any], cells: Cells, options: ImputationSettings) -> Leads:
    told = []
    gone = [int(e) for e in np.atleast_1d(found.get("collinear", ()))]
    if gone:
        told.append(_about_collinear(gone))
    events = tuple(int(e) for e in found["lead"])
    reference = lead_events(cells, options)[1]
    if not events:
        return replace(no_leads(cells.n_clusters, *told), reference=reference)
    scores = np.zeros((cells.n_clusters, len(events)))
    clusters = np.asarray(found["lead_cluster"], dtype=int) - 1
    scores[clusters] = engine_r.rows(found["lead_scores"], len(events))
    return Leads(
        reference,
        events,
        np.asarray(found["lead_estimate"], dtype=float),
        scores,
        tuple(told),
    )


def didimputation_limits(sample: Sample, options: ImputationSettings) -> str | None:
    """Say what the package ``didimputation`` cannot do of what is asked."""
    if sample.frame["weight"].nunique() > 1:
        return "didimputation 0.5.0 squares weights in its standard errors"
    if not sample.is_panel:
        return "didimputation centres effects case by case, which differs on cross-sections"
    if options.anticipation:
        return "didimputation knows no anticipation"
    if options.control != "notyettreated":
        return "didimputation compares with all cases that are not treated yet"
    if wants_leads(options):
        return "didimputation has another variance of the leads; set leads=false"
    return None


class Imputation(StaggeredEstimator):
    """What the treated would have been is imputed from the cases not treated yet."""

    name = "imputation"
    label = "Imputation of untreated outcomes (Borusyak, Jaravel and Spiess 2024)"
    Settings = ImputationSettings
    citation = (
        "Borusyak, K., Jaravel, X. and Spiess, J. (2024), Revisiting event-study designs: robust "
        "and efficient estimation, Review of Economic Studies 91(6), 3253-3285"
    )
    engines = (
        python_engine(fit_python),
        engine_did2s.engine(fit_pyfixest, prepare),
        r_engine(fit_r),
        Engine(
            name="r-didimputation",
            fit=fit_didimputation,
            requires=(R_BASE, R_DIDIMPUTATION),
            limits=didimputation_limits,
            tolerance_estimate=FIXEST_STOPS,
            tolerance_std_error=FIXEST_STOPS,
            decides=(R_FIXEST,),
        ),
    )


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``imputation``."""
    register(Imputation())
