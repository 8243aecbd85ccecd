"""Studies in which parallel trends hold, or do not, by construction: shocks to whole authorities.

What authorities have in common with their year is an autoregressive shock; cases are 0 or 1 with
the probability that level, year and shock give. Rows stand for all cases of a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from sos_plugins.cells.collected import CollectedCases
from sos_plugins.contract.columns import COMPRESSED_COLUMNS
from sos_plugins.contract.interfaces import UnitMatch
from sos_plugins.contract.types import MatchedGroup, OutcomeInfo, Pilot
from sos_plugins.errors import EstimationError
from sos_plugins.study import design as designs
from sos_plugins.study import placebos
from sos_plugins.study.pilots_and_pool import Design
from sos_plugins.study.placebos import Chance, Contrasts, Part, Path, Shocks
from sos_plugins.study.pool_errors import hotelling
from sos_plugins.study.preparation import PreparedOutcome

YEARS = 10
ADOPTION = 6
"""First treated year of all pilots: six years before it, four from it on."""
BASE, SPREAD_OF_LEVELS, SPREAD_OF_YEARS = 0.22, 0.04, 0.01
"""Usual rate, and standard deviations of authorities' levels and of what moves all alike."""
INFO = OutcomeInfo("simulated", "Simulated", "the rate", "?", True, "proportion")


@dataclass(frozen=True)
class World:
    """What is true of the authorities.

    Attributes:
        cases: Mean number of cases of an authority and year.
        shock: Standard deviation of the shocks to authorities, as a rate: 0.05 is 5 points.
        persistence: Of the shocks, from year to year.
        pool: Authorities that are never treated.
        pilots: Treated ones.
        spread_of_sizes: Standard deviation of the log of authorities' sizes.
        drift: Change a year of the pilots' rates that the others do not have.
        effect: Of the programme on the rate.
        nearest: Whether comparators are the nearest by earlier outcomes; at random otherwise.
        comparators: Of each pilot.
    """

    cases: float = 500.0
    shock: float = 0.05
    persistence: float = 0.6
    pool: int = 31
    pilots: int = 1
    spread_of_sizes: float = 0.6
    drift: float = 0.0
    effect: float = 0.0
    nearest: bool = False
    comparators: int = 2


def prepared(world: World, rng: np.random.Generator) -> PreparedOutcome:
    """Draw the cases of one study and prepare them as a study does."""
    codes = [f"P{i:03}" for i in range(world.pilots)] + [f"U{i:03}" for i in range(world.pool)]
    n, positive = counted(world, rng)
    frame = _rows(codes, n, positive)
    design = _design(world, codes, positive / n, rng)
    stacked = designs.stacked_sample(frame, design, (), binary=True)
    nothing = pd.DataFrame()
    match = UnitMatch(design.groups, nothing, nothing, nothing, compared=())
    return PreparedOutcome(
        cases=CollectedCases(frame, INFO, (), nothing, nothing, {}),
        frame=frame,
        attrition=nothing,
        covariates=(),
        design=design,
        units=match,
        stacked=stacked,
        unweighted=stacked,
        case_match=None,
        steps=(),
        warnings=(),
    )


def counted(world: World, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the cases of each authority and year, and those that are 1; pilots come first."""
    n_units = world.pilots + world.pool
    size = world.cases * rng.lognormal(
        -(world.spread_of_sizes**2) / 2, world.spread_of_sizes, n_units
    )
    n = np.maximum(2, rng.poisson(size[:, None], (n_units, YEARS)))
    return n, rng.binomial(n, _rates(world, n_units, rng))


@dataclass(frozen=True)
class Told:
    """What placebo pilots say of one pilot.

    Attributes:
        p_leads: That its leads are zero.
        p_effect: That its effect is the true one.
    """

    p_leads: float
    p_effect: float


def one_pilot(world: World, rng: np.random.Generator) -> Told:
    """Judge the first pilot of a world by its raw differences, without an estimator."""
    path = _path(*counted(replace(world, pilots=1), rng))
    before = path.means[:, path.events < 0]
    distance = ((before[1:] - before[0]) ** 2).sum(axis=1)
    order = np.argsort(distance) if world.nearest else rng.permutation(world.pool)
    own = _rows_of(path, [0, *(1 + order[: world.comparators])])
    pool = _rows_of(path, range(1, 1 + world.pool))
    most = max(1, world.pool // placebos.PLACEBOS_PER_LEAD)
    groups = placebos.pooled_leads(list(path.events[: ADOPTION - 1]), most)
    leads = placebos.lead_weights(own, -1, [np.array(group) for group in groups])
    values, found = _judged(pool, own, *(_for_all(leads, p) for p in (pool, own)))
    try:
        statistic, df_den = hotelling(values, found)
    except EstimationError:  # too many leads for what the pool tells of such a large pilot
        statistic, df_den = 0.0, 1.0
    change = (placebos.effect_weights(p, "all") for p in (pool, own))
    (effect,), error = _judged(pool, own, *change)
    t = abs(effect - world.effect) / np.sqrt(error.covariance[0, 0])
    return Told(
        float(stats.f.sf(statistic, len(groups), df_den)), float(2 * stats.t.sf(t, error.df))
    )


def _path(n: np.ndarray, positive: np.ndarray) -> Path:
    """The path of rates, with the variance of sampling that cases of 0 and 1 have."""
    rates = positive / n
    within = (n * rates * (1 - rates)).sum(axis=1) / (n.sum(axis=1) - n.shape[1])
    events = np.arange(n.shape[1]) - float(ADOPTION)
    units = tuple(f"{i:03}" for i in range(len(n)))
    return Path(units, events, rates, n.astype(float), within[:, None] / n)


def _rows_of(path: Path, rows: Sequence[int]) -> Path:
    parts = (v[list(rows)] for v in (path.means, path.weight, path.sampling))
    return Path(tuple(path.units[i] for i in rows), path.events, *parts)


def _for_all(weights: np.ndarray, path: Path) -> np.ndarray:
    return np.broadcast_to(weights, (len(path.units), *weights.shape))


def _judged(
    pool: Path, own: Path, of_pool: np.ndarray, of_own: np.ndarray
) -> tuple[np.ndarray, Chance]:
    """The pilot's differences from its comparators, and how they move by chance."""
    differences = Contrasts.of(own, of_own)
    shares = placebos.shares_of(own)
    shocks = Shocks.of(Contrasts.of(pool, of_pool))
    values = differences.values[0] - shares @ differences.values[1:]
    return values, placebos.chance([Part(shocks, differences, shares, own.units[1:])])


def _rates(world: World, n_units: int, rng: np.random.Generator) -> NDArray[np.float64]:
    shocks = [rng.normal(size=n_units)]
    for _ in range(YEARS - 1):
        step = np.sqrt(1 - world.persistence**2) * rng.normal(size=n_units)
        shocks.append(world.persistence * shocks[-1] + step)
    level = BASE + SPREAD_OF_LEVELS * rng.normal(size=n_units)
    rates = level[:, None] + rng.normal(0, SPREAD_OF_YEARS, YEARS)
    rates = rates + world.shock * np.column_stack(shocks)
    years = np.arange(YEARS)
    rates[: world.pilots] += world.drift * years + world.effect * (years >= ADOPTION)
    return np.clip(rates, 0.005, 0.995)


def _rows(codes: Sequence[str], n: np.ndarray, positive: np.ndarray) -> pd.DataFrame:
    parts = []
    for value, count in ((0.0, n - positive), (1.0, positive)):
        rows = pd.DataFrame(
            {
                "unit": np.repeat(codes, YEARS),
                "period": np.tile(np.arange(2001, 2001 + YEARS), len(codes)),
                "value": value,
                "weight": count.ravel().astype(float),
            }
        )
        cells = (rows["weight"], rows["weight"], rows["weight"] * value)
        parts.append(rows.assign(**dict(zip(COMPRESSED_COLUMNS, cells, strict=True))))
    frame = pd.concat(parts, ignore_index=True)
    none = pd.Series(pd.NaT, index=frame.index, dtype="datetime64[ns]")
    frame = frame.assign(date=none, follow_up_end=none, child=None)
    return frame[frame["weight"] > 0].reset_index(drop=True)


def _design(
    world: World, codes: Sequence[str], rates: np.ndarray, rng: np.random.Generator
) -> Design:
    pool = codes[world.pilots :]
    pilots = tuple(Pilot(c, None, None, 2001 + ADOPTION) for c in codes[: world.pilots])
    before = rates[:, :ADOPTION]
    groups = []
    for i, pilot in enumerate(pilots):
        distance = ((before[world.pilots :] - before[i]) ** 2).sum(axis=1)
        order = np.argsort(distance) if world.nearest else rng.permutation(world.pool)
        chosen = tuple(pool[j] for j in order[: world.comparators])
        groups.append(MatchedGroup(pilot.unit, chosen))
    return Design(pilots, tuple(pool), tuple(groups))
