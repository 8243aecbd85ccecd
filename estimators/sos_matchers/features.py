"""Choosing, checking and scaling the features of authorities that a matcher compares."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sos_plugins import UnitTask
from sos_plugins.errors import DataError, DesignError, SettingsError, did_you_mean, listing

PER_PERIOD = re.compile(r"outcome_pre_(-?\d+)( of .+)?")
"""Features that hold the outcome of one pre-period: the period and, where authorities are matched
for several outcomes together, the end of the name that says which."""

OF_OUTCOME = " of "
"""What stands before the outcome in names of features where several are matched for together."""

NO_FEATURES = "no features: it has no case before the earliest embedding window"


@dataclass(frozen=True)
class Candidates:
    """Pilots and pool with the features to compare, in the order of their codes.

    Attributes:
        pilots: Codes of the pilots that have features.
        pool: Codes of the authorities that may be comparators.
        values: Array (pilots then pool, features), unscaled.
        names: Names of the features, in the order of the columns.
        unmatched: Pilots that have no features, with the reason.
        notes: Sentences on features that were left out.
    """

    pilots: tuple[str, ...]
    pool: tuple[str, ...]
    values: np.ndarray
    names: tuple[str, ...]
    unmatched: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def units(self) -> tuple[str, ...]:
        """Codes in the order of the rows of ``values``."""
        return (*self.pilots, *self.pool)

    @property
    def treated(self) -> np.ndarray:
        """Array (rows,) of 1 for pilots and 0 for the pool."""
        return np.repeat([1, 0], [len(self.pilots), len(self.pool)])


def candidates(task: UnitTask, wanted: Sequence[str], *, matcher: str) -> Candidates:
    """Collect pilots, pool and the wanted features.

    Args:
        task: What the matcher was given.
        wanted: Names of features, or their beginnings followed by ``*`` (or ending in ``_``).
        matcher: Name of the matcher, for messages.

    Raises:
        DesignError: If there are no pilots with features, no pool, or no feature that varies.
        SettingsError: If a feature is unknown.
        DataError: If a feature is not a number or has gaps, or a unit has two rows.
    """
    pilots, pool, unmatched = sides(task, matcher=matcher)
    chosen = expand_names(wanted, list(task.features.columns), matcher=matcher)
    frame = numeric(task.features.loc[[*pilots, *pool], chosen], matcher=matcher)
    treated = np.repeat([True, False], [len(pilots), len(pool)])
    flat = [name for name in chosen if not varies_within(frame[name].to_numpy(), treated)]
    kept = [name for name in chosen if name not in flat]
    if not kept:
        raise DesignError(
            f"Matcher '{matcher}': none of the features {listing(chosen)} varies between "
            "authorities, so no authority is nearer than another. Choose other features."
        )
    return Candidates(
        pilots, pool, frame[kept].to_numpy(float), tuple(kept), unmatched, _flat_note(flat)
    )


def sides(
    task: UnitTask, *, matcher: str
) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, str]]:
    """Return the codes of pilots and of the pool, sorted, and the pilots without features.

    Raises:
        DesignError: If one of the two is empty.
        DataError: If an authority has two rows of features.
    """
    index = task.features.index
    if index.has_duplicates:
        twice = listing(set(index[index.duplicated()]))
        raise DataError(f"Matcher '{matcher}': the features name the authorities {twice} twice.")
    known = set(index)
    pilots = sorted(p.unit for p in task.pilots if p.unit in known)
    unmatched = {p.unit: NO_FEATURES for p in task.pilots if p.unit not in known}
    if not pilots:
        raise DesignError(
            f"Matcher '{matcher}': none of the pilots {listing(p.unit for p in task.pilots)} has "
            "cases before the earliest embedding window to be matched on."
        )
    if not task.pool:
        raise DesignError(
            f"Matcher '{matcher}': there is no authority to choose comparators from. Name a pool "
            "in the design, or add data of authorities that are no pilots."
        )
    return tuple(pilots), tuple(sorted(task.pool)), unmatched


def expand_names(wanted: Sequence[str], known: Sequence[str], *, matcher: str) -> list[str]:
    """Return the columns that names and beginnings of names stand for, each once.

    Raises:
        SettingsError: If an entry stands for none; the message lists the known features.
    """
    chosen: dict[str, None] = {}
    for entry in wanted:
        start = entry.removesuffix("*")
        if entry in known:
            names = [entry]
        elif entry.endswith(("*", "_")):
            names = [name for name in known if name.startswith(start)]
        else:
            names = []
        if not names:
            raise SettingsError(
                f"Matcher '{matcher}': unknown feature '{entry}'.{did_you_mean(entry, known)} "
                f"Known features: {listing(known)}. A name that ends in * stands for all features "
                "that begin so."
            )
        chosen.update(dict.fromkeys(names))
    return list(chosen)


def numeric(frame: pd.DataFrame, *, matcher: str) -> pd.DataFrame:
    """Return the frame as floats.

    Raises:
        DataError: If a column is no number or has gaps; the message names the authorities.
    """
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            raise DataError(f"Matcher '{matcher}': the feature '{name}' is not a number.")
    numbers = frame.astype(float)
    complete = np.isfinite(numbers.to_numpy())
    for j in np.flatnonzero(~complete.all(axis=0)).tolist():
        name, units = frame.columns[j], listing(frame.index[~complete[:, j]])
        raise DataError(
            f"Matcher '{matcher}': the feature '{name}' has no value for the authorities {units}. "
            "Leave the feature or the authorities out, or fill the gap."
        )
    return numbers


def is_kind(name: str, kinds: Sequence[str]) -> bool:
    """Whether a feature is one of these, of whichever outcome.

    >>> is_kind("n_cases of kinship-care", ["n_cases"]), is_kind("n_casesx", ["n_cases"])
    (True, False)
    """
    return any(name == kind or name.startswith(f"{kind}{OF_OUTCOME}") for kind in kinds)


def varies_within(values: np.ndarray, treated: np.ndarray) -> bool:
    """Whether a feature differs between pilots or between authorities of the pool."""
    spread = [np.ptp(part) for part in (values[treated], values[~treated]) if len(part)]
    scale = np.abs(values).max()
    return bool(max(spread) > np.finfo(float).eps * 8 * scale)


def _flat_note(flat: Sequence[str]) -> tuple[str, ...]:
    if not flat:
        return ()
    if len(flat) == 1:
        return (f"The feature {flat[0]} does not vary and was left out.",)
    return (f"The features {', '.join(flat)} do not vary and were left out.",)


def standardised(values: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """Centre columns and divide them by their SD (with n - 1); constant columns become zero.

    ``counts`` (rows,) says how often each row stands there.
    """
    n = np.ones(len(values)) if counts is None else counts
    centred = values - np.average(values, axis=0, weights=n)
    total = n.sum()
    sd = np.sqrt((n[:, None] * centred**2).sum(axis=0) / (total - 1)) if total > 1 else np.ones(1)
    return np.asarray(centred / np.where(sd > 0, sd, 1.0))


def within_group_residuals(values: np.ndarray, treated: np.ndarray) -> np.ndarray:
    """Subtract from each row the mean of its group (pilots, pool)."""
    residuals = values.astype(float).copy()
    for group in (treated == 1, treated == 0):
        residuals[group] -= values[group].mean(axis=0)
    return residuals
