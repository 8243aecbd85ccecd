"""Weighted stacked difference-in-differences: estimator ``stacked``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from sos_estimators.arrays import Floats, Ints
from sos_estimators.regression import engine_pyfixest
from sos_estimators.regression.design_matrix import codes_of, covariate_columns
from sos_estimators.regression.least_squares import (
    CollinearTermsError,
    Convention,
    Regression,
    least_squares,
)
from sos_estimators.sample.adoption import numbers
from sos_estimators.staggered import engine_r
from sos_estimators.staggered.cohort_cells import Cells, make_cells
from sos_estimators.staggered.plugin import StaggeredEstimator, python_engine, r_engine
from sos_estimators.staggered.result import Found, build_estimate
from sos_estimators.staggered.saturated import collinear, scores_of
from sos_estimators.staggered.settings import AggregateSettings
from sos_plugins import Estimate, Estimator, Sample, hookimpl
from sos_plugins.errors import EstimationError

BY_COHORT = ("cohort", "calendar", "group-time")
"""Aggregations of a regression of its own for each sub-experiment."""
ESTIMAND = "average over event times of the effect on the cohorts with a whole window"


class StackedSettings(AggregateSettings):
    """Arguments of ``stacked``."""

    before: int = Field(2, ge=1, description="periods before adoption in each sub-experiment")
    after: int = Field(
        1, ge=0, description="periods after the first treated one in each sub-experiment"
    )
    control: Literal["notyettreated", "nevertreated"] = Field(
        "notyettreated",
        description="who is compared with: units not treated (nor anticipating) by the end of the "
        "sub-experiment, or units never treated",
    )
    weights: Literal["corrective", "none"] = Field(
        "corrective",
        description="corrective: comparison cases of each sub-experiment count by its share of "
        "the treated (Wing, Freedman and Hollingsworth 2024); none: all count alike",
    )
    vcov: Convention = Field(
        "CR1", description="small-sample convention of the variance clustered by 'cluster'"
    )

    @property
    def reference(self) -> int:
        """Event time that the others are compared with."""
        return -1 - self.anticipation

    @model_validator(mode="after")
    def _window_holds_the_reference(self) -> StackedSettings:
        if -self.before > self.reference:
            raise ValueError(
                f"before = {self.before} leaves no period before anticipation = "
                f"{self.anticipation}; set before to {-self.reference} or more"
            )
        return self


@dataclass(frozen=True)
class Stack:
    """Sub-experiments on top of each other.

    Attributes:
        table: The cells' columns, once for each sub-experiment they serve, and ``sub`` (its
            cohort), ``event``, ``D`` (1 for its cohort) and ``stacked`` (weight times correction).
        cells: The cells used.
        events: Event times, in order.
    """

    table: pd.DataFrame
    cells: Cells
    events: tuple[int, ...]


def stack(sample: Sample, options: StackedSettings) -> Stack:
    """Make one sub-experiment of each cohort with a whole window and put them together.

    Raises:
        DataError: If the sample contradicts itself.
        EstimationError: If no cohort has a whole window with comparison cases.
    """
    cells = make_cells(sample, options, options.control)
    cohorts = _whole(cells, options)
    parts = [_sub_experiment(cells.frame, g, options) for g in cohorts]
    table = pd.concat(parts)
    used = np.isin(np.arange(len(cells.frame)), table.index.to_numpy())
    left_out = sorted(set(cells.frame["cohort"]) - set(cohorts) - {0})
    told = []
    if left_out:
        told.append(
            f"The cohorts {numbers(left_out)} have no sub-experiment: their window of "
            f"{options.before} periods before and {options.after} after the first treated one is "
            "not whole, or has periods without cases to compare with. They may serve for "
            "comparison."
        )
    table = _corrected(table.reset_index(drop=True), options)
    events = tuple(int(e) for e in np.unique(table["event"]))
    return Stack(table, cells.where(used, *told), events)


def _whole(cells: Cells, options: StackedSettings) -> list[int]:
    """Cohorts of which treated and comparison cases are there in every period of the window."""
    n_periods = options.before + options.after + 1
    found = []
    for g in np.unique(cells.frame["cohort"]):
        if g == 0:
            continue
        sub = _sub_experiment(cells.frame, int(g), options)
        seen = sub.groupby("D")["event"].nunique()
        if seen.get(1, 0) == n_periods and seen.get(0, 0) == n_periods:
            found.append(int(g))
    if not found:
        raise EstimationError(
            f"No cohort has treated and comparison cases in all of {options.before} periods before "
            f"its first treated one and {options.after} after it. Set before or after to less."
        )
    return found


def _sub_experiment(table: pd.DataFrame, cohort: int, options: StackedSettings) -> pd.DataFrame:
    event = table["period"] - cohort
    treated = table["cohort"] == cohort
    clean = table["cohort"] == 0
    if options.control == "notyettreated":
        clean |= table["cohort"] - options.anticipation > cohort + options.after
    kept = event.between(-options.before, options.after) & (treated | clean)
    return table[kept].assign(sub=cohort, event=event[kept], D=treated[kept].astype(int))


def _corrected(table: pd.DataFrame, options: StackedSettings) -> pd.DataFrame:
    """Weight comparison cases so that sub-experiments have the shares they have of the treated.

    Wing, Freedman and Hollingsworth (2024), by event time and by the weight of the cases.
    """
    if options.weights == "none":
        return table.assign(stacked=table["weight"])
    by_sub = table.groupby(["D", "event", "sub"])["weight"].transform("sum")
    by_event = table.groupby(["D", "event"])["weight"].transform("sum")
    share = by_sub / by_event
    treated = table[table["D"] == 1].assign(share=share)
    of_treated = treated.groupby(["event", "sub"])["share"].first().rename("of_treated")
    joined = table.join(of_treated, on=["event", "sub"])
    correction = np.where(table["D"] == 1, 1.0, joined["of_treated"] / share)
    return table.assign(stacked=table["weight"] * correction)


@dataclass(frozen=True)
class Products:
    """Coefficients of the products of event time and cohort membership.

    Attributes:
        pairs: Cohort (0: one coefficient for all) and event time of each, (q, 2).
        estimates: (q,).
        scores: What each cluster adds to them, (G, q); None where an engine does not give it.
        warnings: What was left out.
        covariance: Of the coefficients, (q, q), where the scores are not there to make it of.
    """

    pairs: Ints
    estimates: Floats
    scores: Floats | None
    warnings: tuple[str, ...] = ()
    covariance: Floats | None = None

    def errors(self, shares: Floats) -> Floats:
        """Standard errors of sums of the coefficients that count by ``shares`` (J, q), (J,)."""
        if self.scores is not None:
            return np.asarray(np.sqrt(((self.scores @ shares.T) ** 2).sum(axis=0)))
        assert self.covariance is not None
        variances = np.einsum("jp,pq,jq->j", shares, self.covariance, shares)
        return np.asarray(np.sqrt(np.maximum(variances, 0.0)))


def list_pairs(stacked: Stack, reference: int, *, by_cohort: bool) -> Ints:
    """List cohort (0: all) and event time of each product, without the reference, (q, 2)."""
    cohorts = np.unique(stacked.table["sub"]) if by_cohort else [0]
    events = [e for e in stacked.events if e != reference]
    return np.array([(g, e) for g in cohorts for e in events], dtype=np.int64)


def regression(
    stacked: Stack, options: StackedSettings, *, by_cohort: bool
) -> tuple[Regression, Ints]:
    """Set up the regression on event time, membership and their products, and say which these are.

    The products are of all sub-experiments together, or of each of them.
    """
    table = stacked.table
    columns, names = covariate_columns(table, stacked.cells.covariates)
    pairs = list_pairs(stacked, options.reference, by_cohort=by_cohort)
    sub, event, treated = (table[c].to_numpy() for c in ("sub", "event", "D"))
    chosen = (event[:, None] == pairs[:, 1]) & (treated[:, None] == 1)
    if by_cohort:
        chosen &= sub[:, None] == pairs[:, 0]
    within = ["sub"] if by_cohort else []
    problem = Regression(
        value=table["value"].to_numpy(float),
        weight=table["stacked"].to_numpy(float),
        n_cases=int(table["n_cases"].sum()),
        effects=(codes_of(table, ["D", *within]), codes_of(table, ["event", *within])),
        cluster=codes_of(table, ["cluster"]),
        covariates=columns,
        covariate_names=names,
        terms=np.asfortranarray(chosen.astype(float)),
        term_names=tuple(f"{g},{e}" for g, e in pairs),
    )
    return problem, pairs


def regress(stacked: Stack, options: StackedSettings, *, by_cohort: bool) -> Products:
    """Fit the regression with numpy.

    Raises:
        EstimationError: If an effect cannot be told from the rest.
    """
    problem, pairs = regression(stacked, options, by_cohort=by_cohort)
    try:
        fit = least_squares(problem)
    except CollinearTermsError:
        raise _not_identified() from None
    scores = scores_of(fit, options.vcov)
    return Products(pairs, fit.coefficients, scores, _dropped(problem.covariate_names, fit.kept))


def _dropped(names: Sequence[str], kept: Iterable[bool]) -> tuple[str, ...]:
    return collinear(", ".join(n for n, k in zip(names, kept, strict=False) if not k))


def fit_python(sample: Sample, options: StackedSettings) -> Estimate:
    """Estimate with numpy.

    Raises:
        DataError, EstimationError: As :func:`stack` and :func:`regress`.
    """
    stacked = stack(sample, options)
    return _estimate(stacked, lambda by: regress(stacked, options, by_cohort=by), options)


def fit_pyfixest(sample: Sample, options: StackedSettings) -> Estimate:
    """Estimate with ``feols`` of pyfixest.

    Raises:
        EngineError: If pyfixest fails.
        DataError, EstimationError: As :func:`fit_python`.
    """
    stacked = stack(sample, options)
    return _estimate(
        stacked, lambda by: _regress_in_pyfixest(stacked, options, by_cohort=by), options
    )


def _regress_in_pyfixest(stacked: Stack, options: StackedSettings, *, by_cohort: bool) -> Products:
    problem, pairs = regression(stacked, options, by_cohort=by_cohort)
    try:
        fit = engine_pyfixest.regress(problem, options.vcov)
    except CollinearTermsError:
        raise _not_identified() from None
    dropped = _dropped(problem.covariate_names, fit.kept)
    return Products(pairs, fit.coefficients, None, dropped, fit.covariance)


def pyfixest_limits(sample: Sample, options: StackedSettings) -> str | None:  # noqa: ARG001
    """Say what pyfixest cannot do of what is asked."""
    separate = options.aggregate in BY_COHORT
    return engine_pyfixest.lacks(options.vcov, separate=separate) or None


def fit_r(sample: Sample, options: StackedSettings) -> Estimate:
    """Estimate with ``stacked.R``: ``lm`` and ``sandwich``.

    Raises:
        EngineError: If R fails.
        DataError, EstimationError: As :func:`fit_python`.
    """
    stacked = stack(sample, options)
    return _estimate(stacked, lambda by: _regress_in_r(stacked, options, by_cohort=by), options)


def _regress_in_r(stacked: Stack, options: StackedSettings, *, by_cohort: bool) -> Products:
    found = engine_r.call(
        "stacked.R",
        "stacked",
        stacked.cells,
        options,
        leave_out=("aggregate",),
        cohorts=[int(g) for g in np.unique(stacked.table["sub"])],
        by_cohort=by_cohort,
        **options.model_dump(include={"before", "after", "control", "weights", "vcov"}),
    )
    if found["aliased"][0]:
        raise _not_identified()
    names = covariate_columns(stacked.table, stacked.cells.covariates)[1]
    dropped = _dropped(names, found["kept"])
    pairs = np.column_stack([found["cohort"], found["event"]]).astype(np.int64)
    return Products(
        pairs,
        np.asarray(found["estimate"], dtype=float),
        engine_r.rows(found["scores"], len(pairs)),
        (*dropped, *engine_r.warnings(found)),
    )


def _not_identified() -> EstimationError:
    return EstimationError(
        "The effects cannot be told from those of event times and the covariates: leave covariates "
        "out."
    )


def _estimate(
    stacked: Stack, products: Callable[[bool], Products], options: StackedSettings
) -> Estimate:
    """Put the overall effect before what ``aggregate`` asks for."""
    together = products(False)
    parts = [(together, _together(stacked, together, options))]
    if options.aggregate in BY_COHORT:
        apart = products(True)
        parts.append((apart, _apart(stacked, apart, options)))
    weights = [(found, np.array(list(shares.values()))) for found, shares in parts]
    scores = [found.scores @ share.T for found, share in weights if found.scores is not None]
    cells = stacked.cells
    return build_estimate(
        Found(
            tuple(name for _, shares in parts for name in shares),
            np.concatenate([share @ found.estimates for found, share in weights]),
            np.concatenate([found.errors(share) for found, share in weights]),
            np.column_stack(scores) if scores else None,
            tuple(dict.fromkeys(told for found, _ in parts for told in found.warnings)),
        ),
        cells,
        options,
        vcov=options.vcov,
        df=cells.n_clusters - 1,
        further={"estimand": ESTIMAND},
    )


Shares = dict[str, Floats]
"""How much each product counts in each average, (q,), by the name of the average."""


def _together(stacked: Stack, products: Products, options: StackedSettings) -> Shares:
    """The mean over event times from treatment on, and the effects by event time."""
    event = products.pairs[:, 1]
    shares = {"overall": (event >= 0) / (options.after + 1)}
    if options.aggregate == "event":
        shares |= {f"event={e}": (event == e).astype(float) for e in stacked.events}
    return shares


def _apart(stacked: Stack, products: Products, options: StackedSettings) -> Shares:
    """Effects of each sub-experiment, or their averages by cohort or period.

    In a cohort all event times count alike, in a period cohorts by the weight of their cases.
    """
    cohort, event = products.pairs.T
    after, period = event >= 0, cohort + event
    if options.aggregate == "group-time":
        listed = [(g, e) for g in np.unique(cohort) for e in stacked.events]
        return {f"ATT({g},{g + e})": 1.0 * ((cohort == g) & (event == e)) for g, e in listed}
    if options.aggregate == "cohort":
        n_after = options.after + 1
        return {f"cohort={g}": (after & (cohort == g)) / n_after for g in np.unique(cohort)}
    treated = stacked.table[stacked.table["D"] == 1]
    total = treated.groupby(["sub", "event"])["weight"].sum()
    weight = after * total.reindex(pd.MultiIndex.from_arrays([cohort, event])).to_numpy(float)
    now = {f"calendar={t}": weight * (period == t) for t in np.unique(period[after])}
    return {name: share / share.sum() for name, share in now.items()}


class Stacked(StaggeredEstimator):
    """Sub-experiments of one cohort each, stacked, with corrective weights."""

    name = "stacked"
    label = "Weighted stacked difference-in-differences (Wing, Freedman and Hollingsworth 2024)"
    Settings = StackedSettings
    citation = (
        "Wing, C., Freedman, S. M. and Hollingsworth, A. (2024), Stacked difference-in-"
        "differences, NBER Working Paper 32054; sub-experiments: Cengiz, D., Dube, A., Lindner, A. "
        "and Zipperer, B. (2019), Quarterly Journal of Economics 134(3), 1405-1454"
    )
    engines = (
        python_engine(fit_python),
        engine_pyfixest.engine(fit_pyfixest, pyfixest_limits),
        r_engine(fit_r),
    )


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``stacked``."""
    register(Stacked())
