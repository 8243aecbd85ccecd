"""What an imputation model is made of: a term for each authority, and dense columns of the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sos_estimators.arrays import Floats, Ints
from sos_estimators.multiple_imputation.layout import Category, Layout, Number, Variable

CHUNK = 1 << 14
"""Rows whose columns are in memory at once."""
SPREADS = 2.0
"""Numbers are divided by so many standard deviations, which makes their terms comparable to those
of categories (Gelman 2008, Statistics in Medicine 27)."""


@dataclass(frozen=True)
class Scale:
    """Where the numbers of a covariate lie, and how far they are spread."""

    centre: float
    spread: float

    @classmethod
    def of(cls, values: Floats) -> Scale:
        """Measure observed values; constant ones have a spread of 1.

        Args:
            values: (n,), missing where not observed.
        """
        sd = float(np.nanstd(values))
        return cls(float(np.nanmean(values)), SPREADS * sd if sd > 0 else 1.0)


@dataclass(frozen=True)
class Block:
    """Rows of a model: a run of rising authorities and their dense columns.

    Attributes:
        rows: Places of the rows, (b,).
        columns: The dense columns, (b, q).
        unit: Authority of each row, (b,).
        starts: Where each authority begins among the rows.
        units: Which authority begins there.
    """

    rows: Ints
    columns: Floats
    unit: Ints
    starts: Ints
    units: Ints

    def by_unit(self, values: Floats) -> Floats:
        """Add up rows of each authority of the block.

        Args:
            values: (b,) or (b, q).
        """
        return np.add.reduceat(values, self.starts, axis=0)


@dataclass(frozen=True)
class Predictors:
    """The terms of the model of one covariate.

    Attributes:
        layout: The cases.
        variables: Covariates as they are filled at present.
        names: Those in the model: all but the one that is modelled.
        scales: Of numbers, the outcome among them.
    """

    layout: Layout
    variables: Mapping[str, Variable]
    names: tuple[str, ...]
    scales: Mapping[str, Scale]

    @property
    def n_periods(self) -> int:
        """Dense columns of periods, which come first: all but the most frequent."""
        return len(self.layout.period.levels) - 1

    @property
    def n_dense(self) -> int:
        """Number of dense columns."""
        own = (_width(self.variables[name]) for name in self.names)
        return self.n_periods + len(self.layout.marks) + sum(own)

    @property
    def n_terms(self) -> int:
        """Number of terms: authorities and dense columns."""
        return self.layout.n_units + self.n_dense

    def blocks(self, rows: Ints) -> Iterator[Block]:
        """Yield the model's terms for some rows, some thousand at a time.

        Args:
            rows: Places of rows, rising.
        """
        for start in range(0, len(rows), CHUNK):
            chosen = rows[start : start + CHUNK]
            unit = self.layout.unit[chosen]
            starts = np.flatnonzero(np.r_[True, unit[1:] != unit[:-1]])
            yield Block(chosen, self._dense(chosen), unit, starts, unit[starts])

    def _dense(self, rows: Ints) -> Floats:
        dense = np.zeros((len(rows), self.n_dense))
        _indicate(dense, 0, self.layout.period.codes[rows])
        at = self.n_periods
        numbers: list[tuple[str, Floats]] = list(self.layout.marks.items())
        for name, values in numbers:
            dense[:, at] = self._scaled(name, values[rows])
            at += 1
        for name in self.names:
            variable = self.variables[name]
            if isinstance(variable, Number):
                dense[:, at] = self._scaled(name, variable.values[rows])
            else:
                _indicate(dense, at, variable.codes[rows])
            at += _width(variable)
        return dense

    def _scaled(self, name: str, values: Floats) -> Floats:
        scale = self.scales[name]
        return (values - scale.centre) / scale.spread


def scales_of(layout: Layout) -> dict[str, Scale]:
    """Measure the outcome, the marks of the window and covariates of numbers.

    Args:
        layout: The cases.
    """
    numbers = {n: v.values for n, v in layout.variables.items() if isinstance(v, Number)}
    return {name: Scale.of(values) for name, values in {**layout.marks, **numbers}.items()}


def _width(variable: Variable) -> int:
    return len(variable.levels) - 1 if isinstance(variable, Category) else 1


def _indicate(dense: Floats, at: int, codes: Ints) -> None:
    """Write ones for every level but the first into the columns from ``at`` on."""
    others = np.flatnonzero(codes > 0)
    dense[others, at + codes[others] - 1] = 1.0


def unseen_replaced(terms: Floats, seen: Sequence[int] | Ints, rng: np.random.Generator) -> Floats:
    """Draw terms of authorities, or periods, of which nothing was observed, from those of others.

    Args:
        terms: One a level, (L,).
        seen: Places of levels of which something was observed.
        rng: Draws from the normal distribution that has the mean and variance of their terms.
    """
    known = terms[seen]
    blind = np.setdiff1d(np.arange(len(terms)), seen)
    if not len(blind) or not len(known):
        return terms
    drawn = terms.copy()
    drawn[blind] = rng.normal(known.mean(), known.std(), len(blind))
    return drawn
