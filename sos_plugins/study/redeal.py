"""A programme that never was: pilots re-dealt in the records from before the real one.

Before a programme begins, nothing that it does is in the records. Windows are moved back to there,
authorities are drawn by lot to be pilots, and effects of a known size are planted in their cases:
so the records themselves tell how often a study errs, and what it would find.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sos_plugins.cells.build import COMPRESSED
from sos_plugins.cells.collected import CollectedCases
from sos_plugins.cells.compression import counts, is_compressed
from sos_plugins.contract.columns import ROLE_COLUMNS
from sos_plugins.contract.types import Pilot, Sample
from sos_plugins.errors import DesignError
from sos_plugins.study.collect import date_classes
from sos_plugins.study.design import YEAR_DAYS, label
from sos_plugins.study.pilots_and_pool import Design
from sos_plugins.tables.period_codes import april_year

LEAST_BEFORE, LEAST_AFTER = 2, 1
"""Years, or periods, before and after the windows without which no difference-in-differences with a
look at its trend is possible."""
BARE_BEFORE = 1
"""Years, or periods, before the windows without which there is no difference-in-differences."""
AFTER_SHARE = 1 / 3
"""Share of the years that lies after a window that all pilots have in common."""
LEAST_OTHERS = 2
"""Authorities beyond the pilots without which there is nothing to choose comparators from."""
GAIN = 0.5
"""Cases are added up where that leaves fewer rows than this share of them."""
Days = pd.Timestamp


@dataclass(frozen=True)
class Redeal:
    """The records of one outcome from before the programme, and who may be a pilot in them.

    Attributes:
        cases: Cases that were over before the first real window, or period, of the programme.
        units: Authorities that pilots are drawn from, sorted; the others are the pool.
        windows: The windows, or cohorts, that are dealt; their ``unit`` says nothing.
        notes: What differs from the real programme, in sentences.
    """

    cases: CollectedCases
    units: tuple[str, ...]
    windows: tuple[Pilot, ...]
    notes: tuple[str, ...] = ()

    def deal(self, rng: np.random.Generator) -> Design:
        """Draw pilots by lot; the other authorities are the pool."""
        order = [self.units[i] for i in rng.permutation(len(self.units))]
        dealt = zip(order, self.windows, strict=False)
        pilots = tuple(replace(window, unit=unit, name="") for unit, window in dealt)
        return Design(pilots=pilots, pool=tuple(sorted(order[len(pilots) :])))


def redeal(cases: CollectedCases, design: Design) -> Redeal:
    """Move a programme back to before it began, in the records of one outcome.

    Args:
        cases: All cases of the outcome, one by one or added up.
        design: The real pilots and pool; both may be dealt a window.

    Returns:
        What deals are drawn from. The windows are the real ones some years earlier, all by as many;
        where there are too few years for that, pilots have one window in common.

    Raises:
        DesignError: If there are too few years before the programme, or too few authorities.
    """
    frame = cases.frame[cases.frame["unit"].isin([*(p.unit for p in design.pilots), *design.pool])]
    dated = _dated(frame, design.pilots)
    before = _before(frame, design.pilots, dated=dated)
    name = cases.info.name
    if before.empty:
        raise DesignError(f"Outcome '{name}' has no case before the programme: nothing to deal.")
    move = _moved_days if dated else _moved_periods
    windows, notes = move(before, design.pilots, name)
    units, left_out = _whole_units(before)
    if left_out:
        notes += (
            f"{left_out} authorities without cases in every period before the programme are not "
            "dealt.",
        )
    if len(units) < len(windows) + LEAST_OTHERS:
        raise DesignError(
            f"Outcome '{name}': {len(units)} authorities have cases in every period before the "
            f"programme, and {len(windows)} pilots need at least {len(windows) + LEAST_OTHERS}, so "
            "that comparators are left. Name more authorities in [design] pool, or read records "
            "of more of them."
        )
    kept = before[before["unit"].isin(units)].reset_index(drop=True)
    return Redeal(replace(cases, frame=kept), units, windows, notes)


def _dated(frame: pd.DataFrame, pilots: Iterable[Pilot]) -> bool:
    windowed = all(pilot.start is not None and pilot.end is not None for pilot in pilots)
    return windowed and bool(frame["date"].notna().any())


def _before(frame: pd.DataFrame, pilots: Sequence[Pilot], *, dated: bool) -> pd.DataFrame:
    if not dated:
        return frame[frame["period"] < min(pilot.cohort for pilot in pilots)]
    first = min(pilot.start for pilot in pilots if pilot.start is not None)
    return frame[frame["follow_up_end"] < pd.Timestamp(first)]


def _whole_units(before: pd.DataFrame) -> tuple[tuple[str, ...], int]:
    """Return the authorities with cases in every period, and how many have not."""
    periods = before.groupby("unit")["period"].nunique()
    whole = periods.index[periods == before["period"].nunique()]
    return tuple(sorted(map(str, whole))), len(periods) - len(whole)


def _moved_periods(
    before: pd.DataFrame, pilots: Sequence[Pilot], name: str
) -> tuple[tuple[Pilot, ...], tuple[str, ...]]:
    first, last = int(before["period"].min()), int(before["period"].max())
    cohorts = [pilot.cohort for pilot in pilots]
    back = max(cohorts) - (last - LEAST_AFTER + 1)
    if min(cohorts) - back - first >= LEAST_BEFORE:
        moved = tuple(replace(p, cohort=p.cohort - back, start=None, end=None) for p in pilots)
        return moved, (f"The programme is moved back by {back} periods.",)
    n_periods = last - first + 1
    if n_periods < BARE_BEFORE + LEAST_AFTER:
        raise _too_few(name, n_periods, "periods")
    cohort = last + 1 - max(LEAST_AFTER, int(n_periods * AFTER_SHARE))
    common = tuple(replace(p, cohort=cohort, start=None, end=None) for p in pilots)
    told = _in_common(f"in period {cohort}")
    return common, (told, *_few_leads(cohort - first, "periods"))


def _moved_days(
    before: pd.DataFrame, pilots: Sequence[Pilot], name: str
) -> tuple[tuple[Pilot, ...], tuple[str, ...]]:
    first, last = before["date"].min(), before["date"].max()
    ready = first + (before["follow_up_end"] - before["date"]).median()
    starts = [pd.Timestamp(p.start) for p in pilots if p.start is not None]
    ends = [pd.Timestamp(p.end) for p in pilots if p.end is not None]
    back = int(np.ceil((max(ends) - last).days / YEAR_DAYS)) + LEAST_AFTER
    if _earlier(min(starts), back) >= ready + pd.DateOffset(years=LEAST_BEFORE):
        windows = zip(starts, ends, strict=True)
        moved = [(_earlier(start, back), _earlier(end, back)) for start, end in windows]
        return _with_windows(pilots, moved), (f"The programme is moved back by {back} years.",)
    length = pd.Timedelta(
        days=int(np.median([(e - s).days for s, e in zip(starts, ends, strict=True)]))
    )
    years = (last - ready - length).days / YEAR_DAYS
    if years < BARE_BEFORE + LEAST_AFTER:
        raise _too_few(name, max(years, 0), "years (less the follow-up and a window)")
    after = max(LEAST_AFTER, int(years * AFTER_SHARE))
    end = last - pd.Timedelta(days=int(np.ceil(after * YEAR_DAYS)))
    windows_in_common = [(end - length, end)] * len(pilots)
    told = _in_common(f"on {end - length:%Y-%m-%d}")
    return _with_windows(pilots, windows_in_common), (told, *_few_leads(years - after, "years"))


def _earlier(day: Days, years: int) -> Days:
    return day - pd.DateOffset(years=years)


def _with_windows(
    pilots: Sequence[Pilot], windows: Sequence[tuple[Days, Days]]
) -> tuple[Pilot, ...]:
    return tuple(
        replace(
            pilot,
            start=start.date(),
            end=end.date(),
            cohort=april_year((end + dt.timedelta(days=1)).date()),
        )
        for pilot, (start, end) in zip(pilots, windows, strict=True)
    )


def _in_common(when: str) -> str:
    return (
        f"There are too few years before the programme for windows one after the other: all "
        f"pilots begin {when} here."
    )


def _few_leads(before: float, what: str) -> tuple[str, ...]:
    """Say what cannot be looked at with so little before the windows."""
    if before >= LEAST_BEFORE:
        return ()
    return (
        f"Only {before:.1f} {what} lie before them (less the follow-up), fewer than "
        f"{LEAST_BEFORE}: leads cannot be tested here, and estimators that need some give nothing.",
    )


def _too_few(name: str, there: float, what: str) -> DesignError:
    return DesignError(
        f"Outcome '{name}': there are {there:.1f} {what} of records before the programme; a "
        f"re-dealt programme needs at least {BARE_BEFORE} before and {LEAST_AFTER} after it. "
        "Read records of earlier years, or take a shorter follow-up of the outcome or shorter "
        "embedding windows."
    )


def added_up(cases: CollectedCases, windows: Sequence[Pilot]) -> CollectedCases:
    """Add up the cases that no deal of these windows can tell apart.

    Args:
        cases: Cases one by one.
        windows: The windows that are dealt.

    Returns:
        Rows that stand for cases of the same authority, period, covariates and value on the same
        side of every window; the cases themselves where that is no gain or would lose something:
        weights, clusters or panels of a user's own.
    """
    frame = cases.frame
    if is_compressed(frame) or any(role in frame for role in ROLE_COLUMNS):
        return cases
    marked = frame.copy()
    for column in ("date", "follow_up_end"):
        if frame[column].notna().all():
            starts = date_classes(column, windows)
            days = frame[column].to_numpy(dtype="datetime64[D]")
            kind = np.clip(np.searchsorted(starts, days, side="right") - 1, 0, None)
            marked[column] = starts[kind].astype("datetime64[ns]")
    keys = ["unit", "period", "date", "follow_up_end", *cases.covariates, "value"]
    rows = marked.groupby(keys, sort=True, observed=True, dropna=False).size()
    if len(rows) > GAIN * len(frame):
        return cases
    whole = rows.rename("weight").astype(float).reset_index()
    return replace(cases, frame=_recounted(whole, whole["weight"].to_numpy()).assign(child=None))


def _recounted(frame: pd.DataFrame, n: np.ndarray) -> pd.DataFrame:
    """Return rows that stand for ``n`` cases each, (rows,), of weight 1."""
    number, squares, sums = COMPRESSED
    values = n * frame["value"].to_numpy(float)
    return frame.assign(**{"weight": n, number: n, squares: n, sums: values})


def plant(
    cases: CollectedCases, design: Design, effect: float, rng: np.random.Generator
) -> CollectedCases:
    """Plant an effect in the cases of pilots after their windows.

    Args:
        cases: Cases one by one, or rows that stand for cases.
        design: The pilots and their windows.
        effect: In the units of the value. Cases of an outcome of yes and no are changed at random,
            so that every pilot's rate moves by the effect on average, as far as it has room; other
            values move by it.
        rng: Where the cases that change are drawn.
    """
    after = [_after(cases.frame, pilot) for pilot in design.pilots]
    frame, _ = _planted(cases.frame, after, effect, rng, binary=cases.info.binary)
    return replace(cases, frame=frame)


def plant_in_sample(
    sample: Sample, effect: float, rng: np.random.Generator
) -> tuple[Sample, float]:
    """Plant an effect in the treated cases of a sample after adoption, as :func:`plant` does.

    Returns:
        The sample, and the effect in the mean of the pilots: less than was asked for where a rate
        has no room for it.
    """
    frame = sample.frame
    treated = (frame["treated"] == 1) & (frame["post"] == 1)
    own = np.flatnonzero(treated.to_numpy())
    codes = frame["unit"].to_numpy()[own]
    after = [own[codes == unit] for unit in pd.unique(codes)]
    planted, size = _planted(frame, after, effect, rng, binary=sample.binary)
    return replace(sample, frame=planted, completed=()), size


def _planted(
    frame: pd.DataFrame,
    after: Sequence[np.ndarray],
    effect: float,
    rng: np.random.Generator,
    *,
    binary: bool,
) -> tuple[pd.DataFrame, float]:
    """Plant an effect in the rows of each pilot, and say what was planted on average."""
    if not binary or not frame["value"].isin([0.0, 1.0]).all():
        return _shifted(frame, np.concatenate(after), effect), effect
    chances, sizes = np.zeros(len(frame)), []
    for rows in after:
        chances[rows], size = _chance(frame.iloc[rows], effect)
        sizes.append(size)
    return _turned(frame, chances, rng), float(np.mean(sizes))


def _after(frame: pd.DataFrame, pilot: Pilot) -> np.ndarray:
    """Return the places of a pilot's cases after its window."""
    own = np.flatnonzero(frame["unit"].to_numpy() == pilot.unit)
    numbered = frame.iloc[own].assign(_row=own)
    labelled = label(numbered, pilot)
    return labelled.loc[labelled["post"] == 1, "_row"].to_numpy()


def _chance(frame: pd.DataFrame, effect: float) -> tuple[np.ndarray, float]:
    """Return the chance of each case to change, (rows,), and by how much the rate moves."""
    ones, n = frame["value"].to_numpy(float), counts(frame)
    rate = float((ones * n).sum() / n.sum()) if n.sum() else 0.0
    room = rate if effect < 0 else 1 - rate
    size = min(abs(effect), room)
    changes = ones if effect < 0 else 1 - ones
    chance = size / room if room > 0 else 0.0
    return changes * chance, float(np.sign(effect) * size)


def _turned(frame: pd.DataFrame, chances: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Turn cases from yes to no, or back, by chance."""
    if not is_compressed(frame):
        turned = rng.random(len(frame)) < chances
        value = frame["value"].to_numpy(float)
        return frame.assign(value=np.where(turned, 1 - value, value))
    n = counts(frame)
    lost = rng.binomial(np.round(n).astype(int), chances) / np.where(n > 0, n, 1.0)
    some = np.flatnonzero(lost)
    other = frame.iloc[some].assign(value=1 - frame["value"].to_numpy(float)[some])
    whole = pd.concat([_part(frame, 1 - lost), _part(other, lost[some])])
    return whole[counts(whole) > 0].reset_index(drop=True)


def _part(frame: pd.DataFrame, share: np.ndarray) -> pd.DataFrame:
    """Return rows that stand for a share of their cases, (rows,), all of the same value."""
    number, squares, sums = COMPRESSED
    names = ("weight", number, squares)
    left = {name: frame[name].to_numpy(float) * share for name in names}
    return frame.assign(**left, **{sums: left[number] * frame["value"].to_numpy(float)})


def _shifted(frame: pd.DataFrame, rows: np.ndarray, effect: float) -> pd.DataFrame:
    """Move the values of rows."""
    moves = np.zeros(len(frame))
    moves[rows] = effect
    value = frame["value"].to_numpy(float) + moves
    if not is_compressed(frame):
        return frame.assign(value=value)
    sums = COMPRESSED[2]
    return frame.assign(value=value, **{sums: frame[sums].to_numpy(float) + counts(frame) * moves})
