"""Who is treated and when: pilots, the pool, matched groups, and the samples made from them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sos_plugins.cells.build import COMPRESSED
from sos_plugins.cells.collected import CollectedCases
from sos_plugins.cells.compression import count, counts, is_compressed
from sos_plugins.contract.columns import CALENDAR
from sos_plugins.contract.interfaces import UnitTask
from sos_plugins.contract.types import MatchedGroup, Pilot, Sample
from sos_plugins.errors import DataError, DesignError, did_you_mean, listing
from sos_plugins.study.adoption import Adoption, cohort_in_words
from sos_plugins.study.contamination import contaminated_of, told_of
from sos_plugins.study.file import DesignTable
from sos_plugins.study.pilots import read_pilots, told_of_names
from sos_plugins.study.pilots_and_pool import Design
from sos_plugins.tables.names_alike import folded, warn_of_names_alike
from sos_plugins.tables.unit_codes import KnownUnits, UnclearUnitError, described, same_authorities

FEATURES = ("outcome_pre_", "x_")
"""What the names of features begin with that are no covariates: earlier outcomes, and what the file
of authorities says."""
MEAN_BEFORE = "outcome_pre_mean"
"""The feature that is the mean outcome before any pilot began."""
NOTHING_SAID = Adoption()

NONE = np.arange(0)
"""The places of the rows of an authority without any."""
WHEN = ("period", "date", "follow_up_end")
"""Columns that say when a case was."""
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

YEAR_DAYS = 365.25
"""Length of an event year: event times count years from the embedding window."""


COVERED_SHARE = 0.5
"""Least share of its usual cases that a pilot's period must have in a staggered sample."""


def make_design(
    table: DesignTable,
    base: Path,
    units: Sequence[str],
    names: Mapping[str, str],
    adoption: Adoption = NOTHING_SAID,
    *,
    pilots: Sequence[Pilot] | None = None,
) -> tuple[Design, tuple[str, ...]]:
    """Make the design of a study from its table and the authorities that the records know.

    Args:
        table: The table of the study file.
        base: Folder against which its paths are resolved.
        units: Authorities in the records.
        names: Authority code to name.
        adoption: When authorities are treated, as the records say. Who is treated there without
            being a pilot is no comparator.
        pilots: Those of the table, where they have been read.

    Returns:
        The design, and warnings: pilots that the records do not have, authorities whose names
        differ in capitals or blanks only, authorities that the records say are treated, pilots
        whose first treated period is another in the records, contaminated authorities.

    Raises:
        DesignError: If a named authority is unknown, a pilot seems misspelt, the pool names one
            that the records say is treated, or no pilot or no comparator is left.
    """
    known = set(units)
    finder = KnownUnits(known, names)
    read = read_pilots(table, base) if pilots is None else pilots
    table, pilots, named_otherwise = _as_in_records(table, read, finder)
    codes = {p.unit for p in pilots}
    absent = [p.unit for p in pilots if p.unit not in known]
    if len(absent) == len(pilots):
        near = "".join(
            dict.fromkeys(_same_code(code, known) or finder.near(code) for code in absent)
        )
        raise DesignError(
            f"The records have none of the pilots {listing(absent)}. Authorities in the records: "
            f"{_some(sorted(known))}.{near} Check [design] pilots and the codes."
        )
    for code in absent:
        if not _same_code(code, known) and finder.is_misspelt(code):
            raise DesignError(
                f"[design] pilots: '{code}' is not in the records and no authority that is known."
                f"{finder.near(code)} Correct it, or take the pilot out of the design."
            )
    named = [*table.exclude, *(table.pool if table.pool != "all" else ())]
    for code in named:
        if code not in known:
            raise DesignError(
                f"[design] names the authority '{code}', which the records do not have."
                f"{finder.near(code)} Authorities: {_some(sorted(known))}."
            )
    clash = sorted(codes & set(named))
    if clash:
        raise DesignError(
            f"[design]: {listing(clash)} is a pilot and stands in pool or exclude too. Take it "
            "out of one of them."
        )
    adopted = adoption.treated_by(table.last_period)
    if table.pool != "all" and (wrong := sorted(set(table.pool) & set(adopted))):
        raise DesignError(
            f"[design] pool names authorities that the records say are treated: "
            f"{_with_years(adopted, wrong)}. Take them out of the pool, make them pilots, or "
            "correct the records' column of first treated periods."
        )
    wanted = known if table.pool == "all" else set(table.pool)
    candidates = wanted - codes - set(table.exclude)
    contaminated = contaminated_of(table, base, finder, codes)
    contamination = told_of(contaminated, candidates, table)
    pool = tuple(sorted(candidates - set(adopted) - set(contaminated)))
    if not pool:
        why = f" {contamination}" if contamination else ""
        if gone := sorted(candidates & set(adopted)):
            why += f" The records say that these are treated: {_with_years(adopted, gone)}."
        raise DesignError(
            f"No authority is left that could be a comparator: see [design] pool.{why}"
        )
    design = Design(
        pilots=tuple(
            replace(p, name=p.name or names.get(p.unit, "")) for p in pilots if p.unit in known
        ),
        pool=pool,
        adopted={code: adopted[code] for code in sorted(candidates & set(adopted))},
        contaminated={code: why for code, why in contaminated.items() if code in candidates},
    )
    warnings = tuple(
        f"Pilot {code} is not in the records and is left out of every outcome."
        f"{_same_code(code, known) or finder.near(code)}"
        for code in absent
    )
    alike = (*warn_of_names_alike({*known, *codes}), *_warn_of_forms(known), *named_otherwise)
    told = (*adoption.warnings, *_told_of_adoption(design, adoption))
    return design, (*warnings, *alike, *told, *filter(None, [contamination]))


def _as_in_records(
    table: DesignTable, pilots: Sequence[Pilot], known: KnownUnits
) -> tuple[DesignTable, tuple[Pilot, ...], tuple[str, ...]]:
    """Call the authorities of a design what the records call them, and say which were renamed.

    Raises:
        DesignError: If a name or code may mean several authorities of the records.
    """
    found: list[tuple[str, str]] = []

    def renamed(text: str, where: str) -> str:
        try:
            unit = known.find(text) or text
        except UnclearUnitError as error:
            raise DesignError(f"[design] {where}: {error}") from None
        found.append((text, unit))
        return unit

    found_pilots = tuple(replace(p, unit=renamed(p.unit, "pilots")) for p in pilots)
    pool = table.pool if table.pool == "all" else tuple(renamed(u, "pool") for u in table.pool)
    changed = {
        "pool": pool,
        "exclude": tuple(renamed(unit, "exclude") for unit in table.exclude),
        "contaminated": {renamed(u, "contaminated"): r for u, r in table.contaminated.items()},
    }
    return table.model_copy(update=changed), found_pilots, told_of_names(found)


def _warn_of_forms(units: Collection[str]) -> tuple[str, ...]:
    """Return a warning on authorities that the records have in several forms."""
    pairs = [
        f"{' and '.join(forms)} ({described([code])})"
        for code, forms in same_authorities(units).items()
    ]
    if not pairs:
        return ()
    return (
        "One authority in several forms is taken for several authorities: "
        f'{_some(pairs, 5)}. Write it in one way; codes = "dfe" of a source does.',
    )


def _told_of_adoption(design: Design, adoption: Adoption) -> Iterator[str]:
    """Yield what the records say of treatment and the design does not."""
    if n := len(design.adopted):
        be = "authority is" if n == 1 else "authorities are"
        yield (
            f"{n} {be} treated according to the records and no pilot of the design, so no "
            f"comparator either: {_with_years(design.adopted, list(design.adopted))}."
        )
    for pilot in design.pilots:
        said = adoption.cohorts.get(pilot.unit)
        if said is not None and said != pilot.cohort:
            yield (
                f"Pilot {pilot.unit} is treated from {pilot.cohort} according to the design and "
                f"{cohort_in_words(said)} according to the records; the design is followed."
            )


def _with_years(adopted: Mapping[str, int], codes: Sequence[str]) -> str:
    return _some([f"{code} ({cohort_in_words(adopted[code])})" for code in codes])


def _same_code(code: str, known: Collection[str]) -> str:
    """Point to a code that differs in leading zeros, which spreadsheets eat, capitals or blanks."""
    if near := [k for k in sorted(known) if k.lstrip("0") == code.lstrip("0")]:
        return f" The records have '{near[0]}': the codes differ in leading zeros."
    if near := [k for k in sorted(known) if folded(k) == folded(code)]:
        return f" The records have '{near[0]}': the codes differ in capitals or blanks."
    return ""


def _some(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown or "none"


def restrict_periods(frame: pd.DataFrame, table: DesignTable) -> pd.DataFrame:
    """Keep the cases between the first and last period of the design."""
    keep = pd.Series(True, index=frame.index)
    if table.first_period is not None:
        keep &= frame["period"] >= table.first_period
    if table.last_period is not None:
        keep &= frame["period"] <= table.last_period
    return frame.loc[keep]


@dataclass(frozen=True)
class CountedCases:
    """Cases that a study can place in time, and the steps from the outcome's cases to them.

    ``steps`` has the columns of ``Cases.attrition``.
    """

    frame: pd.DataFrame
    steps: pd.DataFrame

    def and_then(self, step: str, reason: str, frame: pd.DataFrame) -> CountedCases:
        """Go one step further, to the cases of ``frame``."""
        row = {
            "step": step,
            "reason": reason,
            "n_before": count(self.frame),
            "n_dropped": count(self.frame) - count(frame),
            "n_after": count(frame),
        }
        return CountedCases(frame, pd.concat([self.steps, pd.DataFrame([row])], ignore_index=True))


def count_cases(frame: pd.DataFrame, attrition: pd.DataFrame, table: DesignTable) -> CountedCases:
    """Leave out cases without a value, those without a date, where others have one, and others.

    The others lie outside the periods of the design.
    """
    counted = CountedCases(frame, attrition)
    if frame["value"].isna().any():
        known = frame[frame["value"].notna()]
        counted = counted.and_then("value known", "no value of the outcome", known)
    if frame["date"].notna().any() or frame["follow_up_end"].notna().any():
        dated = frame["date"].notna() & frame["follow_up_end"].notna()
        counted = counted.and_then(
            "dated", "no date or no end of follow-up, so neither before nor after", frame[dated]
        )
    kept = restrict_periods(counted.frame, table)
    if table.first_period is not None or table.last_period is not None:
        counted = counted.and_then("in the periods of the design", "earlier or later", kept)
    return counted


def label(frame: pd.DataFrame, pilot: Pilot) -> pd.DataFrame:
    """Label cases by one pilot's embedding window; cases within the window are left out.

    A case is *pre* when its follow-up ended before the window starts, *post* when it entered after
    the window ended. Event time counts years away from the window: -1 is the last year before it,
    0 the first after it. Without a window (panels), event time is ``period - cohort``.

    Returns:
        The labelled cases with columns ``post`` (0/1) and ``event`` added.
    """
    event, post, kept = _times(frame, pilot)
    labelled = frame if kept.all() else frame[kept]
    return labelled.assign(event=event[kept], post=post[kept].astype("int64"))


def _times(frame: pd.DataFrame, pilot: Pilot) -> tuple[Ints, Bools, Bools]:
    """Return event times of cases, which are *post*, and which are either (n,): see :func:`label`.

    Args:
        frame: Cases with ``period``, ``date`` and ``follow_up_end``.
        pilot: Whose window.
    """
    if pilot.start is None or pilot.end is None or frame["date"].isna().all():
        years = (frame["period"].to_numpy() - pilot.cohort).astype("int64")
        return years, years >= 0, np.ones(len(years), dtype=bool)
    before = (pd.Timestamp(pilot.start) - frame["follow_up_end"]).dt.days.to_numpy(float)
    after = (frame["date"] - pd.Timestamp(pilot.end)).dt.days.to_numpy(float)
    pre, post = before > 0, after > 0
    event = np.where(
        post, np.floor((after - 1) / YEAR_DAYS), -1 - np.floor((before - 1) / YEAR_DAYS)
    )
    kept = pre | post
    return np.where(kept, event, 0).astype("int64"), post, kept


def stacked_sample(
    frame: pd.DataFrame, design: Design, covariates: Sequence[str], *, binary: bool
) -> Sample:
    """Stack the matched groups: each has its pilot and comparators in the pilot's window.

    ``period`` is ``cohort + event``, so years are counted from the window, and ``calendar_period``
    is the period of the cases; a comparator's cases appear once in every group it serves and stay
    one cluster.

    Raises:
        DesignError: If there are no matched groups, or no case falls before or after a window.
    """
    if not design.groups:
        raise DesignError("There are no matched groups: every pilot is without a comparator.")
    places, marks = _places(frame), frame[list(WHEN)]
    rows, columns = [], []
    for group in design.groups:
        pilot = design.pilot(group.pilot)
        own = np.concatenate([places.get(u, NONE) for u in (group.pilot, *group.comparators)])
        event, post, kept = _times(marks.iloc[own], pilot)
        treated = np.arange(len(own)) < len(places.get(group.pilot, NONE))
        rows.append(own[kept])
        columns.append((event[kept], post[kept], treated[kept], np.full(kept.sum(), pilot.cohort)))
    place = np.concatenate(rows)
    event, post, treated, cohort = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    of_group = np.repeat([group.pilot for group in design.groups], [len(own) for own in rows])
    stacked = frame.take(place).assign(
        event=event,
        post=post.astype("int64"),
        group=pd.Series(of_group, dtype=frame["unit"].dtype).array,
        case=frame.index.to_numpy()[place],
        treated=treated.astype("int64"),
        cohort=np.where(treated, cohort, 0),
        period=event + cohort,
        **{CALENDAR: frame["period"].to_numpy()[place]},
    )
    keep = ["group", "case", "event", CALENDAR]
    if "date" in stacked and stacked["date"].notna().all():
        keep.append("date")
    return _sample(stacked, covariates, binary, window_gap=True, keep=keep)


def _places(frame: pd.DataFrame) -> Mapping[str, Ints]:
    """Return the places of the rows of each authority."""
    found = frame.groupby("unit", sort=False).indices
    return {str(unit): np.asarray(places) for unit, places in found.items()}


def calendar_sample(
    frame: pd.DataFrame,
    design: Design,
    covariates: Sequence[str],
    *,
    binary: bool,
) -> tuple[Sample, tuple[str, ...]]:
    """Put every case once, in calendar periods: pilots outside their window, comparators whole.

    A pilot's period counts where the window leaves at least half of its usual cases
    (:data:`COVERED_SHARE`), since group-time effects rest on single periods; the pilot's cohort is
    the first such period after the window. Cases in the other periods are left out.

    Returns:
        The sample, and a warning that counts the pilots' cases outside the window left out.
    """
    chosen, places = {c for g in design.groups for c in g.comparators}, _places(frame)
    rows = [np.flatnonzero(frame["unit"].isin(chosen))]
    cohorts, posts = [0], [np.zeros(len(rows[0]), dtype=bool)]
    n_left_out = 0
    for pilot in design.pilots:
        own = places.get(pilot.unit, NONE)
        part = frame.take(own)
        _, post, kept = _times(part, pilot)
        covered, cohort = _covered(part, post, kept, pilot)
        if not covered.all():
            n_left_out += count(part[kept]) - count(part[covered])
        rows.append(own[covered])
        cohorts.append(cohort)
        posts.append(post[covered])
    keep = ("id",) if "id" in frame else ()
    numbers = [len(part) for part in rows]
    whole = frame.take(np.concatenate(rows)).assign(
        treated=np.repeat([0] + [1] * len(design.pilots), numbers),
        cohort=np.repeat(cohorts, numbers),
        post=np.concatenate(posts).astype("int64"),
    )
    warnings: tuple[str, ...] = ()
    if n_left_out:
        warnings = (
            f"The staggered sample leaves out {n_left_out:,} cases of pilots in periods that their "
            "embedding windows cover for the most part.",
        )
    return _sample(whole, covariates, binary, window_gap=True, keep=keep), warnings


def _covered(cases: pd.DataFrame, post: Bools, kept: Bools, pilot: Pilot) -> tuple[Bools, int]:
    """Return which cases of a pilot lie in the periods that count, (n,), and its cohort."""
    if pilot.start is None or cases["date"].isna().all():
        return kept, pilot.cohort
    period = cases["period"]
    counted = pd.DataFrame({"period": period, "n": counts(cases), "post": post})[kept]
    sizes = {
        half: counted[counted["post"] == half].groupby("period")["n"].sum()
        for half in (False, True)
    }
    full = {half: set(n.index[n >= COVERED_SHARE * n.median()]) for half, n in sizes.items()}
    for both in full[False] & full[True]:
        fewer = sizes[True][both] <= sizes[False][both]
        full[bool(fewer)].discard(both)
    cohort = min(full[True], default=pilot.cohort)
    before = (period.isin(full[False]) & (period < cohort)).to_numpy()
    after = period.isin(full[True]).to_numpy()
    return kept & np.where(post, after, before), cohort


def empty_periods(sample: Sample) -> int:
    """Return the most periods that lie empty between a cohort's last "pre" case and its start.

    Embedding windows and follow-up buffers leave a gap there; a staggered estimator bridges it by
    taking that many periods as anticipation.
    """
    frame = sample.frame
    before = frame[(frame["treated"].to_numpy() == 1) & (frame["post"].to_numpy() == 0)]
    if before.empty:
        return 0
    of_units = before.groupby("unit", sort=False).agg({"period": "max", "cohort": "first"})
    return max(0, int((of_units["cohort"] - of_units["period"]).max()) - 1)


def _sample(
    frame: pd.DataFrame,
    covariates: Sequence[str],
    binary: bool,
    *,
    window_gap: bool,
    keep: Sequence[str] = (),
) -> Sample:
    if frame.empty:
        raise DesignError(
            "No case lies before or after an embedding window. Check the windows of the pilots "
            "against the dates of the data."
        )
    if "weight" not in frame:
        frame = frame.assign(weight=1.0)
    if "cluster" not in frame:
        frame = frame.assign(cluster=frame["unit"])
    columns = [
        *("unit", "period", "cohort", "value", "weight", "cluster", "treated", "post"),
        *keep,
        *(c for c in ("child",) if c in frame and frame[c].notna().all()),
        *(c for c in COMPRESSED if c in frame),
        *covariates,
    ]
    columns = list(dict.fromkeys(columns))
    return Sample(frame[columns].reset_index(drop=True), tuple(covariates), binary, window_gap)


def unit_task(
    frame: pd.DataFrame,
    design: Design,
    covariates: Sequence[str],
    characteristics: pd.DataFrame | None,
    blank: UnitTask,
) -> tuple[UnitTask, tuple[str, ...]]:
    """Describe authorities before any pilot began: outcome by period, case mix, size.

    Authorities without cases in one of the periods cannot be comparators; they are named in
    ``left_out`` and counted in the returned warnings. A feature that a pilot lacks is left out for
    all. ``blank`` has what does not depend on the cases: outcome, neighbours and seed.
    """
    before, pilots, warnings = before_any_window(frame, design)
    features, notes = _features(before, covariates)
    blank = replace(blank, sampling=sampling_variances(before))
    warnings += notes
    if characteristics is not None:
        features = features.join(characteristics.add_prefix("x_"))
    task, further = _complete_task(features, pilots, design, blank)
    return task, (*warnings, *further)


def before_any_window(
    frame: pd.DataFrame, design: Design
) -> tuple[pd.DataFrame, tuple[Pilot, ...], tuple[str, ...]]:
    """Return the cases before the first window, of pilots and pool, and the pilots that have some.

    A pilot without a case before its own window is left out first, with a warning: it would
    otherwise leave nothing before the first window for the others.
    """
    pilots, warnings = [], []
    places, marks = _places(frame), frame[list(WHEN)]
    for pilot in design.pilots:
        _, post, kept = _times(marks.iloc[places.get(pilot.unit, NONE)], pilot)
        if (kept & ~post).any():
            pilots.append(pilot)
        else:
            warnings.append(
                f"Pilot {pilot.unit} {pilot.name} has no case before its embedding window and is "
                "left out."
            )
    if not pilots:
        raise DesignError("No pilot has a case before its embedding window. " + " ".join(warnings))
    cohort = min(p.cohort for p in pilots)
    first = min(pilots, key=lambda p: (p.start or dt.date.max, p.cohort))
    event, post, kept = _times(marks, first)
    early = kept & ~post & (frame["period"].to_numpy() < cohort)
    early &= frame["unit"].isin([*(p.unit for p in pilots), *design.pool]).to_numpy()
    before = frame[early].assign(event=event[early], post=0)
    if before.empty:
        raise DesignError("No case lies before the first embedding window: nothing to match on.")
    return before, tuple(pilots), tuple(warnings)


def _features(
    before: pd.DataFrame, covariates: Sequence[str]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the features that cases give, and what is said of names."""
    n = pd.Series(counts(before), index=before.index)
    value, unit = before["value"] * n, before["unit"]
    of_unit = n.groupby(unit).sum()
    by_period = (value.groupby([unit, before["period"]]).sum()).unstack() / (
        n.groupby([unit, before["period"]]).sum()
    ).unstack()
    features = by_period.add_prefix("outcome_pre_")
    features[MEAN_BEFORE] = value.groupby(unit).sum() / of_unit
    features["n_cases"] = of_unit / before["period"].nunique()
    notes = []
    for name in covariates:
        column = before[name]
        if pd.api.types.is_numeric_dtype(column):
            known = n.where(column.notna(), 0.0)  # a mean of what is known, where some is missing
            made = {name: (column * n).groupby(unit).sum() / known.groupby(unit).sum()}
        else:
            level_counts = n.groupby([unit, column.astype(str)]).sum().unstack(fill_value=0)
            shares = level_counts.div(of_unit, axis=0)
            made = {f"{name}={level}": shares[level] for level in shares}
        label = _feature_label(name, made, set(features.columns))
        named = {label + key.removeprefix(name): mean_of for key, mean_of in made.items()}
        features = features.join(pd.DataFrame(named))
        if label != name:
            notes.append(
                f"To matchers the covariate '{name}' is the feature '{label}', since its own name "
                "is that of another feature of authorities."
            )
    return features, tuple(notes)


def sampling_variances(before: pd.DataFrame) -> pd.DataFrame:
    """Return the variance of each authority's outcome of a period from sampling its cases.

    The spread of cases about the means of periods, over the number of cases of the period.

    Returns:
        Frame indexed by ``unit`` with columns ``outcome_pre_<period>``; missing for an authority
        with one case a period, and for all where rows stand for many cases with other values than
        0 and 1, which do not tell their spread.
    """
    n = pd.Series(counts(before), index=before.index)
    value, keys = before["value"], [before["unit"], before["period"]]
    if is_compressed(before) and not value.isin([0.0, 1.0]).all():
        return pd.DataFrame()
    parts = pd.DataFrame({"n": n, "sum": n * value, "squares": n * value**2})
    cells = parts.groupby(keys).sum()
    n_cells = cells["n"].unstack()
    spread = (cells["squares"] - cells["sum"] ** 2 / cells["n"]).groupby(level=0).sum()
    left = (cells["n"] - 1).groupby(level=0).sum()
    within = (spread / left.where(left > 0)).clip(lower=0).to_numpy(float)
    variances = within[:, None] / n_cells.to_numpy(float)
    return pd.DataFrame(variances, n_cells.index, n_cells.columns).add_prefix("outcome_pre_")


def _feature_label(name: str, made: Collection[str], taken: Collection[str]) -> str:
    """Return the name of a covariate among features, which no other feature has."""
    label = name
    while label.startswith(FEATURES) or any(label + c.removeprefix(name) in taken for c in made):
        label = f"covariate {label}"
    return label


def _complete_task(
    features: pd.DataFrame, planned: Sequence[Pilot], design: Design, blank: UnitTask
) -> tuple[UnitTask, tuple[str, ...]]:
    pool, warnings = design.pool, []
    pilots = [p for p in planned if p.unit in features.index]
    for pilot in planned:
        if pilot.unit not in features.index:
            warnings.append(
                f"Pilot {pilot.unit} {pilot.name} has no case before the first embedding window "
                "and cannot be matched."
            )
    if not pilots:
        raise DesignError("No pilot has a case before the first embedding window.")
    of_pilots = features.loc[[p.unit for p in pilots]]
    known = [name for name in features.columns if of_pilots[name].notna().all()]
    if len(known) < features.shape[1]:
        lost = listing(name for name in features.columns if name not in known)
        warnings.append(f"Features that a pilot lacks are not matched on: {lost}.")
    features = features[known]
    complete = features.notna().all(axis=1)
    left_out = {u: _gap(features, u) for u in pool if u not in features.index or not complete[u]}
    for why in sorted(set(left_out.values())):
        units = [u for u, reason in left_out.items() if reason == why]
        warnings.append(
            f"{len(units)} of {len(pool)} authorities of the pool cannot be comparators: {why}."
        )
    order = sorted(p.unit for p in pilots) + [u for u in sorted(pool) if u not in left_out]
    if len(order) == len(pilots):
        raise DesignError("No authority of the pool can be a comparator. " + " ".join(warnings))
    left_out |= {
        unit: f"it is treated {cohort_in_words(cohort)} according to the records"
        for unit, cohort in design.adopted.items()
    }
    left_out |= {
        unit: f"it is contaminated by the approach ({reason})"
        for unit, reason in design.contaminated.items()
    }
    task = replace(blank, pilots=tuple(pilots), features=features.loc[order], left_out=left_out)
    return task, tuple(warnings)


def _gap(features: pd.DataFrame, unit: str) -> str:
    """Say what keeps an authority from being compared."""
    if unit not in features.index:
        return "no case before the first embedding window"
    lacking = [str(name) for name, value in features.loc[unit].items() if pd.isna(value)]
    if all(name.startswith("x_") for name in lacking):
        absent = listing(name.removeprefix("x_") for name in lacking)
        return f"no {absent} in the authorities' file"
    return "no case in some period before the first embedding window"


def with_groups(design: Design, groups: Sequence[MatchedGroup]) -> Design:
    """Return the design with matched groups, and only the pilots that have one."""
    matched = {g.pilot for g in groups}
    kept = tuple(p for p in design.pilots if p.unit in matched)
    return replace(design, pilots=kept, groups=tuple(sorted(groups, key=lambda g: g.pilot)))


def trends(sample: Sample, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the mean outcome of pilots and comparators by calendar period.

    Each authority's cases count once. Columns ``series, period, mean, n_cases``.
    """
    roles = {
        "pilots": sample.frame.loc[sample.frame["treated"] == 1, "unit"].unique(),
        "comparators": sample.frame.loc[sample.frame["treated"] == 0, "unit"].unique(),
    }
    parts = []
    sums = frame[["unit", "period"]].assign(n=counts(frame))
    sums["y"] = sums["n"] * frame["value"]
    for series, units in roles.items():
        by_period = sums[frame["unit"].isin(units)].groupby("period")[["n", "y"]].sum()
        n = by_period["n"]
        part = pd.DataFrame({"mean": by_period["y"] / n, "n_cases": n.round().astype("int64")})
        parts.append(part.reset_index().assign(series=series))
    return pd.concat(parts, ignore_index=True)[["series", "period", "mean", "n_cases"]]


def spans(sample: Sample) -> pd.DataFrame:
    """Return the first and last event time at which each pilot has cases.

    Columns ``pilot, first_event, last_event``.
    """
    treated = sample.frame[sample.frame["treated"] == 1]
    by_pilot = treated.groupby("unit")["event"].agg(first_event="min", last_event="max")
    return by_pilot.rename_axis("pilot").reset_index()


def group_table(sample: Sample) -> pd.DataFrame:
    """Return cases and means before and after, by matched group and authority.

    Columns ``group, role, unit, n_pre, n_post, mean_pre, mean_post``; means are weighted.
    """
    frame = sample.frame
    n, weight = counts(frame), frame["weight"].to_numpy(float)
    sums = frame[["group", "treated", "unit"]].assign(
        n=n, w=weight, wy=weight * frame["value"].to_numpy(float), half=frame["post"]
    )
    keys = ["group", "treated", "unit"]
    added = sums.groupby([*keys, "half"], sort=True)[["n", "w", "wy"]].sum()
    whole = pd.DataFrame(added.unstack("half")).reindex(
        columns=pd.MultiIndex.from_product([["n", "w", "wy"], [0, 1]])
    )
    table = whole.index.to_frame(index=False)
    table.insert(1, "role", np.where(table.pop("treated") == 1, "pilot", "comparator"))
    for half, post in (("pre", 0), ("post", 1)):
        table[f"n_{half}"] = whole["n", post].fillna(0).round().astype("int64").to_numpy()
    for half, post in (("pre", 0), ("post", 1)):
        total = whole["w", post].to_numpy()
        table[f"mean_{half}"] = whole["wy", post].to_numpy() / np.where(total > 0, total, np.nan)
    return table.sort_values(["group", "role", "unit"], ascending=[True, False, True])


def chosen_covariates(
    cases: CollectedCases, choice: str | tuple[str, ...], frame: pd.DataFrame
) -> tuple[str, ...]:
    """Return the covariates to adjust for: those chosen that vary.

    Raises:
        DataError: If one is chosen that the cases do not have.
    """
    if choice == "none":
        return ()
    names = cases.covariates if choice == "all" else tuple(choice)
    for name in names:
        if name not in cases.covariates:
            raise DataError(
                f"Outcome '{cases.info.name}' has no covariate '{name}'."
                f"{did_you_mean(name, cases.covariates)} Covariates: {listing(cases.covariates)}."
            )
    return tuple(n for n in names if frame[n].nunique(dropna=False) > 1)


def constant_covariates(
    cases: CollectedCases, choice: str | tuple[str, ...], frame: pd.DataFrame
) -> tuple[str, ...]:
    """Say which covariates that are to be adjusted for are left out because they do not vary."""
    wanted = {"none": (), "all": cases.covariates}.get(str(choice), tuple(choice))
    kept = chosen_covariates(cases, choice, frame)
    gone = [name for name in wanted if name not in kept]
    if not gone:
        return ()
    return (f"Covariates that are the same in all cases are not adjusted for: {listing(gone)}.",)
