"""Effects where there can be none: adoption earlier than it was, and comparators as pilots.

Both take an estimator as a function of a sample, so any method and engine can be put to the test:
``lambda sample: fit_python(sample, DidSettings())``.

Placebo units: Abadie, Diamond and Hainmueller (2010), Journal of the American Statistical
Association 105(490); ranks as in randomisation inference, Fisher (1935).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from sos_plugins.contract.types import Estimate, Sample
from sos_plugins.errors import EstimationError, SosError

Fit = Callable[[Sample], Estimate]
FIGURES = ("estimate", "std_error", "p_value")
TIES = 1e-9
"""Statistics that differ by less than this share are equal: rounding."""


@dataclass(frozen=True)
class Placebo:
    """One placebo run.

    Attributes:
        label: Such as ``"2 periods earlier"``, or the code of a unit.
        estimate: Of the term; None when there is none.
        std_error: Likewise.
        p_value: Likewise.
        reason: Why there is no estimate; empty when there is one.
    """

    label: str
    estimate: float | None
    std_error: float | None
    p_value: float | None
    reason: str = ""


@dataclass(frozen=True)
class PlaceboUnits:
    """Every comparator treated in turn.

    Attributes:
        actual: The real run.
        placebos: One run a comparator.
        statistic: What is ranked: ``estimate`` or ``t``, in absolute value.
        p_value: Share of runs, the real one among them, at least as extreme as the real one; None
            when the real one has no such statistic, or no placebo has.
        n_ranked: Runs in that share.
        why_no_p_value: As a clause; empty where there is one.
    """

    actual: Placebo
    placebos: tuple[Placebo, ...]
    statistic: Literal["estimate", "t"]
    p_value: float | None
    n_ranked: int
    why_no_p_value: str = ""


def placebo_dates(
    sample: Sample, fit: Fit, *, term: str, shifts: Sequence[int]
) -> tuple[Placebo, ...]:
    """Move adoption back, on cases from before the real one only.

    Args:
        sample: The real sample.
        fit: The estimator.
        term: The term that is looked at, such as ``"ATT"``.
        shifts: By how many periods, each 1 or more.

    Returns:
        One run a shift, in order. A run that has no estimate says why.

    Raises:
        EstimationError: If a shift is less than 1.
    """
    if any(shift < 1 for shift in shifts):
        raise EstimationError(f"Placebo shifts must be 1 or more: {list(shifts)}.")
    return tuple(
        _run(_shifted(shift), partial(earlier, sample, shift), fit, term) for shift in shifts
    )


def _shifted(shift: int) -> str:
    return f"{shift} period{'s' * (shift > 1)} earlier"


def earlier(sample: Sample, shift: int) -> Sample:
    """Return the cases from before adoption, with adoption ``shift`` periods earlier.

    In matched groups comparators share the pilot's adoption; without groups they keep the periods
    up to the last adoption.
    """
    frame = sample.frame
    start = adoption(sample)
    if sample.has_groups:
        kept = (frame["post"] == 0) & (frame["period"] < start)
    else:
        kept = (frame["post"] == 0) & (frame["period"] < start.fillna(start.max()))
    frame = frame[kept.to_numpy()].reset_index(drop=True)
    moved = start[kept.to_numpy()].reset_index(drop=True) - shift
    post = (frame["period"] >= moved).astype("int64")
    cohort = np.where(frame["treated"] == 1, moved.fillna(0).astype("int64"), 0)
    return replace(sample, frame=frame.assign(post=post, cohort=cohort), window_gap=False)


def adoption(sample: Sample) -> pd.Series[float]:
    """Return the first treated period of each case's unit or group's pilot; else missing."""
    frame = sample.frame
    own = frame["cohort"].where((frame["treated"] == 1) & (frame["cohort"] > 0)).astype(float)
    return own.groupby(frame["group"]).transform("max") if sample.has_groups else own


def placebo_units(
    sample: Sample,
    fit: Fit,
    *,
    term: str,
    statistic: Literal["estimate", "t"] = "t",
    cohort: int | None = None,
) -> PlaceboUnits:
    """Treat every comparator in turn, the pilots left out, and rank the real result among them.

    A placebo rests on one authority, the real estimate on all pilots, so estimates of placebos
    scatter more and their rank is a cautious p value; t statistics are on one scale.

    Args:
        sample: The real sample.
        fit: The estimator.
        term: The term that is looked at.
        statistic: What is ranked.
        cohort: Adoption of placebos without matched groups; the pilots' most common one within the
            data by default (the earliest of several). In matched groups it is the group's own.
    """
    actual = _run("actual", lambda: sample, fit, term)
    frame = sample.frame
    comparators = sorted({str(u) for u in frame.loc[frame["treated"] == 0, "unit"]})
    runs = tuple(
        _run(unit, partial(with_pilot, sample, unit, cohort), fit, term) for unit in comparators
    )
    mine = _size(actual, statistic)
    sizes = np.array([x for x in (_size(run, statistic) for run in runs) if x is not None])
    why = ""
    if mine is None:
        why = f"the real run has no {'standard error' if statistic == 't' else 'estimate'}"
    elif not len(sizes):
        why = "there is no placebo to compare with"
    if mine is None or why:
        return PlaceboUnits(actual, runs, statistic, None, len(sizes), why)
    extreme = int((sizes >= mine * (1 - TIES)).sum())
    p_value = (1 + extreme) / (1 + len(sizes))
    return PlaceboUnits(actual, runs, statistic, p_value, 1 + len(sizes))


def with_pilot(sample: Sample, unit: str, cohort: int | None = None) -> Sample:
    """Return the comparators' cases with one of them as pilot.

    In matched groups only the groups that it serves are kept, each with its window.

    Raises:
        EstimationError: If no pilot's adoption can be lent to it.
    """
    frame = sample.frame
    start = adoption(sample)
    kept = (frame["treated"] == 0).to_numpy()
    mine = (frame["unit"].astype(str) == unit).to_numpy() & kept
    if sample.has_groups:
        kept = kept & frame["group"].isin(frame.loc[mine, "group"]).to_numpy()
    else:
        lent = _common_adoption(frame) if cohort is None else cohort
        start = pd.Series(float(lent), frame.index)
    part, start, mine = frame[kept], start[kept], mine[kept]
    if sample.has_groups:
        post = part["post"]
    else:
        post = pd.Series(mine & (part["period"] >= start), part.index).astype("int64")
    new = part.assign(
        treated=mine.astype("int64"),
        post=post,
        cohort=np.where(mine, start.fillna(0), 0).astype("int64"),
    )
    return replace(sample, frame=new.reset_index(drop=True))


def _common_adoption(frame: pd.DataFrame) -> int:
    """The most common adoption of the pilots within the data, the earliest of several."""
    pilots = frame.loc[frame["treated"] == 1].drop_duplicates("unit")["cohort"]
    if pilots.empty:
        raise EstimationError("The sample has no pilots whose adoption a placebo could take.")
    first, last = frame["period"].min(), frame["period"].max()
    within = pilots[(pilots > first) & (pilots <= last)]
    if within.empty:
        raise EstimationError(
            f"No pilot adopts within the data ({first} to {last}), so there is no adoption that a "
            "placebo could take."
        )
    return int(within.mode().min())


def _run(label: str, make: Callable[[], Sample], fit: Fit, term: str) -> Placebo:
    try:
        row = fit(make()).term(term)
    except SosError as error:
        return Placebo(label, None, None, None, str(error))
    known = {c: float(row[c]) if np.isfinite(row[c]) else None for c in FIGURES}
    return Placebo(label, known["estimate"], known["std_error"], known["p_value"])


def _size(run: Placebo, statistic: Literal["estimate", "t"]) -> float | None:
    if run.estimate is None:
        return None
    if statistic == "estimate":
        return abs(run.estimate)
    return abs(run.estimate) / run.std_error if run.std_error else None
