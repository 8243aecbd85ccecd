"""The children: when born, sex, ethnic group, disability."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from sos_simulator.dates import YEAR, Flags, Ints, Objects, between
from sos_simulator.population import OTHER_ETHNICITIES, Population

ETHNICITIES = np.array([code for code, _ in OTHER_ETHNICITIES], dtype=object)
DISABILITIES = ("LD", "AUT", "BEH", "COMM", "MOB")
NO_DISABILITY = "NONE"
LETTERS = np.array(["U", "M", "F"], dtype=object)
"""Sex by census code, as returns of 2025 and later write it."""
FIRST_CHILD = 100_001
_OLDEST_AT_FIRST_REFERRAL = 16.0
_AGE_SECOND_SHAPE = 1.15
_UNBORN = 0.02
_DISABILITY_NOT_RECORDED = 0.03
_MALE, _SEX_NOT_RECORDED = 0.51, 0.005


@dataclass(frozen=True)
class Children:
    """One element a child; ``identifier`` is unique within the authority only.

    ``sex`` is the census code (1, 2, 0 not recorded), ``disability`` a code, NONE, or empty when
    not recorded, ``number`` a pupil number or empty.
    """

    unit: Ints
    identifier: Ints
    birth: Ints
    expected_birth: Ints
    sex: Ints
    ethnicity: Objects
    disability: Objects
    uasc: Flags
    number: Objects

    def __len__(self) -> int:
        return len(self.unit)

    def where(self, chosen: Ints) -> Children:
        """Return some of the children."""
        return Children(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    def plus(self, other: Children) -> Children:
        """Return both sets of children, those of ``other`` after ours."""
        columns = {
            f.name: np.concatenate([getattr(self, f.name), getattr(other, f.name)])
            for f in fields(self)
        }
        return Children(**columns)


def make_children(
    rng: np.random.Generator,
    population: Population,
    unit: Ints,
    seen: Ints,
    *,
    oldest: float = _OLDEST_AT_FIRST_REFERRAL,
    unborn: float = _UNBORN,
    numbered_after: Ints | None = None,
) -> Children:
    """Make a child for every element of ``unit`` that is first seen on the day ``seen``.

    Args:
        rng: Random numbers.
        population: The authorities.
        unit: Index of each child's authority.
        seen: Day of the first referral, or of the start of care.
        oldest: Greatest age in years on that day.
        unborn: Share of children not yet born on that day.
        numbered_after: Children that each authority has already.
    """
    n = len(unit)
    share_of_life = rng.beta(population.age_shape[unit], _AGE_SECOND_SHAPE)
    age = np.floor(share_of_life * oldest * YEAR).astype(np.int64)
    expected_ahead = between(rng, 10, np.full(n, 130))
    age = np.where(rng.random(n) < unborn, -expected_ahead, age)
    birth = seen - age
    bounds = np.cumsum(population.ethnic_mix, axis=1)[unit, :-1]
    other = ETHNICITIES[(rng.random(n)[:, None] > bounds).sum(axis=1)]
    disability = rng.choice(np.array(DISABILITIES, dtype=object), n)
    draw = rng.random(n)
    disability = np.where(draw < population.disabled[unit], disability, NO_DISABILITY)
    disability = np.where(draw > 1 - _DISABILITY_NOT_RECORDED, "", disability)
    sex = np.where(rng.random(n) < _MALE, 1, 2)
    return Children(
        unit=unit,
        identifier=FIRST_CHILD + count_within(unit, numbered_after),
        birth=birth,
        expected_birth=birth + between(rng, -14, np.full(n, 14)),
        sex=np.where(rng.random(n) < _SEX_NOT_RECORDED, 0, sex),
        ethnicity=np.where(rng.random(n) < population.white[unit], "WBRI", other).astype(object),
        disability=disability.astype(object),
        uasc=np.zeros(n, dtype=bool),
        number=np.full(n, "", dtype=object),
    )


def count_within(unit: Ints, offset: Ints | None) -> Ints:
    """Number children within their authorities, after those that each has already."""
    order = np.argsort(unit, kind="stable")
    counts = np.bincount(unit) if len(unit) else np.zeros(0, dtype=np.int64)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]]) if len(counts) else counts
    rank = np.empty(len(unit), dtype=np.int64)
    rank[order] = np.arange(len(unit)) - first[unit[order]]
    return rank if offset is None else rank + offset[unit]
