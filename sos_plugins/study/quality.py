"""Data quality of one outcome in figures that a rating rule can weigh."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sos_plugins.cells.compression import count, counts
from sos_plugins.contract.types import CollectedCases, Design, Sample
from sos_plugins.host.registry import Registry
from sos_plugins.study.design import restrict_periods
from sos_plugins.study.file import DesignTable
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
    "n_pilots": "number of pilots analysed",
    "n_cases": "number of cases analysed, each once",
}
"""What each figure means; shares run from 0 to 1, breakdown from 0 up."""

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
) -> dict[str, float]:
    """Return the figures of :data:`FIGURES` that can be computed for this outcome."""
    frame = sample.frame
    pilots = set(frame.loc[frame["treated"] == 1, "unit"])
    comparators = set(frame.loc[frame["treated"] == 0, "unit"])
    figures: dict[str, float] = {
        "n_pilots": float(len(pilots)),
        "n_cases": float(count(frame.drop_duplicates("case"))),
        "pilots_covered": _covered(frame) / n_pilots_planned,
    }
    complete = restrict_periods(cases.completeness, table)
    analysed = complete["unit"].isin(pilots | comparators)
    complete = complete[analysed & (complete["n_candidates"] > 0)]
    if len(complete):
        figures |= _usable(complete, pilots, comparators)
        figures["usable_shift"] = _shift(complete, design)
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
    shifts = []
    for group in design.groups:
        cohort = design.pilot(group.pilot).cohort
        after = frame["period"] >= cohort
        own = frame["unit"] == group.pilot
        others = frame["unit"].isin(group.comparators)
        change, other = (
            _share(frame[who & after], part, of) - _share(frame[who & ~after], part, of)
            for who in (own, others)
        )
        shifts.append(change - other)
    known = [s for s in shifts if np.isfinite(s)]
    return float(np.mean(known)) if known else float("nan")
