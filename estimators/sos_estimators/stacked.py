"""Weighted stacked difference-in-differences: estimator ``stacked``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.inference.own_effects import OwnEffects
from sos_estimators.inference.vcov import CONVENTIONS, VCOV_ON_CELLS, VarianceOnCells
from sos_estimators.reassignment import estimators as reassignment
from sos_estimators.reassignment.averages import Evaluate
from sos_estimators.reassignment.inference_table import tables_by_python, with_inference_table
from sos_estimators.references import CENGIZ_2019, WING_2024
from sos_estimators.regression import engine_pyfixest
from sos_estimators.regression.design import Design
from sos_estimators.regression.design_matrix import codes_of, covariate_columns
from sos_estimators.regression.fit import by_engine
from sos_estimators.regression.least_squares import Regression, group_sums
from sos_estimators.sample.adoption import numbers
from sos_estimators.staggered import engine_r
from sos_estimators.staggered.cohort_cells import CohortCells, make_cells
from sos_estimators.staggered.engine_r import too_many_dummies
from sos_estimators.staggered.plugin import StaggeredEstimator, python_engine, r_engine
from sos_estimators.staggered.saturated import collinear, fit_on_cells
from sos_estimators.staggered.settings import AggregateSettings
from sos_plugins import Estimate, Estimator, Sample, hookimpl
from sos_plugins.cells.compression import count
from sos_plugins.contract.types import AssignmentDraws, DrawnStatistics
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
    vcov: VarianceOnCells = Field("CR1", description=VCOV_ON_CELLS)

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
    cells: CohortCells
    events: tuple[int, ...]


def stack(sample: Sample, options: StackedSettings) -> Stack:
    """Make one sub-experiment of each cohort with a whole window and put them together.

    Args:
        sample: Cases in calendar periods.
        options: Settings.

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


def _whole(cells: CohortCells, options: StackedSettings) -> list[int]:
    """Cohorts of which treated and comparison cases are there in every period of the window."""
    n_periods = options.before + options.after + 1
    whole = []
    for g in np.unique(cells.frame["cohort"]):
        if g == 0:
            continue
        sub = _sub_experiment(cells.frame, int(g), options)
        seen = sub.groupby("D")["event"].nunique()
        if seen.get(1, 0) == n_periods and seen.get(0, 0) == n_periods:
            whole.append(int(g))
    if not whole:
        raise EstimationError(
            f"No cohort has treated and comparison cases in all of {options.before} periods before "
            f"its first treated one and {options.after} after it. Set before or after to less."
        )
    return whole


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


def list_pairs(stacked: Stack, reference: int, *, by_cohort: bool) -> Ints:
    """List cohort (0: all) and event time of each product, without the reference, (q, 2).

    Args:
        stacked: The sub-experiments.
        reference: Event time without a product.
        by_cohort: Whether each sub-experiment has products of its own.
    """
    cohorts = np.unique(stacked.table["sub"]) if by_cohort else [0]
    events = [e for e in stacked.events if e != reference]
    return np.array([(g, e) for g in cohorts for e in events], dtype=np.int64)


def design(stacked: Stack, options: StackedSettings, *, by_cohort: bool) -> Design:
    """Design the regression on event time, membership and their products.

    Args:
        stacked: The sub-experiments.
        options: Settings.
        by_cohort: Whether the products are of each sub-experiment, and averaged as ``aggregate``
            asks, or of all together: the overall effect, and effects by event time.
    """
    pairs = list_pairs(stacked, options.reference, by_cohort=by_cohort)
    shares = (_apart if by_cohort else _together)(stacked, pairs, options)

    def left_out(kept: Bools) -> tuple[str, ...]:
        names = covariate_columns(stacked.table, stacked.cells.covariates)[1]
        return collinear(", ".join(n for n, k in zip(names, kept, strict=False) if not k))

    return Design(
        names=tuple(shares),
        averages=np.column_stack(list(shares.values())),
        vcov=options.vcov,
        n_clusters=stacked.cells.n_clusters,
        regress=lambda: regression(stacked, pairs, by_cohort=by_cohort),
        ask_r=lambda _: engine_r.call(
            "stacked.R",
            "stacked",
            stacked.cells,
            options,
            leave_out=("aggregate",),
            cohorts=[int(g) for g in np.unique(stacked.table["sub"])],
            by_cohort=by_cohort,
            **options.model_dump(include={"before", "after", "control", "weights", "vcov"}),
        ),
        not_identified=lambda _: EstimationError(
            "The effects cannot be told from those of event times and the covariates: leave "
            "covariates out."
        ),
        own=lambda coefficients, scores, _: _own(stacked, pairs, shares, coefficients, scores),
        about_left_out=left_out,
        connected=not by_cohort,
    )


def _own(
    stacked: Stack, pairs: Ints, shares: Shares, coefficients: Floats, scores: Floats
) -> OwnEffects:
    """Add to the scores of averages, (G, J), the effects that they are centred on."""
    chosen, weight = products(stacked, pairs), stacked.table["stacked"].to_numpy(float)
    within = chosen * weight[:, None] / (chosen * weight[:, None]).sum(axis=0)
    of_clusters = group_sums(within, codes_of(stacked.table, ["cluster"]))
    averages = np.column_stack(list(shares.values()))
    return OwnEffects(
        scores + (of_clusters * coefficients) @ averages, np.asarray(of_clusters @ averages)
    )


def products(stacked: Stack, pairs: Ints) -> Bools:
    """Say which rows (m,) each product is 1 in, (m, q).

    Args:
        stacked: The sub-experiments, m rows.
        pairs: From :func:`list_pairs`, (q, 2); cohort 0 means all.
    """
    sub, event, treated = (stacked.table[c].to_numpy() for c in ("sub", "event", "D"))
    of_cohort = (pairs[:, 0] == 0) | (sub[:, None] == pairs[:, 0])
    return np.asarray(of_cohort & (event[:, None] == pairs[:, 1]) & (treated[:, None] == 1))


def regression(stacked: Stack, pairs: Ints, *, by_cohort: bool) -> Regression:
    """Set up the regression on event time, membership and their products, (q, 2).

    Args:
        stacked: The sub-experiments.
        pairs: From :func:`list_pairs`, (q, 2).
        by_cohort: Whether event times and membership are of each sub-experiment.
    """
    table = stacked.table
    columns, names = covariate_columns(table, stacked.cells.covariates)
    chosen = products(stacked, pairs)
    within = ["sub"] if by_cohort else []
    return Regression(
        value=table["value"].to_numpy(float),
        weight=table["stacked"].to_numpy(float),
        n_cases=count(table),
        effects=(codes_of(table, ["D", *within]), codes_of(table, ["event", *within])),
        cluster=codes_of(table, ["cluster"]),
        covariates=columns,
        covariate_names=names,
        terms=np.asfortranarray(chosen.astype(float)),
        term_names=tuple(f"{g},{e}" for g, e in pairs),
    )


Shares = dict[str, Floats]
"""How much each product counts in each average, (q,), by the name of the average."""


def _together(stacked: Stack, pairs: Ints, options: StackedSettings) -> Shares:
    """The mean over event times from treatment on, and the effects by event time."""
    event = pairs[:, 1]
    shares = {"overall": (event >= 0) / (options.after + 1)}
    if options.aggregate == "event":
        shares |= {f"event={e}": (event == e).astype(float) for e in stacked.events}
    return shares


def _apart(stacked: Stack, pairs: Ints, options: StackedSettings) -> Shares:
    """Effects of each sub-experiment, or their averages by cohort or period.

    In a cohort all event times count alike, in a period cohorts by the weight of their cases.
    """
    cohort, event = pairs.T
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


def fit(sample: Sample, options: StackedSettings, engine: str = "python") -> Estimate:
    """Estimate by an engine: ``python``, ``pyfixest`` or ``r``.

    Wing, Freedman and Hollingsworth (2024), NBER Working Paper 32054.

    Args:
        sample: Cases in calendar periods.
        options: Settings.
        engine: Which engine.

    Returns:
        The term ``overall`` and those of ``aggregate``, in units of the value.

    Raises:
        DataError: If the sample contradicts itself.
        EstimationError: If no cohort has a whole window, or an effect cannot be told from the rest.
        EngineError: If the package or R fails.
    """
    stacked = stack(sample, options)
    options = stacked.cells.decided(options)
    parts = (False, True) if options.aggregate in BY_COHORT else (False,)
    designs = [design(stacked, options, by_cohort=by_cohort) for by_cohort in parts]
    estimate = fit_on_cells(designs, engine, stacked.cells, options, further={"estimand": ESTIMAND})
    if engine != "python":
        return estimate
    return with_inference_table(estimate, options, lambda: _reassigned(sample, stacked, options))


def _reassigned(sample: Sample, stacked: Stack, options: StackedSettings) -> tuple[Evaluate, Ints]:
    if stacked.cells.covariates:
        raise EstimationError(
            "with covariates a new assignment changes what they are adjusted on; leave them out"
        )
    cells = make_cells(sample, options, options.control)
    return reassignment.stacked(cells, options, [int(g) for g in np.unique(stacked.table["sub"])])


fit_python, fit_pyfixest, fit_r = by_engine(fit, "python", "pyfixest", "r")


def pyfixest_limits(sample: Sample, options: StackedSettings) -> str | None:  # noqa: ARG001
    """Say what pyfixest cannot do of what is asked."""
    separate = options.aggregate in BY_COHORT
    return engine_pyfixest.lacks(options.vcov, separate=separate) or None


def r_limits(sample: Sample, options: StackedSettings) -> str | None:
    """Say what R cannot do of what is asked."""
    if options.vcov not in CONVENTIONS:
        return f"stacked.R has conventions of the sandwich, not {options.vcov}"
    return too_many_dummies(sample, options)


class Stacked(StaggeredEstimator):
    """Sub-experiments of one cohort each, stacked, with corrective weights."""

    name = "stacked"
    label = "Weighted stacked difference-in-differences (Wing, Freedman and Hollingsworth 2024)"
    short_label = "Stacked by cohort"
    Settings = StackedSettings
    citation = (
        "Wing, C., Freedman, S. M. and Hollingsworth, A. (2024), Stacked difference-in-"
        "differences, NBER Working Paper 32054; sub-experiments: Cengiz, D., Dube, A., Lindner, A. "
        "and Zipperer, B. (2019), Quarterly Journal of Economics 134(3), 1405-1454"
    )
    references = (
        WING_2024,
        CENGIZ_2019,
    )
    baseline = "last"
    engines = tables_by_python(
        python_engine(fit_python),
        engine_pyfixest.engine(fit_pyfixest, pyfixest_limits),
        replace(r_engine(fit_r), limits=r_limits),
    )

    def reassigned(self, sample: Sample, options: Any, draws: AssignmentDraws) -> DrawnStatistics:
        """Return the t statistic of own effects, and those under assignments by common lots."""
        stacked = stack(sample, options)
        made = _reassigned(sample, stacked, options)
        cells = make_cells(sample, options, options.control)
        return reassignment.by_lot(cells, made, draws)


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``stacked``."""
    register(Stacked())
