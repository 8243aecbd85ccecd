"""Covariates as whole numbers: bins of numbers, groups of levels, and "Missing" among both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sos_matchers.cases.exact.bins import Cuts, Numbers, bin_labels, cuts_of
from sos_matchers.cases.exact.settings import CoarsenedExactSettings
from sos_matchers.cases.exact.weights import Ints
from sos_plugins.errors import SettingsError, listing

MISSING = "Missing"
"""The level of what is not known, of categories and of numbers."""
LARGEST_KEY = 2**62
"""Combinations of levels that fit one whole number."""
DENSE, DENSE_SHARE = 2**20, 4
"""Combinations are numbered through a table of all that may be, where these are fewer than the one,
or than the other for each row."""


@dataclass(frozen=True)
class CutNumber:
    """A number in bins.

    Attributes:
        name: The covariate.
        cuts: Bins of the matching.
        fine: Bins of the histogram that imbalance is measured in.
        labels: Names of the bins of the matching; the last is :data:`MISSING`.
    """

    name: str
    cuts: Cuts
    fine: Cuts
    labels: tuple[str, ...]

    @property
    def n_fine(self) -> int:
        """Bins of the histogram, that of gaps included."""
        return len(self.fine.points) + 2

    def codes(self, values: pd.Series) -> tuple[Ints, Ints]:
        """Return the bins of the matching and of the histogram, (n,) each."""
        numbers = values.to_numpy(float, na_value=np.nan)
        return self.cuts.bins_of(numbers), self.fine.bins_of(numbers)


@dataclass(frozen=True)
class GroupedLevels:
    """A category in groups.

    Attributes:
        name: The covariate.
        levels: Its levels, sorted.
        group: Number of the group of each level, (levels,).
        labels: Names of the groups; a level in no group is its own.
    """

    name: str
    levels: tuple[str, ...]
    group: Ints
    labels: tuple[str, ...]

    @property
    def n_fine(self) -> int:
        """Levels, the bins of the histogram."""
        return len(self.levels)

    def codes(self, values: pd.Series) -> tuple[Ints, Ints]:
        """Return the groups and the levels, (n,) each."""
        level = pd.Categorical(as_text(values), categories=list(self.levels)).codes.astype(np.int64)
        return self.group[level], level


Coarsened = CutNumber | GroupedLevels


def as_text(values: pd.Series) -> pd.Series:
    """Return a category as text, with gaps as :data:`MISSING`."""
    gaps = values.isna()
    return values.astype(str).mask(gaps, MISSING) if gaps.any() else values.astype(str)


def is_number(values: pd.Series) -> bool:
    """Whether a covariate is cut in bins: numbers are, true and false are levels."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def coarsened_number(
    name: str,
    settings: CoarsenedExactSettings,
    numbers: Numbers,
    distinct: Callable[[], Iterable[float]],
) -> CutNumber:
    """Choose the bins of a number.

    Args:
        name: The covariate.
        settings: What is asked for.
        numbers: Its values.
        distinct: Gives its values, each once, where it is to be matched on as it is.

    Raises:
        SettingsError: If the settings group its levels.
    """
    if name in settings.groupings:
        raise SettingsError(
            f"'groupings' names '{name}', which is a number; give it cut points in 'cutpoints'."
        )
    fine = cuts_of(settings.histogram, numbers)
    cut = settings.cutpoints.get(name, settings.coarsening)
    if cut == "exact":
        values = np.unique(np.fromiter(distinct(), dtype=float))
        labels = tuple(f"{value:.15g}" for value in values)
        return CutNumber(name, Cuts(values[1:]), fine, (*labels, MISSING))
    cuts = cuts_of(cut, numbers)
    return CutNumber(name, cuts, fine, (*bin_labels(cuts.points), MISSING))


def coarsened_category(
    name: str, settings: CoarsenedExactSettings, levels: Sequence[str]
) -> GroupedLevels:
    """Group the levels of a category.

    Args:
        name: The covariate.
        settings: What is asked for.
        levels: Its levels, sorted.

    Raises:
        SettingsError: If the settings cut it like a number, or a group has the name of a level
            that is not in it.
    """
    if name in settings.cutpoints:
        raise SettingsError(
            f"'cutpoints' names '{name}', which is no number; give its levels in 'groupings'."
        )
    groups = settings.groupings.get(name, {})
    group_of = {level: group for group, members in groups.items() for level in members}
    alone = [level for level in levels if level not in group_of]
    if clash := sorted(set(alone) & set(groups)):
        raise SettingsError(
            f"A group of '{name}' has the name of the level {listing(clash)}, which is not in it; "
            "put the level into the group, or name the group otherwise."
        )
    labels = tuple(sorted({group_of.get(level, level) for level in levels}))
    place = {label: n for n, label in enumerate(labels)}
    group = np.array([place[group_of.get(level, level)] for level in levels], dtype=np.int64)
    return GroupedLevels(name, tuple(levels), group, labels)


def coarsen_frame(
    frame: pd.DataFrame, names: Sequence[str], settings: CoarsenedExactSettings
) -> tuple[Coarsened, ...]:
    """Coarsen covariates of cases in memory.

    Args:
        frame: One row a case.
        names: Covariates, each with at least one value.
        settings: What is asked for.

    Raises:
        SettingsError: As :func:`coarsened_number` and :func:`coarsened_category`.
    """
    made: list[Coarsened] = []
    for name in names:
        values = frame[name]
        if is_number(values):
            known = values.dropna().to_numpy(float)
            numbers = Numbers.of(known)
            made.append(coarsened_number(name, settings, numbers, lambda known=known: known))  # type: ignore[misc]
        else:
            made.append(coarsened_category(name, settings, sorted(as_text(values).unique())))
    return tuple(made)


def combined(codes: Sequence[Ints], sizes: Sequence[int]) -> tuple[Ints, int]:
    """Number the combinations of codes that occur, in the order of the codes.

    Args:
        codes: Arrays (n,) of numbers from 0.
        sizes: One more than the largest number that each may have.

    Returns:
        The number of each row's combination, (n,), and how many there are.
    """
    key, size = np.zeros(len(codes[0]), dtype=np.int64), 1
    for code, levels in zip(codes, sizes, strict=True):
        if size * levels > LARGEST_KEY:
            key, size = _numbered(key)
        key = key * levels + code
        size *= levels
    return _numbered(key)


def row_of_each(key: Ints, n_keys: int) -> Ints:
    """Return a row of each key, the last, (n_keys,); ``key`` (rows,) counts from 0."""
    rows = np.zeros(n_keys, dtype=np.int64)
    rows[key] = np.arange(len(key))
    return rows


def _numbered(key: Ints) -> tuple[Ints, int]:
    if (key[1:] >= key[:-1]).all():
        found = np.concatenate([[0], np.cumsum(key[1:] > key[:-1])])
        return found.astype(np.int64), int(found[-1]) + 1
    if key.max() < max(DENSE, DENSE_SHARE * len(key)):
        place = np.zeros(int(key.max()) + 1, dtype=np.int64)
        place[key] = 1
        place = np.cumsum(place) - 1
        return place[key], int(place[-1]) + 1
    found, values = pd.factorize(key, sort=True)
    return found.astype(np.int64), len(values)


def setting_warnings(
    settings: CoarsenedExactSettings, names: Sequence[str], levels: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Say what the settings name that the cases do not have, and what they leave out.

    Args:
        settings: What is asked for.
        names: Covariates of the cases.
        levels: Levels of the categories among them.

    Returns:
        A sentence each: covariates that are not there, levels that are in no group.
    """
    told = []
    for setting in ("cutpoints", "groupings"):
        for name in getattr(settings, setting):
            if name not in names:
                told.append(
                    f"'{setting}' names the covariate '{name}', which is not matched on "
                    f"({listing(names)} are)."
                )
    for name, groups in settings.groupings.items():
        grouped = {level for group in groups.values() for level in group}
        if alone := [level for level in levels.get(name, ()) if level not in grouped]:
            told.append(f"Levels of {name} in no group stay on their own: {listing(alone)}.")
    return tuple(told)
