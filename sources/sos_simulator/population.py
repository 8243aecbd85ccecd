"""The simulated authorities: pilots, the comparators planted for them, and the others."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sos_simulator.dates import NEVER, Flags, Floats, Ints, date_of, day, generator
from sos_simulator.settings import OUTCOMES, SimulatedSettings

FIRST_CODE = 501
"""Codes from 501 on belong to no authority of England."""

OTHER_ETHNICITIES = (
    ("WOTH", 0.16),
    ("WIRI", 0.02),
    ("MWBC", 0.12),
    ("MWAS", 0.06),
    ("MOTH", 0.09),
    ("AIND", 0.05),
    ("APKN", 0.13),
    ("ABAN", 0.06),
    ("AOTH", 0.06),
    ("BAFR", 0.13),
    ("BCRB", 0.06),
    ("CHNE", 0.01),
    ("OOTH", 0.03),
    ("NOBT", 0.02),
)
"""Census codes of children not White British, and their shares among them."""
_FAR_SIZE = 3.0  # how far in size the other authorities lie, in spreads
_MIX_ALIKE = 12.0  # the larger, the more alike the mixes

EXPERIENCE = ("new", "two years", "more than two years")
OFSTED = ("Inadequate", "Requires improvement", "Good", "Outstanding")


@dataclass(frozen=True)
class Population:
    """Authorities, in the order of their codes; every array has one element an authority.

    Attributes:
        codes: Three-digit codes.
        group: Number of the matched group (0 ..), -1 for an authority of no group.
        is_pilot: Whether the authority is a pilot.
        start: First day of the embedding window; NEVER for an authority that is no pilot.
        end: Last day of the embedding window; NEVER likewise.
        external: Whether the pilot had support from outside consultants.
        size: Size relative to the mean.
        position: Level of each outcome in units of the outcome's spread, by outcome.
        white: Share of White British children.
        disabled: Share of disabled children.
        age_shape: First parameter of the beta distribution of age at the first referral.
        ethnic_mix: Authorities x other ethnic groups: shares among children not White British.
        characteristics: Frame that goes to ``authorities.csv``.
        part: Code of the authority whose events alone are drawn, from random numbers of its own;
            empty for all authorities at once.
    """

    codes: tuple[str, ...]
    group: Ints
    is_pilot: Flags
    start: Ints
    end: Ints
    external: Flags
    size: Floats
    position: Mapping[str, Floats]
    white: Floats
    disabled: Floats
    age_shape: Floats
    ethnic_mix: Floats
    characteristics: pd.DataFrame
    part: str = ""

    def only(self, index: int) -> Population:
        """Return the same authorities, of which one alone has children."""
        size = np.where(np.arange(len(self.codes)) == index, self.size, 0.0)
        return replace(self, size=size, part=self.codes[index])

    def stream(self, name: str) -> str:
        """Return the name of the random numbers of a part of the simulation."""
        return f"{name} {self.part}".rstrip()

    @property
    def pilots(self) -> Ints:
        """Indices of the pilots in order of adoption."""
        index = np.flatnonzero(self.is_pilot)
        return index[np.argsort(self.start[index], kind="stable")]

    def comparators(self, pilot: int) -> Ints:
        """Indices of the comparators planted for a pilot."""
        return np.flatnonzero((self.group == self.group[pilot]) & ~self.is_pilot)

    def name(self, index: int) -> str:
        """Return the invented name of an authority."""
        return f"Authority {self.codes[index]} (simulated)"


def populate(settings: SimulatedSettings) -> Population:
    """Make the authorities.

    A pilot and its comparators lie close together in size, level of every outcome and
    characteristics; the other authorities lie outside the range of the pilots.
    """
    rng = generator(settings.seed, "population")
    n, each = settings.authorities, settings.comparators_per_pilot
    grouped = settings.pilots * (1 + each)
    group = np.full(n, -1, dtype=np.int64)
    group[:grouped] = np.repeat(np.arange(settings.pilots), 1 + each)
    is_pilot = np.zeros(n, dtype=bool)
    is_pilot[np.arange(settings.pilots) * (1 + each)] = True
    start, end, external = _windows(settings, rng)
    white = _in_groups(rng, group, settings.pilots, centre=0.74, width=0.12, far=0.3)
    size = np.exp(
        _in_groups(
            rng, group, settings.pilots, 0.0, settings.size_spread, _FAR_SIZE * settings.size_spread
        )
    )
    disabled = _in_groups(rng, group, settings.pilots, centre=0.13, width=0.035, far=0.09)
    age_shape = _in_groups(rng, group, settings.pilots, centre=0.9, width=0.13, far=0.4)
    mix = _mixes(rng, group, settings.pilots)
    position = {name: _positions(rng, group, settings.pilots) for name in OUTCOMES}
    order = rng.permutation(n)  # codes tell nothing about the role
    place = np.full(n, NEVER, dtype=np.int64)
    windows_start, windows_end, with_external = place.copy(), place.copy(), np.zeros(n, dtype=bool)
    windows_start[is_pilot], windows_end[is_pilot], with_external[is_pilot] = start, end, external
    white = np.clip(white, 0.2, 0.97)
    codes = tuple(str(FIRST_CODE + i) for i in range(n))
    return Population(
        codes=codes,
        group=group[order],
        is_pilot=is_pilot[order],
        start=windows_start[order],
        end=windows_end[order],
        external=with_external[order],
        size=size[order],
        position={name: values[order] for name, values in position.items()},
        white=white[order],
        disabled=np.clip(disabled, 0.02, 0.3)[order],
        age_shape=np.clip(age_shape, 0.4, 1.6)[order],
        ethnic_mix=mix[order],
        characteristics=_characteristics(rng, codes, group[order], settings.pilots, white[order]),
    )


def _windows(settings: SimulatedSettings, rng: np.random.Generator) -> tuple[Ints, Ints, Flags]:
    n = settings.pilots
    first, last = settings.first_window, settings.last_window
    span = (last.year - first.year) * 12 + last.month - first.month
    months = np.round(np.linspace(0, span, n)).astype(int)
    lengths = rng.integers(settings.window_months[0], settings.window_months[1] + 1, n)
    starts = np.array([day(_add_months(first, int(m))) for m in months], dtype=np.int64)
    ends = [_add_months(date_of(s), int(k)) for s, k in zip(starts, lengths, strict=True)]
    external = np.zeros(n, dtype=bool)
    external[rng.choice(n, size=settings.external_pilots, replace=False)] = True
    return starts, np.array([day(e) - 1 for e in ends], dtype=np.int64), external


def _add_months(date: dt.date, months: int) -> dt.date:
    total = date.year * 12 + date.month - 1 + months
    return dt.date(total // 12, total % 12 + 1, min(date.day, 28))


def _positions(rng: np.random.Generator, group: Ints, n_groups: int) -> Floats:
    spaced = np.linspace(-1, 1, n_groups) if n_groups > 1 else np.zeros(1)
    centres = rng.permutation(spaced)
    values = np.where(group >= 0, centres[group] + rng.normal(0, 0.12, len(group)), 0.0)
    outside = rng.choice([-1.0, 1.0], len(group)) * rng.uniform(1.8, 2.8, len(group))
    return np.where(group >= 0, values, outside)


def _in_groups(
    rng: np.random.Generator, group: Ints, n_groups: int, centre: float, width: float, far: float
) -> Floats:
    spaced = np.linspace(-1.5, 1.5, n_groups) if n_groups > 1 else np.zeros(1)
    centres = centre + width * rng.permutation(spaced)
    near = centres[group] + rng.normal(0, 0.15 * width, len(group))
    outside = centre + rng.choice([-1.0, 1.0], len(group)) * rng.uniform(0.7, 1.2, len(group)) * far
    return np.where(group >= 0, near, outside)


def _mixes(rng: np.random.Generator, group: Ints, n_groups: int) -> Floats:
    """Draw ethnic mixes: one a group, and one for every authority of none."""
    shares = np.array([share for _, share in OTHER_ETHNICITIES])
    groups = rng.dirichlet(shares / shares.sum() * _MIX_ALIKE, n_groups)
    others = rng.dirichlet(shares / shares.sum() * _MIX_ALIKE, len(group))
    return np.where((group >= 0)[:, None], groups[group], others)


def _characteristics(
    rng: np.random.Generator, codes: tuple[str, ...], group: Ints, n_groups: int, white: Floats
) -> pd.DataFrame:
    density = np.exp(_in_groups(rng, group, n_groups, 7.0, 0.7, 2.2))
    meals = np.clip(_in_groups(rng, group, n_groups, 0.17, 0.04, 0.12), 0.03, 0.45)
    rating = np.clip(np.round(_in_groups(rng, group, n_groups, 1.5, 0.7, 1.5)), 0, 3).astype(int)
    return pd.DataFrame(
        {
            "unit": list(codes),
            "name": [f"Authority {code} (simulated)" for code in codes],
            "region": [
                f"Region {'ABCDEFGHI'[k]} (simulated)" for k in rng.integers(0, 9, len(codes))
            ],
            "population_density": np.round(density, 1),
            "free_school_meals": np.round(meals, 4),
            "white_british": np.round(white, 4),
            "ofsted_rating": [OFSTED[k] for k in rating],
            "ofsted_score": rating + 1,
            "other_innovation_projects": rng.integers(0, 2, len(codes)),
        }
    )


def pilots_table(population: Population) -> pd.DataFrame:
    """Return the design: one row a pilot, in order of adoption."""
    rows = []
    for rank, index in enumerate(population.pilots):
        rows.append(
            {
                "unit": population.codes[index],
                "name": population.name(index),
                "start": date_of(population.start[index]).isoformat(),
                "end": date_of(population.end[index]).isoformat(),
                "external_support": str(bool(population.external[index])).lower(),
                "experience": EXPERIENCE[rank % len(EXPERIENCE)],
            }
        )
    return pd.DataFrame(rows)


def groups_table(population: Population) -> pd.DataFrame:
    """Return the planted matched groups: one row a pilot and comparator."""
    pairs = [
        (population.codes[pilot], population.codes[other])
        for pilot in population.pilots
        for other in population.comparators(pilot)
    ]
    return pd.DataFrame(pairs, columns=["pilot", "comparator"])
