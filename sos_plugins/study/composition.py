"""Whether the programme changed the mix of cases: each covariate as if it were the outcome.

Matching cases within halves, and adjusting for covariates, conditions on what is measured after
adoption. Where a programme changes who comes, that takes away part of its effect, or makes one up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sos_plugins.cells.build import COMPRESSED
from sos_plugins.contract.types import Estimate, Sample
from sos_plugins.errors import SosError, listing
from sos_plugins.groundwork.text_codes import is_category
from sos_plugins.study.multiplicity import holm

COLUMNS: dict[str, str] = {
    "covariate": "covariate, or covariate=level for the share of a level",
    "measured_after": "whether it may come about, or be recorded, after adoption",
    "estimate": "change that the programme made, by the main estimator without covariates",
    "std_error": "its standard error",
    "p_value": "two-sided p value",
    "p_adjusted": "the same, adjusted for the number of rows (Holm 1979)",
    "conf_low": "lower end of the interval of this row alone",
    "conf_high": "upper end of it",
    "reason": "why there is no estimate; empty where there is one",
}
"""Columns of the test of composition."""
CHANGED = 0.05
"""A composition with an adjusted p value below this is said to have changed."""
FIGURES = ("estimate", "std_error", "p_value", "conf_low", "conf_high")


@dataclass(frozen=True)
class Composition:
    """Tests the mix of cases of one outcome.

    Attributes:
        estimate: Gives the estimate of a sample by the main estimator.
        headline: Its headline term.
        measured_after: Covariates that may come about, or be recorded, after adoption.
    """

    estimate: Callable[[Sample], Estimate]
    headline: str
    measured_after: tuple[str, ...] = ()

    def table(self, sample: Sample) -> pd.DataFrame:
        """Return one row a number or level, with the columns of :data:`COLUMNS`.

        Args:
            sample: The cases before their matching, or cells of them, with their covariates.
        """
        rows = [self._row(name, level, sample) for name, level in measured(sample)]
        table = pd.DataFrame(rows, columns=[c for c in COLUMNS if c != "p_adjusted"])
        known = table["p_value"].notna()
        adjusted = np.full(len(table), np.nan)
        adjusted[known.to_numpy()] = holm([float(p) for p in table.loc[known, "p_value"]])
        return table.assign(p_adjusted=adjusted)[list(COLUMNS)]

    def _row(self, name: str, level: Any, sample: Sample) -> dict[str, Any]:
        label = name if level is None else f"{name}={level}"
        row = {"covariate": label, "measured_after": name in self.measured_after, "reason": ""}
        try:
            found = self.estimate(sample.each(lambda one: as_value(one, name, level)))
        except SosError as error:
            return {**row, **dict.fromkeys(FIGURES, np.nan), "reason": str(error)}
        term = found.term(self.headline)
        return {**row, **{figure: float(term[figure]) for figure in FIGURES}}


def measured(sample: Sample) -> Iterator[tuple[str, Any]]:
    """Yield covariates of numbers, and levels of the others: of two levels the second in order."""
    for name in sample.covariates:
        column = sample.frame[name]
        if not is_category(column):
            yield name, None
            continue
        levels = sorted(column.unique(), key=str)
        for level in levels[1:] if len(levels) == 2 else levels:
            yield name, level


def as_value(sample: Sample, name: str, level: Any) -> Sample:
    """Return a sample whose value is a covariate, or 1 for one of its levels, without covariates.

    Args:
        sample: Cases, or cells of which each has one level.
        name: The covariate.
        level: The level; None for a number.
    """
    column = sample.frame[name]
    value = column.to_numpy(float) if level is None else (column == level).to_numpy(float)
    changes = {"value": value}
    if COMPRESSED[0] in sample.frame:
        changes[COMPRESSED[2]] = value * sample.frame[COMPRESSED[0]].to_numpy(float)
    frame = sample.frame.assign(**changes)
    return Sample(frame, (), binary=level is not None, window_gap=sample.window_gap)


def changes_told(table: pd.DataFrame) -> tuple[str, ...]:
    """Say which covariates the programme seems to have changed, and what rests on those.

    Args:
        table: The test of composition.
    """
    if table.empty:
        return ()
    changed = table[table["p_adjusted"] < CHANGED]
    if changed.empty:
        return ()
    named = [
        f"{row['covariate']} ({row['estimate']:+.3g}, adjusted p {row['p_adjusted']:.3f})"
        for row in changed.to_dict("records")
    ]
    return (
        f"The mix of cases changed with the programme: {listing(named)}. Matching cases within "
        "halves, or adjusting for these covariates, may take away part of an effect or make one "
        "up; see the run without covariates.",
    )
