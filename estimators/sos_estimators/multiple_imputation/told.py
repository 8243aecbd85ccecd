"""What a reader must know of gaps: where nothing was observed, and what predicts perfectly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sos_estimators.arrays import Ints
from sos_estimators.multiple_imputation.layout import Category, Layout, Number, Variable
from sos_plugins.errors import listing

FEW = 10
"""Fewer cases of a level than this may be alike by chance."""
SHOWN = 5
"""Most authorities, or years, that a sentence names."""


def warnings_of(layout: Layout) -> tuple[str, ...]:
    """Return sentences on the gaps of the covariates, each counted.

    Args:
        layout: The cases.
    """
    told: list[str] = []
    for name in layout.targets:
        told += _unobserved(layout, name)
        variable = layout.variables[name]
        if _constant(variable):
            told.append(
                f"The covariate '{name}' has the same value wherever it is known; it is imputed "
                "with that value."
            )
        elif isinstance(variable, Category):
            told += _perfect(layout, name, variable)
    return tuple(told)


def _constant(variable: Variable) -> bool:
    if isinstance(variable, Number):
        return len(np.unique(variable.values[~variable.gaps])) == 1
    return len(variable.levels) == 1


def _unobserved(layout: Layout, name: str) -> Iterator[str]:
    """Yield sentences on authorities and years of which no value is known."""
    gaps = layout.variables[name].gaps
    periods = tuple(str(level) for level in layout.period.levels)
    places = (("authority", layout.unit, layout.units), ("year", layout.period.codes, periods))
    for what, codes, labels in places:
        known = np.bincount(codes[~gaps], minlength=len(labels))
        blind = sorted(labels[code] for code in np.flatnonzero(known == 0))
        if blind:
            n = int(np.isin(codes, np.flatnonzero(known == 0)).sum())
            shown = listing(blind[:SHOWN])
            more = f" and {len(blind) - SHOWN} more" if len(blind) > SHOWN else ""
            yield (
                f"The covariate '{name}' has no value in any of the {n:,} cases of {what} "
                f"{shown}{more}: what is imputed there rests on how such terms differ elsewhere."
            )


def _perfect(layout: Layout, name: str, variable: Category) -> Iterator[str]:
    """Yield sentences on levels of other covariates whose known cases are all alike."""
    known = ~variable.gaps
    for other, predictor in layout.variables.items():
        if other == name:
            continue
        if isinstance(predictor, Number):
            yield from _parted(name, variable, other, predictor.values)
            continue
        both = known & ~predictor.gaps
        table = _cross(predictor.codes[both], variable.codes[both], predictor, variable)
        sizes = table.sum(axis=1)
        for row in np.flatnonzero((sizes >= FEW) & (table.max(axis=1) == sizes)):
            yield (
                f"Perfect separation in the model of '{name}': all {int(sizes[row]):,} known cases "
                f"with {other} = {predictor.levels[row]} have "
                f"'{variable.levels[int(table[row].argmax())]}'. What is imputed for such cases "
                "rests on a weak prior."
            )


def _parted(name: str, variable: Category, other: str, values: np.ndarray) -> Iterator[str]:
    """Yield a sentence if a number parts the two levels of a flag."""
    if len(variable.levels) != 2:
        return
    sides = [values[(variable.codes == code) & ~np.isnan(values)] for code in (0, 1)]
    if min(map(len, sides)) == 0:
        return
    low, high = sorted(sides, key=lambda side: float(side.min()))
    if low.max() < high.min():
        yield (
            f"Perfect separation in the model of '{name}': '{other}' is at most {low.max():g} in "
            f"all {len(low):,} known cases of one level and at least {high.min():g} in all "
            f"{len(high):,} of the other. What is imputed rests on a weak prior."
        )


def _cross(rows: Ints, columns: Ints, predictor: Category, variable: Category) -> np.ndarray:
    n = len(variable.levels)
    flat = np.bincount(rows * n + columns, minlength=len(predictor.levels) * n)
    return flat.reshape(len(predictor.levels), n)
