"""Who adopts within the data: the one check that the samples of all estimators pass.

A cohort after the last period is never treated as far as the data go. A unit that was treated
before its first case never changes, so that it cannot show an effect; in a regression on unit and
period effects it would serve as a comparator although it is treated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from sos_estimators.arrays import Bools
from sos_estimators.sample.coded import Coded
from sos_plugins.cells.compression import count
from sos_plugins.contract.types import Sample
from sos_plugins.errors import EstimationError, listing

AlwaysTreated = Literal["drop", "keep"]

ABOUT_ALWAYS_TREATED = (
    "units without a case before treatment: left out, or kept, where they serve as comparators "
    "although they are treated"
)
"""Description of the setting."""
SHOWN = 5
"""So many units are named."""
KEPT = (
    "and are kept: they serve as comparators although they are treated, with a weight that "
    "estimator 'bacon' shows"
)


def late_cohorts(frame: pd.DataFrame, anticipation: int = 0) -> Bools:
    """Find the rows of cohorts too late to be affected in the data, (n,).

    Args:
        frame: With the columns ``cohort`` and ``period``.
        anticipation: Periods before the first treated one that count as treated.
    """
    last = frame["period"].to_numpy().max(initial=np.iinfo(np.int64).min) + anticipation
    return np.asarray(frame["cohort"].to_numpy() > last)


def about_late(frame: pd.DataFrame, late: Bools) -> str:
    """Say what becomes of late cohorts.

    Args:
        frame: With the columns ``cohort`` and ``period``.
        late: Which rows are of late cohorts, (n,).
    """
    return (
        f"The cohorts {numbers(frame.loc[late, 'cohort'])} are treated after the last period "
        f"({frame['period'].max()}) and count as never treated."
    )


def without_base(frame: pd.DataFrame, affected: Bools, by: str) -> Bools:
    """Find the rows of treated units, or cohorts, that have no row before treatment.

    Args:
        frame: With the columns ``cohort`` (0 for never) and ``by``.
        affected: Which rows treatment may affect, (n,).
        by: ``unit`` or ``cohort``: what needs a row before treatment.
    """
    based = frame.loc[~affected, by].unique()
    gone: Bools = ((frame["cohort"] > 0) & ~frame[by].isin(based)).to_numpy()
    return gone


def about_without_base(
    n_units: int,
    n_cases: int,
    cohorts: Iterable[int],
    *,
    anticipation: int = 0,
    becomes: str = "and are left out",
) -> str:
    """Say what becomes of units treated before their first case.

    Args:
        n_units: So many units.
        n_cases: So many cases.
        cohorts: Of these cohorts.
        anticipation: Periods before the first treated one that count as treated.
        becomes: What becomes of them, as the end of a sentence.
    """
    counting = f", counting anticipation of {anticipation}" if anticipation else ""
    return (
        f"The cohorts {numbers(cohorts)} ({n_units} units, {n_cases} cases) have no case before "
        f"treatment{counting}, {becomes}."
    )


def nobody_adopts(first: object, anticipation: int = 0) -> EstimationError:
    """Say that no treated unit is left that changes.

    Args:
        first: First period of the data.
        anticipation: Periods before the first treated one that count as treated.
    """
    counting = f", counting anticipation of {anticipation}" if anticipation else ""
    return EstimationError(
        f"No treated unit has a case before treatment: the data start in {first}{counting}. "
        "Add earlier periods."
    )


def adopters(
    sample: Sample, always_treated: AlwaysTreated = "drop", unit: Coded | None = None
) -> tuple[Sample, tuple[str, ...]]:
    """Apply both rules to a sample that says which cases are treated and after adoption.

    Late cohorts become comparators. Comparators of a tidy table are "after" from the one adoption
    there is, which is looked for anew when cohorts go.

    Args:
        sample: Cases of positive weight.
        always_treated: What becomes of units without a case before treatment.
        unit: The column ``unit`` as whole numbers, where it is known.

    Returns:
        The sample, and what a reader must know.

    Raises:
        EstimationError: If no unit adopts within the data.
    """
    late, told = _without_late(sample.frame)
    frame, further = _without_always(late, always_treated, unit)
    if not (told or further):
        return sample, ()
    return replace(sample, frame=_relabelled(frame, sample)), (*told, *further)


def _without_late(frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    treated = frame["treated"].to_numpy() == 1
    late = late_cohorts(frame) & treated
    if late.any():
        late &= ~Coded.of(frame["unit"]).have(frame["post"].to_numpy() == 1)
    if not late.any():
        return frame, ()
    if not treated[~late].any():
        raise EstimationError(
            f"No unit is treated within the data: the cohorts {numbers(frame.loc[late, 'cohort'])} "
            f"are treated after the last period ({frame['period'].max()})."
        )
    never = {name: frame[name].where(~late, 0) for name in ("treated", "cohort", "post")}
    return frame.assign(**never), (about_late(frame, late),)


def _without_always(
    frame: pd.DataFrame, always_treated: AlwaysTreated, unit: Coded | None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    affected, unit = _affected(frame), unit or Coded.of(frame["unit"])
    always = unit.have(affected) & ~unit.have(~affected)
    if not always.any():
        return frame, ()
    gone = frame[always]
    size = gone["unit"].nunique(), count(gone), gone["cohort"]
    if always_treated == "keep":
        return frame, (about_without_base(*size, becomes=f"{KEPT} ({_some(gone['unit'])})"),)
    if not (frame.loc[~always, "treated"] == 1).any():
        raise EstimationError(
            "No treated unit has a case before its adoption: the data start in "
            f"{frame['period'].min()}. Add earlier periods."
        )
    return frame[~always].reset_index(drop=True), (about_without_base(*size),)


def _some(units: pd.Series) -> str:
    names = sorted({str(unit) for unit in units})
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return listing(names[:SHOWN]) + more


def changing(frame: pd.DataFrame, unit: Coded | None = None) -> Bools:
    """Find the rows of units that have cases both before and after their treatment, (n,).

    Args:
        frame: With the columns ``unit, treated, post``.
        unit: The column ``unit`` as whole numbers, where it is known.
    """
    affected, of_unit = _affected(frame), unit or Coded.of(frame["unit"])
    return of_unit.have(affected) & of_unit.have(~affected)


def _affected(frame: pd.DataFrame) -> Bools:
    """Whether each row is of a treated unit after its adoption, (n,)."""
    return np.asarray((frame["treated"].to_numpy() == 1) & (frame["post"].to_numpy() == 1))


def _relabelled(frame: pd.DataFrame, sample: Sample) -> pd.DataFrame:
    """Comparators of a tidy table that are "after" nowhere are so from the one adoption, if any."""
    never = (frame["treated"] == 0).to_numpy()
    if sample.has_groups or sample.window_gap or (frame.loc[never, "post"] == 1).any():
        return frame
    adopted = frame.loc[~never & changing(frame), "cohort"].unique()
    start = adopted[0] if len(adopted) == 1 else np.inf
    after = (frame["period"] >= start).astype(frame["post"].dtype)
    return frame.assign(post=frame["post"].where(~never, after))


def numbers(values: Iterable[int]) -> str:
    """Write numbers in order, each once.

    Args:
        values: Whole numbers.

    >>> numbers([3, 1, 3])
    '1, 3'
    """
    return ", ".join(str(value) for value in sorted({int(value) for value in values}))
