"""Data quality of one outcome in figures that a rating rule can weigh."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sos_plugins.cells.collected import CollectedCases
from sos_plugins.cells.compression import count, counts, mean
from sos_plugins.contract.types import Run, Sample
from sos_plugins.host.registry import Registry
from sos_plugins.study.design import MEAN_BEFORE, before_any_window, restrict_periods
from sos_plugins.study.file import DesignTable
from sos_plugins.study.pilots_and_pool import Design
from sos_plugins.study.result import NamedEstimate

FIGURES: dict[str, str] = {
    "usable_share": "share of the records of the population that could be judged, in the "
    "authorities of the analysis",
    "usable_share_pilots": "the same, in the pilots",
    "usable_share_comparators": "the same, in the comparators",
    "usable_share_worst": "the same, in the authority where it is lowest",
    "usable_shift": "change of that share in the pilots from the years before their cohort to "
    "those from it on, less the change in the comparators: a shift can look like an effect",
    "sparse_share": "share of authority-years in which fewer than the given share of records "
    "could be judged",
    "faulty_share_before": "share of rows with at least one fault, of those tables of records that "
    "the outcome reads, in the pilots before their cohort",
    "faulty_share_after": "the same from their cohort on",
    "faulty_shift": "change of that share in the pilots, less the change in their comparators",
    "pilots_covered": "share of the pilots of the design that have cases before and after",
    "covariates_missing": "share of covariate values that are 'Missing'",
    "pretest_power": "probability that the joint test of the leads finds, at 5%, a straight drift "
    "that alone would give the main estimate",
    "breakdown": "how many times worse than before adoption trends would have to diverge after it "
    "(or, with bounds on smoothness, by how much their slope would have to change a period) to "
    "take the effect's interval to zero, from honest bounds where the study runs them",
    "breakdown_relative": "the same, of bounds on relative magnitudes alone: a multiple of the "
    "worst before, whatever the outcome's units",
    "unusable_after": "share of the records of the population that could not be judged, in the "
    "pilots from their cohort on",
    "value_sd": "standard deviation of the value among the pilots' cases",
    "tipping_difference": "how different, in the units of the value, the mean of those records "
    "would have to be from that of the others to take the main estimate to zero",
    "pilots_above_pool": "mean of the pilots less that of the pool before any pilot began, in "
    "standard deviations between the authorities of the pool",
    "imbalance_units": "standardised difference between pilots and matched authorities in the mean "
    "outcome before any pilot began",
    "imbalance_cases": "largest standardised difference in a covariate between cases, after their "
    "matching",
    "n_pilots": "number of pilots analysed",
    "n_cases": "number of cases analysed, each once",
}
"""What each figure means; shares run from 0 to 1, breakdown from 0 up."""

NOWHERE = np.arange(0)
"""The places of the rows of an authority without any."""
SPARSE_BELOW = 0.8
"""An authority-year counts as sparse when a smaller share of its records could be judged."""


def quality_figures(
    cases: CollectedCases,
    sample: Sample,
    design: Design,
    n_pilots_planned: int,
    table: DesignTable,
    covariates: Sequence[str],
    faults: pd.DataFrame,
    main: Run,
) -> dict[str, float]:
    """Return the figures of :data:`FIGURES` that its records give for this outcome."""
    frame = sample.frame
    pilots = set(frame.loc[frame["treated"] == 1, "unit"])
    comparators = set(frame.loc[frame["treated"] == 0, "unit"])
    figures: dict[str, float] = {
        "n_pilots": float(len(pilots)),
        "n_cases": float(count(frame.drop_duplicates("case"))),
        "pilots_covered": _covered(frame) / n_pilots_planned,
        "value_sd": _spread_of_cases(frame[frame["treated"] == 1].drop_duplicates("case")),
    }
    complete = restrict_periods(cases.completeness, table)
    analysed = complete["unit"].isin(pilots | comparators)
    complete = complete[analysed & (complete["n_candidates"] > 0)]
    if len(complete):
        figures |= _usable(complete, pilots, comparators)
        figures["usable_shift"] = _shift(complete, design)
        unusable = _unusable_after(complete, design)
        figures["unusable_after"] = unusable
        if main.estimate is not None and unusable > 0:
            figures["tipping_difference"] = tipping_difference(main.estimate, unusable)
    figures |= _faulty(restrict_periods(faults, table), design)
    texts = [c for c in covariates if not pd.api.types.is_numeric_dtype(frame[c])]
    if texts:
        n = counts(frame)
        figures["covariates_missing"] = float(
            np.mean([n[frame[c] == "Missing"].sum() / n.sum() for c in texts])
        )
    return figures


def declared_figures(registry: Registry, estimates: Sequence[NamedEstimate]) -> dict[str, float]:
    """Return the figures that estimators declare for ratings, of the first engine that ran each."""
    found: dict[str, float] = {}
    for named in estimates:
        for name in registry.estimator(named.estimator).figures:
            value = named.estimate.glance.get(name)
            if name not in found and value is not None and not np.isnan(float(value)):
                found[name] = float(value)
    return found


def tipping_difference(estimate: float, unusable: float) -> float:
    """Return how different unusable records would have to be to take an estimate to zero.

    The mean of all records of the pilots after adoption is that of the usable ones plus
    ``unusable`` times the difference D between the two kinds: the estimate moves by
    ``unusable * D``, if all other records are usable or alike.

    Args:
        estimate: The main estimate, in the units of the value.
        unusable: Share of the pilots' records after adoption that could not be judged, above 0.

    Returns:
        The size of D, in the units of the value.
    """
    return abs(estimate) / unusable


def comparability_figures(
    frame: pd.DataFrame, design: Design, balance: pd.DataFrame
) -> dict[str, float]:
    """Return how like the pilots are to the pool, and the matched to each other.

    Args:
        frame: The cases of an outcome.
        design: Pilots and pool.
        balance: Frame ``level`` and the columns of balance, or empty.
    """
    figures = {"pilots_above_pool": _above_pool(frame, design)}
    if len(balance):
        units, cases = balance["level"] == "units", balance["level"] == "cases"
        outcome = units & (balance["covariate"] == MEAN_BEFORE)
        for name, rows in (("imbalance_units", outcome), ("imbalance_cases", cases)):
            figures[name] = float(balance.loc[rows, "smd_after"].abs().max())
    return {name: value for name, value in figures.items() if np.isfinite(value)}


def _above_pool(frame: pd.DataFrame, design: Design) -> float:
    """Return by how many standard deviations between authorities the pilots lie above the pool."""
    before, pilots, _ = before_any_window(frame.sort_values("value"), design)
    means = before.groupby("unit")[list(before.columns)].apply(mean)
    treated = means.index.isin([pilot.unit for pilot in pilots])
    spread = means[~treated].std(ddof=1)
    if not spread > 0:
        return float("nan")
    return float((means[treated].mean() - means[~treated].mean()) / spread)


def _spread_of_cases(frame: pd.DataFrame) -> float:
    """Return the standard deviation of the values of cases, each counted once."""
    frame = frame.sort_values("value")
    n, value = counts(frame), frame["value"].to_numpy(float)
    return float(np.sqrt(np.average((value - mean(frame)) ** 2, weights=n)))


def _unusable_after(complete: pd.DataFrame, design: Design) -> float:
    """Return the share of the pilots' records from their cohorts on that could not be judged."""
    cohorts = {group.pilot: design.pilot(group.pilot).cohort for group in design.groups}
    own = complete[complete["unit"].isin(list(cohorts))]
    return 1.0 - _share(own[own["period"] >= own["unit"].map(cohorts)])


def _covered(frame: pd.DataFrame) -> int:
    treated = frame[frame["treated"] == 1]
    return int((treated.groupby("unit")["post"].nunique() == 2).sum())


def _share(frame: pd.DataFrame, part: str = "n_usable", of: str = "n_candidates") -> float:
    whole = frame[of].sum()
    return float(frame[part].sum() / whole) if whole else float("nan")


def _faulty(faults: pd.DataFrame, design: Design) -> dict[str, float]:
    """Return the shares of rows at fault in the pilots of the matched groups."""
    cohorts = {group.pilot: design.pilot(group.pilot).cohort for group in design.groups}
    own = faults[faults["unit"].isin(list(cohorts))]
    if own.empty:
        return {}
    after = own["period"] >= own["unit"].map(cohorts)
    columns = ("n_faulty", "n")
    shares = {
        "faulty_share_before": _share(own[~after], *columns),
        "faulty_share_after": _share(own[after], *columns),
        "faulty_shift": _shift(faults, design, *columns),
    }
    return {name: value for name, value in shares.items() if np.isfinite(value)}


def _usable(complete: pd.DataFrame, pilots: set[str], comparators: set[str]) -> dict[str, float]:
    by_unit = complete.groupby("unit")[["n_usable", "n_candidates"]].sum()
    by_year = complete["n_usable"] / complete["n_candidates"]
    return {
        "usable_share": _share(complete),
        "usable_share_pilots": _share(complete[complete["unit"].isin(pilots)]),
        "usable_share_comparators": _share(complete[complete["unit"].isin(comparators)]),
        "usable_share_worst": float((by_unit["n_usable"] / by_unit["n_candidates"]).min()),
        "sparse_share": float((by_year < SPARSE_BELOW).mean()),
    }


def _shift(
    frame: pd.DataFrame, design: Design, part: str = "n_usable", of: str = "n_candidates"
) -> float:
    """Return the mean over matched groups of the difference-in-differences of a share."""
    parts, period = frame[[part, of]].to_numpy(float), frame["period"].to_numpy()
    places = frame.groupby("unit", sort=False).indices
    shifts = []
    for group in design.groups:
        cohort = design.pilot(group.pilot).cohort
        change, other = (
            _change(parts[rows], period[rows] >= cohort)
            for rows in (
                places.get(group.pilot, NOWHERE),
                np.concatenate([places.get(u, NOWHERE) for u in group.comparators]),
            )
        )
        shifts.append(change - other)
    known = [s for s in shifts if np.isfinite(s)]
    return float(np.mean(known)) if known else float("nan")


def _change(parts: NDArray[np.float64], after: NDArray[np.bool_]) -> float:
    """Return the change of a share, of which the rows are part and whole, (n, 2)."""
    some, whole = np.array([parts[after].sum(axis=0), parts[~after].sum(axis=0)]).T
    return float(some[0] / whole[0] - some[1] / whole[1]) if whole.all() else float("nan")
