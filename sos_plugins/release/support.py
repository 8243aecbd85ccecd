"""How many children a figure of one outcome rests on, as far as its result tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sos_plugins.contract.types import Run
from sos_plugins.release.profiles import ReleaseRules
from sos_plugins.release.rules import (
    cannot_be_dominated,
    enough_freedom,
    largest_possible,
    too_small,
)
from sos_plugins.report.tables import rows_of
from sos_plugins.study.result import OutcomeResult, StudyResult

FEW = "it rests on fewer cases than the threshold, or on a number that the result does not tell"
FREEDOM = "fewer residual degrees of freedom than the room asks for, or not known"
DOMINATED = "one or two cases could dominate the sum behind it, as far as the result tells"


@dataclass(frozen=True)
class Support:
    """What the figures of one outcome rest on.

    Attributes:
        study: The study, for its pilots and the names of authorities.
        result: The outcome.
        rules: The rules of the room.
    """

    study: StudyResult
    result: OutcomeResult
    rules: ReleaseRules

    def names_authority(self, text: str) -> bool:
        """Say whether a text names an authority of the study, by code or name."""
        names = {*self.study.unit_names, *self.study.unit_names.values()}
        names |= {str(v) for column in ("unit", "name") for v in self.study.pilots.get(column, ())}
        return any(name and name in text for name in names)

    def of_run(self, run: Run) -> str:
        """Return why the estimate of a run may not be shown, or an empty text."""
        if run.n_cases is None or too_small(run.n_cases, self.rules):
            return FEW
        if run.family == "single-pilot" and any(self.of_pilot(u) for u in self._pilots_in(run)):
            return FEW
        free = enough_freedom(run.n_cases, self._most_parameters(run), self.rules)
        return "" if free else FREEDOM

    def _pilots_in(self, run: Run) -> Iterable[str]:
        """Return the pilots that the label of a run names."""
        for row in rows_of(self.study.pilots):
            if str(row.get("name")) in run.label or str(row.get("unit")) in run.label.split():
                yield str(row.get("unit"))

    def _most_parameters(self, run: Run) -> int:
        """Return as many parameters as a regression can have: effects, covariates, terms."""
        terms = max((len(named.estimate.tidy) for named in self.result.estimates), default=0)
        periods = self.result.trends.get("period", pd.Series(dtype=object)).nunique()
        units = max(run.n_units or 0, len(self.result.sample))
        return int(units + periods + len(self.result.balance) + terms)

    def of_pilot(self, unit: str) -> str:
        """Return why the effect of one pilot may not be shown: a cell of its group is too small."""
        rows = [row for row in rows_of(self.result.sample) if str(row.get("group")) == unit]
        cells = [row.get(name) for row in rows for name in ("n_pre", "n_post")]
        return "" if cells and not any(self._few(n) for n in cells) else FEW

    def _few(self, n: Any) -> bool:
        return n is None or pd.isna(n) or int(n) < self.rules.min_count

    def of_event(self, event: int) -> str:
        """Return why an effect at an event time may not be shown.

        Usable records of the pilots, and of their comparators, in the years at that distance from
        each pilot's cohort: cases are these at most.
        """
        usable = {
            (str(row["unit"]), row["period"]): int(row["n_usable"] or 0)
            for row in rows_of(self.result.completeness)
        }
        pilots, comparators = 0, 0
        others = self._comparators()
        for row in rows_of(self.study.pilots):
            if row.get("cohort") is None:
                continue
            unit, period = str(row["unit"]), int(row["cohort"]) + event
            pilots += usable.get((unit, period), 0)
            comparators += sum(usable.get((u, period), 0) for u in others.get(unit, ()))
        return FEW if self._few(pilots) or self._few(comparators) else ""

    def _comparators(self) -> Mapping[str, list[str]]:
        others: dict[str, list[str]] = {}
        for row in rows_of(self.result.groups):
            others.setdefault(str(row.get("pilot")), []).append(str(row.get("comparator")))
        return others

    def of_mean(self, mean: float, n: int) -> str:
        """Return why a mean of values that are no shares may not be shown: a sum is behind it.

        Values are not in a result one by one. How large one can be follows from the mean and the
        standard deviation of the pilots' values; comparators' are taken to spread as widely.
        """
        deviation = self.result.quality.get("value_sd")
        rows = [r for r in rows_of(self.result.trends) if r["series"] == "pilots"]
        total = sum(int(row["n_cases"]) for row in rows)
        if deviation is None or not total:
            return DOMINATED
        center = sum(row["mean"] * int(row["n_cases"]) for row in rows if row["n_cases"]) / total
        largest = largest_possible(center, deviation, total)
        return "" if cannot_be_dominated(mean * n, largest, self.rules) else DOMINATED
