"""What is true in the simulated records, written beside them."""

from __future__ import annotations

from typing import Any

from sos_simulator.dates import date_of
from sos_simulator.population import Population
from sos_simulator.rates import Profile, Rates
from sos_simulator.settings import SimulatedSettings

NOTICE = (
    "All records here are simulated. They describe no real child, family or authority; the effects "
    "in them were put there."
)
MEASURES = {
    "assessment-duration": "working days",
    "rereferral": "probability of a re-referral within 183 days of the NFA date",
    "escalation": "probability that an NFA case is re-referred and a plan or care follows",
    "kinship-care": "probability of kinship care within 365 days, starts under C1 or C2",
    "icpc": "probability of a conference within 90 days, referrals in need",
}


def describe_truth(
    settings: SimulatedSettings,
    population: Population,
    rates: Rates,
    *,
    dirt: dict[str, Any],
    faults: dict[str, Any],
) -> dict[str, Any]:
    """Return the truth as plain values."""
    codes = population.codes
    return {
        "simulated": True,
        "notice": NOTICE,
        "seed": settings.seed,
        "outcomes": {
            name: _outcome(population, profile) for name, profile in rates.profiles.items()
        },
        "windows": {
            codes[i]: {
                "start": date_of(population.start[i]).isoformat(),
                "end": date_of(population.end[i]).isoformat(),
                "external_support": bool(population.external[i]),
                "comparators": [codes[j] for j in population.comparators(i)],
            }
            for i in population.pilots
        },
        "dirt": dirt,
        "faults": faults,
        "settings": settings.model_dump(mode="json", exclude={"processes"}),
    }


def _outcome(population: Population, profile: Profile) -> dict[str, Any]:
    def by_pilot(values: Any, digits: int = 4) -> dict[str, float]:
        return {population.codes[i]: round(float(values[i]), digits) for i in population.pilots}

    truth = profile.truth
    violated = [population.codes[i] for i in population.pilots if profile.violated[i]]
    told: dict[str, Any] = {
        "effect": truth.effect,
        "measure": MEASURES[truth.name],
        "level": truth.level,
        "effect_by_pilot": by_pilot(profile.effect),
        "parallel_trends_hold": [
            population.codes[i] for i in population.pilots if not profile.violated[i]
        ],
        "parallel_trends_violated": violated,
        "differential_trend_a_year": truth.pretrend_slope if violated else 0.0,
    }
    if profile.confounder.any():
        told["confounder"] = {
            "meaning": "changes that coincide with the embedding window and are no effect of the "
            "programme",
            "by_pilot": by_pilot(profile.confounder),
        }
    return told
