"""Gaps in covariates: a level of their own, covariates left out, rows dropped, values imputed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sos_plugins.cells.collected import CollectedCases
from sos_plugins.cells.compression import counts, is_compressed
from sos_plugins.contract.interfaces import CaseMatch
from sos_plugins.contract.types import ImputationTask, Imputed, Sample, first_of
from sos_plugins.errors import DataError, listing
from sos_plugins.groundwork.text_codes import is_category
from sos_plugins.study.design import CountedCases, label
from sos_plugins.study.file import DesignTable, ImputationChoice
from sos_plugins.study.pilots_and_pool import Design

MISSING = "Missing"
"""Level of a category where nothing is known."""


@dataclass(frozen=True)
class Covariates:
    """The covariates of an outcome as they are to be used.

    Attributes:
        counted: The cases, gaps marked, and the steps to them.
        names: Covariates that are adjusted for.
        imputed: What was drawn for the gaps that are imputed; None without imputation. Rows are
            places in ``counted.frame``.
        warnings: What is left out, and what the imputation says.
    """

    counted: CountedCases
    names: tuple[str, ...]
    imputed: Imputed | None = None
    warnings: tuple[str, ...] = ()


def unknown(column: pd.Series) -> np.ndarray:
    """Return which cells of a covariate say nothing, (n,): missing, or the level "Missing"."""
    gaps = column.isna()
    if is_category(column):
        gaps |= column == MISSING
    return gaps.to_numpy(bool)


def missing_shares(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, float]:
    """Return the share of cases of which a covariate says nothing, by covariate."""
    n = counts(frame)
    return {name: float(n[unknown(frame[name])].sum() / n.sum()) for name in names}


def left_out(
    frame: pd.DataFrame, names: Sequence[str], table: DesignTable
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the covariates that are known often enough, and a sentence on each of the others."""
    shares = missing_shares(frame, names)
    gone = {name: share for name, share in shares.items() if share >= table.max_missing}
    told = tuple(
        f"The covariate '{name}' is left out: {share:.0%} of the cases say nothing of it, and "
        f"covariates with {table.max_missing:.0%} or more are left out ([design] max_missing)."
        for name, share in gone.items()
    )
    return tuple(name for name in names if name not in gone), told


def to_impute(
    frame: pd.DataFrame, names: Sequence[str], choice: ImputationChoice | None
) -> tuple[str, ...]:
    """Return the covariates with gaps that a study imputes."""
    if choice is None:
        return ()
    chosen = names if choice.covariates == "all" else choice.covariates
    return tuple(name for name in names if name in chosen and unknown(frame[name]).any())


def marked(counted: CountedCases, names: Sequence[str], imputed: Sequence[str]) -> CountedCases:
    """Mark gaps: missing where they are imputed, else "Missing", or the row is dropped and counted.

    Args:
        counted: The cases.
        names: Covariates in use.
        imputed: Those of them that are imputed.
    """
    frame = counted.frame
    changes = {}
    for name in names:
        column = frame[name]
        if name in imputed:
            changes[name] = column.mask(unknown(column))
        elif is_category(column) and column.isna().any():
            changes[name] = column.astype(object).where(column.notna(), MISSING)
    counted = replace(counted, frame=frame.assign(**changes))
    for name in names:
        gaps = counted.frame[name].isna()
        if name not in imputed and gaps.any():
            counted = counted.and_then(
                f"covariate {name} known",
                f"no number, and {name} is not imputed",
                counted.frame[~gaps],
            )
    return counted


def task_of(
    frame: pd.DataFrame, design: Design, names: Sequence[str], seed: int
) -> tuple[ImputationTask, np.ndarray]:
    """Return what an imputer gets, and the places of its rows in the frame.

    Cases of authorities that are neither pilots nor in the pool are left out.

    Raises:
        DataError: If rows stand for several cases.
    """
    if is_compressed(frame):
        raise DataError(
            "Gaps in covariates are imputed case by case, and these cases are added up to cells. "
            'Set [study] collect = "cases".'
        )
    after, within = np.zeros(len(frame), int), np.zeros(len(frame), int)
    pilots = [pilot.unit for pilot in design.pilots]
    numbered = frame.assign(_place=np.arange(len(frame)))
    for pilot in design.pilots:
        own = numbered[numbered["unit"] == pilot.unit]
        labelled = label(own, pilot)
        within[own["_place"]] = 1
        within[labelled["_place"]] = 0
        after[labelled["_place"]] = labelled["post"]
    used = np.flatnonzero(frame["unit"].isin([*pilots, *design.pool]))
    columns = ["unit", "period", "date", "child", "value", *names]
    cases = frame[[c for c in dict.fromkeys(columns) if c in frame]].assign(
        treated=frame["unit"].isin(pilots).astype(int), post=after, during=within
    )
    task = ImputationTask(cases.iloc[used].reset_index(drop=True), tuple(names), seed)
    return task, used


def at_places(imputed: Imputed, places: np.ndarray) -> Imputed:
    """Return what was drawn with rows numbered as in the frame that the task was made of."""
    values = {
        name: drawn.set_axis(pd.Index(places[drawn.index.to_numpy()]), axis=0)
        for name, drawn in imputed.values.items()
    }
    return replace(imputed, values=values)


def completed(imputed: Imputed, frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the completed data sets one by one.

    Args:
        imputed: What was drawn for the gaps.
        frame: The frame of the task, or one with the same rows in the same order; it is left as it
            is.
    """
    for number in range(imputed.n_sets):
        drawn = imputed.values.items()
        yield frame.assign(**{name: _filled(frame[name], sets[number]) for name, sets in drawn})


def _filled(column: pd.Series, drawn: pd.Series) -> pd.Series:
    values = column.astype(object) if drawn.dtype == object else column.astype(drawn.dtype)
    values = values.copy()
    values.iloc[drawn.index.to_numpy()] = drawn.to_numpy()
    return values


def each_completed(
    frame: pd.DataFrame, imputed: Imputed | None, make: Callable[[pd.DataFrame], Sample]
) -> Sample:
    """Return the sample of a frame; where gaps were imputed, with that of every completed one."""
    if imputed is None:
        return make(frame)
    return first_of([make(one) for one in completed(imputed, frame)])


def match_each(sample: Sample, match: Callable[[Sample], CaseMatch]) -> CaseMatch:
    """Match cases within every completed data set; balance is their mean."""
    if not sample.completed:
        return match(sample)
    done = [match(one) for one in sample.completed]
    return replace(
        done[0],
        sample=first_of([one.sample for one in done]),
        balance=mean_balance([one.balance for one in done]),
        n_dropped=round(float(np.mean([one.n_dropped for one in done]))),
        sentence=f"{done[0].sentence.rstrip('.')}, within each of {len(done)} completed data sets.",
        warnings=tuple(dict.fromkeys(text for one in done for text in one.warnings)),
    )


def mean_balance(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the mean over completed data sets of tables of balance, covariate by covariate."""
    whole = pd.concat(tables, ignore_index=True)
    numbers = list(whole.select_dtypes("number").columns)
    means = whole.groupby("covariate", sort=False)[numbers].mean().reset_index()
    texts = whole.drop_duplicates("covariate")[[c for c in whole if c not in numbers]]
    return texts.merge(means, on="covariate")[list(tables[0].columns)]


def not_there(cases: CollectedCases, choice: ImputationChoice | None) -> tuple[str, ...]:
    """Say which covariates are to be imputed that an outcome does not have."""
    if choice is None or choice.covariates == "all":
        return ()
    absent = [name for name in choice.covariates if name not in cases.covariates]
    if not absent:
        return ()
    return (
        f"[imputation] covariates: outcome '{cases.info.name}' has no {listing(absent)}. "
        f"Covariates: {listing(cases.covariates)}.",
    )


def of_features(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return cases whose missing categories are a level, as features of authorities take them."""
    gaps: Mapping[str, pd.Series] = {
        name: frame[name].astype(object).where(frame[name].notna(), MISSING)
        for name in names
        if is_category(frame[name]) and frame[name].isna().any()
    }
    return frame.assign(**gaps) if gaps else frame
