"""Chained equations: each covariate drawn in turn, given the others as they are at present."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from sos_estimators.arrays import Floats, Ints
from sos_estimators.multiple_imputation.categories import (
    MANY,
    Logits,
    Problem,
    drawn_levels,
    fitted_logits,
)
from sos_estimators.multiple_imputation.layout import Category, Layout, Number, Variable
from sos_estimators.multiple_imputation.numbers import fitted_line, linear, matched_means
from sos_estimators.multiple_imputation.predictors import Predictors, Scale, scales_of
from sos_estimators.multiple_imputation.settings import ChainedEquationsSettings
from sos_plugins.contract.types.imputation import CHAIN_COLUMNS

FIRST = 1
"""Sets and rounds are counted from 1."""


@dataclass
class Chain:
    """One completed data set on its way.

    Attributes:
        layout: The cases, gaps and all.
        scales: Of numbers.
        settings: Of the imputation.
        rng: Draws of this set alone, so that sets do not change with their number.
        number: Of the set.
        filled: The covariates as they are at present.
        fits: The logits of the last round.
        trace: Rows of ``Imputed.chains``.
    """

    layout: Layout
    scales: Mapping[str, Scale]
    settings: ChainedEquationsSettings
    rng: np.random.Generator
    number: int
    filled: dict[str, Variable] = field(default_factory=dict)
    fits: dict[str, Logits] = field(default_factory=dict)
    trace: list[tuple[Any, ...]] = field(default_factory=list)

    def run(self) -> None:
        """Fill gaps with observed values drawn at random, then round by round by the models."""
        self.filled = dict(self.layout.variables)
        for name in self.layout.targets:
            self._fill(name, _drawn_from_observed(self.layout.variables[name], self.rng))
        alone = len(self.layout.targets) == 1
        for round_ in range(FIRST, FIRST + (1 if alone else self.settings.iterations)):
            for name in self.layout.targets:
                self._fill(name, self._drawn(name))
                self._note(name, round_)

    def drawn(self, name: str) -> Floats | Ints:
        """Return what stands in the gaps of a covariate: numbers, or codes of levels."""
        return np.asarray(_content(self.filled[name])[self.layout.variables[name].gaps])

    def _fill(self, name: str, drawn: Floats | Ints) -> None:
        content = _content(self.filled[name]).copy()
        content[self.layout.variables[name].gaps] = drawn
        self.filled[name] = _with_content(self.filled[name], content)

    def _drawn(self, name: str) -> Floats | Ints:
        variable = self.layout.variables[name]
        others = tuple(other for other in self.layout.variables if other != name)
        predictors = Predictors(self.layout, self.filled, others, self.scales)
        observed, gaps = np.flatnonzero(~variable.gaps), np.flatnonzero(variable.gaps)
        if isinstance(variable, Number):
            return self._number(predictors, variable.values[observed], observed, gaps)
        return self._level(name, predictors, variable, observed, gaps)

    def _number(self, predictors: Predictors, values: Floats, observed: Ints, gaps: Ints) -> Floats:
        line = fitted_line(predictors, observed, values)
        means = linear(predictors, observed, line.terms)
        wanted = linear(predictors, gaps, line.drawn(self.rng, predictors))
        return values[matched_means(means, wanted, self.settings.donors, self.rng)]

    def _level(
        self, name: str, predictors: Predictors, variable: Category, observed: Ints, gaps: Ints
    ) -> Ints:
        if len(variable.levels) == 1:
            return np.zeros(len(gaps), dtype=variable.codes.dtype)
        problem = Problem(predictors, observed, variable.codes[observed], len(variable.levels))
        before = self.fits.get(name)
        start, known = (before.terms, before.curvature) if before else (problem.start(), None)
        logits = fitted_logits(problem, start, known if len(observed) >= MANY else None)
        self.fits[name] = logits
        terms = logits.drawn(self.rng, predictors)
        return drawn_levels(predictors, gaps, terms, self.rng)

    def _note(self, name: str, round_: int) -> None:
        variable, drawn = self.layout.variables[name], self.drawn(name)
        if isinstance(variable, Number):
            self.trace.append((name, self.number, round_, float(drawn.mean())))
            return
        for code, level in enumerate(variable.levels):
            share = float((drawn == code).mean())
            self.trace.append((f"{name}={level}", self.number, round_, share))


@dataclass(frozen=True)
class Chains:
    """Completed data sets.

    Attributes:
        drawn: Of each target what was drawn, a row a gap and a column a set.
        trace: Frame of the columns of ``Imputed.chains``.
    """

    drawn: Mapping[str, pd.DataFrame]
    trace: pd.DataFrame


def run_chains(layout: Layout, settings: ChainedEquationsSettings, seed: int) -> Chains:
    """Complete the cases several times over, each set with draws of its own.

    Args:
        layout: The cases.
        settings: Of the imputation.
        seed: Of the draws.
    """
    scales = scales_of(layout)
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in layout.targets}
    trace: list[tuple[Any, ...]] = []
    for number in range(settings.sets):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
        chain = Chain(layout, scales, settings, rng, FIRST + number)
        chain.run()
        for name, columns in drawn.items():
            columns.append(chain.drawn(name))
        trace += chain.trace
    frames = {name: _frame(layout, name, columns) for name, columns in drawn.items()}
    return Chains(frames, pd.DataFrame(trace, columns=list(CHAIN_COLUMNS)))


def _frame(layout: Layout, name: str, columns: list[np.ndarray]) -> pd.DataFrame:
    variable = layout.variables[name]
    places = pd.Index(layout.order[variable.gaps])
    values = dict(enumerate(columns))
    if isinstance(variable, Category):
        levels = np.array(variable.levels, dtype=object)
        values = {number: levels[codes] for number, codes in values.items()}
    return pd.DataFrame(values, index=places).sort_index()


def _drawn_from_observed(variable: Variable, rng: np.random.Generator) -> np.ndarray:
    content, gaps = _content(variable), variable.gaps
    return rng.choice(content[~gaps], int(gaps.sum()))


def _content(variable: Variable) -> np.ndarray:
    return variable.values if isinstance(variable, Number) else variable.codes


def _with_content(variable: Variable, content: np.ndarray) -> Variable:
    if isinstance(variable, Number):
        return replace(variable, values=content)
    return replace(variable, codes=content)
