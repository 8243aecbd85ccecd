"""Cases with gaps in their covariates, and the values that were drawn for the gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from sos_plugins.errors import DataError, listing

CHAIN_COLUMNS: dict[str, str] = {
    "covariate": "what was drawn, or covariate=level for a category",
    "set": "number of the completed data set, from 1",
    "iteration": "round of the chain, from 1",
    "mean": "mean of the values drawn in it, or share of the level",
}
"""Columns of ``Imputed.chains``."""


@dataclass(frozen=True)
class ImputationTask:
    """What an imputer gets.

    Attributes:
        frame: One row a case, with ``unit``, ``period``, ``value``, ``treated`` (1 for a pilot),
            ``post`` (1 for a pilot's case after its embedding window, else 0), ``during`` (1 for a
            pilot's case within it) and the covariates: numbers, or text and booleans as
            categories. Gaps are missing values of covariates; nothing else has any.
        covariates: Those that are in the models; those with gaps are imputed.
        seed: Of the draws.
    """

    frame: pd.DataFrame
    covariates: tuple[str, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        needed = ("unit", "period", "value", "treated", "post", "during", *self.covariates)
        absent = [name for name in needed if name not in self.frame]
        if absent:
            raise DataError(f"The cases to impute lack the columns {listing(absent)}.")

        gaps = [name for name in needed[:6] if self.frame[name].isna().any()]
        if gaps:
            raise DataError(
                f"The cases to impute have gaps in {listing(gaps)}; only covariates may have some."
            )

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """The covariates with gaps, in their order."""
        return tuple(name for name in self.covariates if self.frame[name].isna().any())

    @property
    def own_columns(self) -> tuple[str, ...]:
        """A user's own columns: the covariates."""
        return self.covariates


@dataclass(frozen=True)
class Imputed:
    """What an imputer returns: values for the gaps, several times over.

    Attributes:
        values: By covariate, a frame whose index is the place of the row in the task's frame (from
            0) and whose columns are the data sets 0, 1, ...: what was drawn.
        n_sets: Number of data sets.
        sentence: What was done, as a manuscript would say it.
        warnings: Sentences that a reader must see.
        chains: Frame of :data:`CHAIN_COLUMNS`, or empty where nothing was iterated.
    """

    values: Mapping[str, pd.DataFrame]
    n_sets: int
    sentence: str = ""
    warnings: tuple[str, ...] = ()
    chains: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(CHAIN_COLUMNS)))
