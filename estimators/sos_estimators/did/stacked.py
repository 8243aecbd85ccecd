"""Weighted stacked difference-in-differences: estimator ``stacked``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from sos_estimators.did.least_squares import (
    CollinearTermsError,
    Convention,
    Floats,
    Regression,
    covariance,
    least_squares,
)
from sos_estimators.did.regression import codes_of, covariate_columns
from sos_estimators.did.staggered import engine_r
from sos_estimators.did.staggered.cells import Cells, join, make_cells
from sos_estimators.did.staggered.plugin import StaggeredEstimator, python_engine, r_engine
from sos_estimators.did.staggered.result import build_estimate
from sos_estimators.did.staggered.saturated import collinear
from sos_estimators.did.staggered.settings import CommonSettings
from sos_plugins import Estimate, Estimator, Sample, hookimpl
from sos_plugins.errors import EstimationError

ESTIMAND = "average over event times of the effect on the cohorts with a whole window"


class StackedSettings(CommonSettings):
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
    parts = [_sub_experiment(cells.table, g, options) for g in cohorts]
    table = pd.concat(parts)
    used = np.isin(np.arange(len(cells.table)), table.index.to_numpy())
    left_out = sorted(set(cells.table["cohort"]) - set(cohorts) - {0})
    told = []
    if left_out:
        told.append(
            f"The cohorts {join(left_out)} have no sub-experiment: their window of "
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
    for g in np.unique(cells.table["cohort"]):
        if g == 0:
            continue
        sub = _sub_experiment(cells.table, int(g), options)
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


def fit_python(sample: Sample, options: StackedSettings) -> Estimate:
    """Estimate with numpy.

    Raises:
        DataError, EstimationError: As :func:`stack`; or if an effect cannot be told.
    """
    stacked = stack(sample, options)
    table = stacked.table
    columns, names = covariate_columns(table, stacked.cells.covariates)
    events = np.array([e for e in stacked.events if e != options.reference])
    event, treated = table["event"].to_numpy(), table["D"].to_numpy()
    terms = (event[:, None] == events) & (treated[:, None] == 1)
    problem = Regression(
        value=table["value"].to_numpy(float),
        weight=table["stacked"].to_numpy(float),
        n_cases=int(table["n_cases"].sum()),
        effects=(codes_of(table, ["D"]), codes_of(table, ["event"])),
        cluster=codes_of(table, ["cluster"]),
        covariates=columns,
        covariate_names=names,
        terms=np.asfortranarray(terms.astype(float)),
        term_names=tuple(f"event={e}" for e in events),
    )
    try:
        fit = least_squares(problem)
    except CollinearTermsError:
        raise _cannot_be_told() from None
    dropped = collinear(n for n, kept in zip(names, fit.kept, strict=False) if not kept)
    return _estimate(stacked, fit.coefficients, covariance(fit, options.vcov), dropped, options)


def fit_r(sample: Sample, options: StackedSettings) -> Estimate:
    """Estimate with ``stacked.R``: ``lm`` and ``sandwich::vcovCL``.

    Raises:
        EngineError: If R fails.
        DataError, EstimationError: As :func:`fit_python`.
    """
    stacked = stack(sample, options)
    found = engine_r.call(
        "stacked.R",
        "stacked",
        stacked.cells,
        options,
        cohorts=[int(g) for g in np.unique(stacked.table["sub"])],
        **options.model_dump(include={"before", "after", "control", "weights", "vcov"}),
    )
    if found["aliased"][0]:
        raise _cannot_be_told()
    names = covariate_columns(stacked.table, stacked.cells.covariates)[1]
    dropped = collinear(n for n, kept in zip(names, found["kept"], strict=False) if not kept)
    told = (*dropped, *engine_r.warnings(found))
    q = len(found["estimate"])
    variance = np.asarray(found["covariance"], dtype=float).reshape(q, q)
    return _estimate(stacked, np.asarray(found["estimate"], float), variance, told, options)


def _cannot_be_told() -> EstimationError:
    return EstimationError(
        "The effects cannot be told from those of event times and the covariates: leave covariates "
        "out."
    )


def _estimate(
    stacked: Stack,
    coefficients: Floats,
    variance: Floats,
    warnings: tuple[str, ...],
    options: StackedSettings,
) -> Estimate:
    """Add the reference and the mean of the effects from treatment on."""
    events = np.array(stacked.events)
    estimated = events != options.reference
    pick = np.eye(len(events))[:, estimated]
    after = events >= 0
    shares = np.vstack([(after / after.sum())[estimated], pick])
    whole = shares @ variance @ shares.T
    cells = stacked.cells
    return build_estimate(
        ["overall", *(f"event={e}" for e in events)],
        shares @ coefficients,
        np.sqrt(np.clip(np.diag(whole), 0, None)),
        cells,
        options,
        vcov=options.vcov,
        df=cells.n_clusters - 1,
        warnings=warnings,
        covariance=whole,
        further={"estimand": ESTIMAND},
    )


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
        r_engine(fit_r),
    )


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``stacked``."""
    register(Stacked())
