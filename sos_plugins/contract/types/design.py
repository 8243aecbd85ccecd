"""Who is treated, when, and who is compared with them; and the sample made of it."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from sos_plugins.contract.columns import KNOWN_COLUMNS, RESERVED_COLUMNS
from sos_plugins.errors import DataError, listing
from sos_plugins.groundwork.remembered import Remembered
from sos_plugins.groundwork.text_codes import categorised

T = TypeVar("T")


@dataclass(frozen=True)
class Pilot:
    """A treated authority.

    Attributes:
        unit: Authority code.
        start: First day of the embedding window: cases followed up before it are "pre".
        end: Last day of the embedding window: cases that enter after it are "post".
        cohort: First treated period: unless given, the April-year of the day after the window.
        name: The authority's name.
        attributes: Further columns of the design, such as ``external_support``.
    """

    unit: str
    start: dt.date | None
    end: dt.date | None
    cohort: int
    name: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MatchedGroup:
    """A pilot and its comparators; comparators share the pilot's embedding window."""

    pilot: str
    comparators: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """What estimators take: labelled, matched, weighted cases.

    Attributes:
        frame: Columns of :data:`sos_plugins.contract.columns.SAMPLE_COLUMNS` and the covariates.
            ``id`` is absent in a repeated cross-section, ``group`` without matched groups. With
            matched groups a comparator that serves several of them has its cases once per group,
            and its ``cluster`` stays the one authority. No column has missing values.
        covariates: Covariate columns: numbers enter linearly, text and booleans as dummies with
            the first level (in sorted order) left out.
        binary: True when the value is 0 or 1.
        window_gap: True when cases inside embedding windows were dropped, so that ``post`` is not
            simply ``period >= cohort``.
        notes: Sentences on how the cases were read that every estimate has among its warnings.
        completed: Where gaps in covariates were imputed, the sample of each completed data set, of
            which this one is the first; empty otherwise. Estimators get them one by one, and their
            estimates are pooled (:mod:`sos_plugins.study.rubin`).
    """

    frame: pd.DataFrame
    covariates: tuple[str, ...] = ()
    binary: bool = False
    window_gap: bool = False
    notes: tuple[str, ...] = ()
    completed: tuple[Sample, ...] = ()

    def __post_init__(self) -> None:
        needed = ["unit", "period", "cohort", "value", "weight", "cluster", "treated", "post"]
        absent = [c for c in (*needed, *self.covariates) if c not in self.frame]
        if absent:
            raise DataError(f"The sample lacks the columns {listing(absent)}.")
        if (self.frame["period"] <= 0).any():
            ambiguous = int(((self.frame["treated"] == 1) & (self.frame["cohort"] <= 0)).sum())
            if ambiguous:
                raise DataError(
                    f"The sample has {ambiguous} treated cases whose first treated period is 0 or "
                    "less, which means never, and periods of 0 or less. Add a number to the "
                    "periods and the first treated periods so that all are above 0."
                )
        taken = [c for c in self.covariates if c in RESERVED_COLUMNS]
        if taken:
            raise DataError(
                f"A covariate may not be named {listing(taken)}: the analysis makes a column of "
                "that name. Rename the column, or leave it out of the covariates."
            )

    @property
    def is_panel(self) -> bool:
        """Whether cases are repeated observations of the same ``id``."""
        return "id" in self.frame

    @property
    def has_groups(self) -> bool:
        """Whether cases belong to matched groups."""
        return "group" in self.frame

    @property
    def own_columns(self) -> tuple[str, ...]:
        """A user's own columns: the covariates, then the others that no contract knows."""
        further = (c for c in self.frame.columns if c not in KNOWN_COLUMNS)
        return tuple(dict.fromkeys([*self.covariates, *further]))

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 over the values, in row order; of completed data sets over all of them."""
        hashed = pd.util.hash_pandas_object(categorised(self.frame), index=False).to_numpy()
        digest = hashlib.sha256(np.ascontiguousarray(hashed).tobytes())
        for sample in self.completed:
            digest.update(sample.data_hash.encode())
        return digest.hexdigest()

    def once(self, what: Hashable, make: Callable[[], T]) -> T:
        """Return what is made of this sample, made when it is asked for the first time.

        A sample does not change, so that estimators and settings can share what they make of it.
        Of very many rows nothing is kept (:data:`sos_plugins.groundwork.remembered.MOST_ROWS`).

        Args:
            what: Names what is made, with all that it rests on beside the sample.
            make: Makes it; it must be left as it is by whoever gets it.
        """
        return self._remembered.once(what, make)

    @cached_property
    def _remembered(self) -> Remembered:
        return Remembered(len(self.frame))

    def where(self, mask: pd.Series[bool] | np.ndarray) -> Sample:
        """Return the sample of some of its rows, numbered anew.

        Args:
            mask: True for a row that stays; (n,), in the order of the rows.

        Raises:
            DataError: If gaps were imputed, since completed data sets may differ in rows.
        """
        if self.completed:
            raise DataError(
                "The sample has several completed data sets, whose rows may differ: choose rows in "
                "each of them, sample.each(lambda one: one.where(...))."
            )
        return replace(self, frame=self.frame[np.asarray(mask)].reset_index(drop=True))

    def each(self, change: Callable[[Sample], Sample]) -> Sample:
        """Return the sample with a change made to it, in every completed data set.

        Args:
            change: Gets a sample without ``completed`` and returns the changed one.
        """
        if not self.completed:
            return change(self)
        return first_of([change(sample) for sample in self.completed])


def first_of(samples: Sequence[Sample]) -> Sample:
    """Return the first of some completed data sets, which carries them all.

    Args:
        samples: One for each completed data set.
    """
    return replace(samples[0], completed=tuple(samples))
