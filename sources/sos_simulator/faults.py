"""Faults of recording, planted in the returns of children in need and counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sos_simulator.dates import (
    NEVER,
    NOTHING,
    Flags,
    Floats,
    Ints,
    Objects,
    april_year,
    between,
    generator,
    year_end,
)
from sos_simulator.fault_kinds import SETTINGS_OF_THEIR_OWN
from sos_simulator.population import Population
from sos_simulator.referrals import NFA, Referrals
from sos_simulator.settings import SimulatedSettings

KINDS = SETTINGS_OF_THEIR_OWN
"""What is planted. All of it passes the schemas; a referral has one of the first three at most."""

_CENTURY = 36_525
_RATE_SPREAD = 0.15


@dataclass(frozen=True)
class Recorded:
    """What the returns say of each referral, where that may differ from the truth.

    Attributes:
        closure: Closure day as written; NEVER if left out.
        reason: Closure reason as written, or None.
        nfa: The flag ReferralNFA as written.
        fault: Name of the fault, or empty.
        duplicate: Whether the referral stands twice in the last return that holds it.
    """

    closure: Ints
    reason: Objects
    nfa: Flags
    fault: Objects
    duplicate: Flags


def plant(settings: SimulatedSettings, population: Population, referrals: Referrals) -> Recorded:
    """Decide what the returns get wrong.

    Faults strike at random within an authority and a year: they cost cases, they do not move an
    outcome up or down.
    """
    rng = generator(settings.seed, "dirt")
    n = len(referrals)
    closed = referrals.closure <= year_end(settings.last_year)
    rates = _missing_reason_rates(rng, settings, population)
    if population.part:
        rng = generator(settings.seed, population.stream("dirt"))
    column = np.clip(april_year(referrals.closure) - settings.first_year, 0, rates.shape[1] - 1)
    no_reason = rates[referrals.unit, column]
    draw = rng.random(n)
    no_date = no_reason + settings.missing_closure_date
    impossible = no_date + settings.impossible_dates
    names = np.array(
        ["missing-reason", "missing-closure-date", "impossible-date", ""], dtype=object
    )
    which = (draw >= no_reason).astype(int) + (draw >= no_date) + (draw >= impossible)
    fault = np.where(closed, names[which], "")
    early = referrals.date - between(rng, 30, np.full(n, 900))
    wrong = np.where(rng.random(n) < 0.5, early, referrals.closure + _CENTURY)
    hidden = fault == "missing-reason"
    closure = np.where(fault == "missing-closure-date", NEVER, referrals.closure)
    return Recorded(
        closure=np.where(fault == "impossible-date", wrong, closure),
        reason=np.where(hidden, NOTHING, referrals.reason),
        nfa=(referrals.kind == NFA) & ~hidden,
        fault=fault.astype(object),
        duplicate=rng.random(n) < settings.duplicates,
    )


def _missing_reason_rates(
    rng: np.random.Generator, settings: SimulatedSettings, population: Population
) -> Floats:
    shape = (settings.authorities, len(settings.years))
    poor = rng.random(shape) < settings.poor_authority_years
    usual = np.full(shape, settings.missing_reason)
    n_worst = settings.pilots // 3
    if n_worst:
        worst = rng.choice(population.pilots, size=n_worst, replace=False)
        usual[worst] = settings.missing_reason_worst
    spread = 1 + _RATE_SPREAD * rng.normal(0, 1, shape)
    rates = np.where(poor, usual * spread, settings.missing_reason_elsewhere)
    return np.asarray(np.clip(rates, 0.0, 0.9), dtype=np.float64)


def count(
    settings: SimulatedSettings, population: Population, referrals: Referrals, recorded: Recorded
) -> pd.DataFrame:
    """Count what was planted.

    Returns:
        One row a fault, authority and April-year of the return it stands in: ``fault``, ``unit``,
        ``year``, ``n``.
    """
    last = np.minimum(april_year(referrals.closure), settings.last_year)
    codes = np.array(population.codes)[referrals.unit]
    frame = pd.DataFrame({"fault": recorded.fault, "unit": codes, "year": last})
    copies = frame[recorded.duplicate].assign(fault="duplicate")
    planted = pd.concat([frame[frame["fault"] != ""], copies])
    return planted.groupby(["fault", "unit", "year"]).size().rename("n").reset_index()


def tally(
    settings: SimulatedSettings, referrals: Referrals, recorded: Recorded
) -> dict[str, tuple[int, int]]:
    """Return, for each of :data:`KINDS`, how many were planted, and in how many rows they could."""
    closed = int((referrals.closure <= year_end(settings.last_year)).sum())
    marks = {kind: int((recorded.fault == kind).sum()) for kind in KINDS}
    marks["duplicate"] = int(recorded.duplicate.sum())
    return {
        kind: (n, len(referrals) if kind == "duplicate" else closed) for kind, n in marks.items()
    }


def summary(tallies: Iterable[Mapping[str, tuple[int, int]]]) -> dict[str, Any]:
    """Return, for each of :data:`KINDS`, its meaning, the number planted and their share."""
    total = {kind: [0, 0] for kind in KINDS}
    for one in tallies:
        for kind, (planted, of) in one.items():
            total[kind][0] += planted
            total[kind][1] += of
    return {
        kind: {
            "meaning": meaning,
            "planted": total[kind][0],
            "share": round(total[kind][0] / max(total[kind][1], 1), 4),
            "share_of": "referrals" if kind == "duplicate" else "closed referrals",
        }
        for kind, meaning in KINDS.items()
    }
