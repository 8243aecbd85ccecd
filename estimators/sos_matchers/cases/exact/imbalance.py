"""How far apart the covariates of pilots and comparators are: L1 and local common support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sos_matchers.cases.exact.weights import Flags, Floats, Ints, sums

IMBALANCE_COLUMNS = {
    "bins": "bins of the histogram: those of the matching, or of the rule that is named",
    "stratum": "stratum within which cases are compared, or all of them",
    "cells_before": "cells of the histogram with a case, before matching",
    "common_before": "local common support: share of those cells with cases of both sides",
    "l1_before": "half the sum of differences between both sides' shares of cells (L1)",
    "cells_after": "cells with a matched case",
    "common_after": "share of those with cases of both sides",
    "l1_after": "L1 of the matched, weighted",
}
"""Columns of the table ``imbalance``."""
ALL = "all"
DECIMALS = 12
"""Decimals of L1: what is left beyond them is rounding of the order of addition."""


@dataclass(frozen=True)
class Histogram:
    """Cells of a histogram of all covariates at once, within strata.

    Attributes:
        stratum: Stratum of each cell, from 0, (cells,).
        pilots: Weight of pilots' cases in each cell, (cells,).
        others: Weight of comparators' cases, (cells,).
    """

    stratum: Ints
    pilots: Floats
    others: Floats

    @classmethod
    def of(
        cls, cell: Ints, stratum: Ints, treated: Flags, weight: Floats, *, in_order: bool = False
    ) -> Histogram:
        """Add up the weights of rows, each of a cell that lies in one stratum; all (rows,).

        ``in_order`` is that of :func:`~sos_matchers.cases.exact.weights.sums`.
        """
        n = int(cell.max(initial=-1)) + 1
        of_cell = np.zeros(n, dtype=np.int64)
        of_cell[cell] = stratum
        pilots = sums(cell, np.where(treated, weight, 0.0), n, in_order=in_order)
        others = sums(cell, np.where(treated, 0.0, weight), n, in_order=in_order)
        return cls(of_cell, pilots, others)

    def measures(self, n_strata: int) -> dict[str, Floats]:
        """Return ``cells``, ``common`` and ``l1`` of all strata together, then of each.

        Returns:
            Arrays (1 + n_strata,); L1 is missing where a side is absent.
        """
        parts = [self._measured(np.zeros_like(self.stratum), 1)]
        parts.append(self._measured(self.stratum, n_strata))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _measured(self, stratum: Ints, n: int) -> dict[str, Floats]:
        pilots = np.bincount(stratum, self.pilots, minlength=n)
        others = np.bincount(stratum, self.others, minlength=n)
        filled = (self.pilots > 0) | (self.others > 0)
        both = (self.pilots > 0) & (self.others > 0)
        cells = np.bincount(stratum, filled, minlength=n).astype(float)
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = np.abs(self.pilots / pilots[stratum] - self.others / others[stratum])
            common = np.bincount(stratum, both, minlength=n) / cells
        l1 = np.round(np.bincount(stratum, apart, minlength=n) / 2, DECIMALS)
        l1[(pilots == 0) | (others == 0)] = np.nan
        return {"cells": cells, "common": common, "l1": l1}


def imbalance_table(
    bins: str, before: Histogram, after: Histogram, strata: Sequence[str]
) -> pd.DataFrame:
    """Compare both sides before and after matching in the cells of a histogram.

    L1 is that of Iacus, King and Porro (2012), of relative frequencies of cells; local common
    support is the share of cells with a case that have cases of both sides. Strata are a covariate
    more where all cases are compared together.

    Args:
        bins: What the histogram's bins are, in a word.
        before: Cells and weights before matching.
        after: The same cells with the weights of the matched.
        strata: Names of the strata.

    Returns:
        A frame of :data:`IMBALANCE_COLUMNS`, all strata together first.
    """
    columns: dict[str, object] = {"bins": bins, "stratum": [ALL, *strata]}
    for when, histogram in (("before", before), ("after", after)):
        measured = histogram.measures(len(strata))
        columns |= {f"{name}_{when}": values for name, values in measured.items()}
    whole = {"cells_before": "int64", "cells_after": "int64"}
    return pd.DataFrame(columns)[list(IMBALANCE_COLUMNS)].astype(whole)
