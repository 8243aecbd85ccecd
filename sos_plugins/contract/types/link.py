"""Which identifiers in the records are one child, and how far that can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    import ibis

FIGURE_COLUMNS: dict[str, str] = {
    "figure": "what was counted or estimated, in words",
    "value": "the number: a count, or a share between 0 and 1",
}
WEIGHT_COLUMNS: dict[str, str] = {
    "comparison": "what of two children is compared",
    "level": "how it agrees, or does not",
    "m": "share of pairs of one child that agree so",
    "u": "share of pairs of two children that agree so",
    "weight": "log2(m / u): how far it speaks for one child",
}


@dataclass(frozen=True)
class Link:
    """Which children of the records are one.

    Attributes:
        same: Ibis table ``unit, child, person`` of text: a row for every child that is the same as
            another, ``person`` the same for them. No child twice; those without a row stay alone.
        figures: How many links of which kind, and how good they are: :data:`FIGURE_COLUMNS`.
        weights: What a probabilistic link has learnt: :data:`WEIGHT_COLUMNS`; empty for others.
        sentence: What was done, as a manuscript would say it.
        warnings: Sentences that a reader must see.
    """

    same: ibis.Table
    figures: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=[*FIGURE_COLUMNS]))
    weights: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=[*WEIGHT_COLUMNS]))
    sentence: str = ""
    warnings: tuple[str, ...] = ()
