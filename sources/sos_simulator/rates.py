"""What drives events: the probability or mean of every outcome by authority and day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sos_simulator.dates import YEAR, Flags, Floats, Ints, april_year, generator
from sos_simulator.population import Population
from sos_simulator.settings import OUTCOMES, OutcomeTruth, SimulatedSettings

BURN_IN = 3
"""Years simulated before the first return, so that cases are open when it starts."""

# SD of authorities' levels, of their yearly random walks and of the national one.
_SPREAD = {
    "assessment-duration": (3.0, 0.25, 0.7),
    "rereferral": (0.025, 0.003, 0.008),
    "escalation": (0.005, 0.0015, 0.003),
    "kinship-care": (0.025, 0.005, 0.01),
    "icpc": (0.025, 0.003, 0.006),
}
_FLOOR, _CEILING = 0.008, 0.97
_OTHERS_WALK = 2.0


@dataclass(frozen=True)
class Profile:
    """One outcome: ``base`` is authorities x April-years; the rest has one element an authority."""

    truth: OutcomeTruth
    base: Floats
    effect: Floats
    slope: Floats
    confounder: Floats
    violated: Flags


@dataclass(frozen=True)
class Rates:
    """Profiles of all outcomes, and the windows that they refer to."""

    profiles: Mapping[str, Profile]
    first_year: int
    start: Ints
    end: Ints
    trend_days: float
    trend_gap: float

    def at(self, outcome: str, unit: Ints, days: Ints) -> Floats:
        """Return the mean of an outcome for cases of ``unit`` (index) that enter on ``days``.

        The effect is nil before the embedding window, grows through it and is whole from the day
        after its end. A differential trend runs up to the window (less a gap) and then keeps what
        it has reached.
        """
        profile = self.profiles[outcome]
        column = np.clip(april_year(days) - self.first_year, 0, profile.base.shape[1] - 1)
        value = profile.base[unit, column]
        value = value + (profile.effect + profile.confounder)[unit] * self._ramp(unit, days)
        value = value + profile.slope[unit] * self._trend_years(unit, days)
        if not profile.truth.binary:
            return value
        clipped: Floats = np.clip(value, _FLOOR, _CEILING)
        return clipped

    def _ramp(self, unit: Ints, days: Ints) -> Floats:
        start, end = self.start[unit], self.end[unit]
        return np.asarray(np.clip((days - start) / (end + 1 - start), 0.0, 1.0), dtype=np.float64)

    def _trend_years(self, unit: Ints, days: Ints) -> Floats:
        """Years since the middle of the stretch over which a differential trend runs."""
        since = np.clip(days - self.start[unit] + self.trend_gap, -self.trend_days, 0.0)
        return np.asarray((since + self.trend_days / 2) / YEAR, dtype=np.float64)


def make_rates(settings: SimulatedSettings, population: Population) -> Rates:
    """Draw the profiles of all outcomes."""
    # Whoever is no pilot has no window; a start never reached and a positive length do no harm.
    end = np.where(population.is_pilot, population.end, population.start + 1)
    return Rates(
        profiles={name: _profile(settings, population, name) for name in OUTCOMES},
        first_year=settings.first_year - BURN_IN,
        start=population.start,
        end=end,
        trend_days=settings.pretrend_years * YEAR,
        trend_gap=settings.pretrend_gap * YEAR,
    )


def _profile(settings: SimulatedSettings, population: Population, name: str) -> Profile:
    rng = generator(settings.seed, f"rates {name}")
    truth = settings.outcome(name)
    spread, walk, national = _SPREAD[name]
    n_years = settings.last_year - settings.first_year + 1 + BURN_IN
    shape = (settings.authorities, n_years)
    own = np.where(population.group >= 0, 1.0, _OTHERS_WALK)[:, None] * settings.walk * walk
    base = (
        truth.level
        + settings.level_spread * spread * population.position[name][:, None]
        + np.cumsum(rng.normal(0, 1, shape), axis=1) * own
        + np.cumsum(rng.normal(0, national * settings.walk, n_years))[None, :]
    )
    shocks = autoregressive(rng.normal(0, 1, shape), settings.rho)
    size = truth.shock(settings.shock) if truth.binary else settings.duration_shock
    base = base + size * shocks
    confounder = np.zeros(settings.authorities)
    if not truth.binary:
        confounder = np.where(
            population.external,
            settings.duration_confounder_external,
            settings.duration_confounder_others,
        )
    violated = _violators(population, truth.pretrend_pilots)
    return Profile(
        truth=truth,
        base=base,
        effect=_effects(rng, settings, population, truth.effect),
        slope=np.where(violated, truth.pretrend_slope, 0.0),
        confounder=np.where(population.is_pilot, confounder, 0.0),
        violated=violated,
    )


def autoregressive(draws: Floats, rho: float) -> Floats:
    """Return shocks of variance 1 that carry over from one year to the next.

    Args:
        draws: Independent draws of variance 1, authorities x years.
        rho: Correlation of one year's shock with the next, from 0 to below 1.

    Returns:
        Authorities x years; the first year is that of ``draws``.
    """
    shocks = draws.copy()
    for year in range(1, draws.shape[1]):
        shocks[:, year] = rho * shocks[:, year - 1] + np.sqrt(1 - rho**2) * draws[:, year]
    return shocks


def _effects(
    rng: np.random.Generator, settings: SimulatedSettings, population: Population, effect: float
) -> Floats:
    """Spread the effect over the pilots; their mean is the effect."""
    deviations = rng.normal(0, 1, settings.pilots)
    deviations = deviations - deviations.mean()
    if settings.pilots > 1:
        deviations = deviations / deviations.std()
    effects = np.zeros(settings.authorities)
    effects[population.pilots] = effect * (1 + settings.effect_spread * deviations)
    return effects


def _violators(population: Population, number: int) -> Flags:
    """Pick the pilots that adopt last: most is seen of their years before the window."""
    violated = np.zeros(len(population.codes), dtype=bool)
    if number:
        violated[population.pilots[-number:]] = True
    return violated
