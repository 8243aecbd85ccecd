"""ROBINS-I: the risk of bias of a study without randomisation, domain by domain."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field

from sos_plugins import Evidence, Rating, RatingRule, Settings, hookimpl
from sos_ratings.claims import claim_of
from sos_ratings.facts import DIGITS, leads_of, pilots_held, unusable_share
from sos_ratings.scheme import SchemeSettings, Step, rating_of, without_estimate
from sos_ratings.wording import percent, points

CRITICAL, SERIOUS, NO_INFORMATION, MODERATE, LOW = range(5)
Judged = Literal["low", "moderate", "serious", "critical", "no information"]
MOST_PILOTS = 0.6
"""Least share of pilots with parallel trends for a moderate risk of confounding."""
WORDS = "{} risk of bias"


class RobinsISettings(SchemeSettings):
    """The domains that an analysis cannot judge, and the thresholds of those that it can."""

    selection: Judged = Field(
        "no information", description="bias in the selection of participants into the study"
    )
    classification: Judged = Field(
        "no information", description="bias in the classification of interventions"
    )
    deviations: Judged = Field(
        "no information", description="bias by deviations from intended interventions"
    )
    measurement: Judged = Field(
        "no information", description="bias in the measurement of the outcome"
    )
    reporting: Judged = Field(
        "no information",
        description="bias in the selection of the reported result; a plan that was published "
        "before the analysis makes it low",
    )
    leads_level: float = Field(
        0.05, gt=0, lt=1, description="p value below which leads speak against parallel trends"
    )
    missing_low: float = Field(
        0.05,
        ge=0,
        le=1,
        description="largest share of the pilots' records that is unusable where records are "
        "reasonably complete: low risk",
    )
    missing_most: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the pilots' records that is unusable above which the risk is serious "
        "even if as many are in the comparators",
    )
    apart_slightly: float = Field(
        0.05,
        ge=0,
        le=1,
        description="largest shift of the share of usable records in the pilots, less that in the "
        "comparators: moderate risk",
    )
    apart_substantially: float = Field(
        0.2, ge=0, le=1, description="largest such shift: serious risk; above it, critical"
    )


class RobinsI(RatingRule):
    """Risk of bias: the worst of seven domains.

    Confounding is judged by parallel trends and is moderate at best, as always without chance.
    Missing data are of low risk where records are reasonably complete; else it counts how
    differently they are missing from pilots and comparators, and why is not known, which leaves
    moderate at best. The five other domains are settings; one that is not answered leaves "no
    information", unless another is serious or critical.
    """

    name: ClassVar[str] = "robins-i"
    label: ClassVar[str] = "Risk of bias in non-randomised studies (ROBINS-I)"
    Settings: ClassVar[type[Settings]] = RobinsISettings
    citation: ClassVar[str] = (
        "Sterne, J. A. C. et al. (2016), ROBINS-I: a tool for assessing risk of bias in "
        "non-randomised studies of interventions, BMJ 355, i4919"
    )
    levels: ClassVar[tuple[str, ...]] = ("critical", "serious", "no information", "moderate", "low")

    def rate(self, evidence: Evidence, settings: RobinsISettings) -> Rating:
        """Rate one outcome; without an estimate the risk is critical."""
        if claim_of(evidence, settings.significance) is None:
            return without_estimate(self, evidence, settings, words=WORDS)
        steps = (
            _confounding(evidence, settings),
            *(_answered(self, name, getattr(settings, name)) for name in ANSWERED),
            _missing(evidence, settings),
        )
        place = min(step.place for step in steps)
        words = "{} on the risk of bias" if place == NO_INFORMATION else WORDS
        return rating_of(self, evidence, settings, place, steps, words=words)


ANSWERED = {
    "selection": "selection of participants",
    "classification": "classification of interventions",
    "deviations": "deviations from intended interventions",
    "measurement": "measurement of the outcome",
    "reporting": "selection of the reported result",
}
"""Domains that settings answer, in words."""


def _answered(rule: RatingRule, name: str, judged: str) -> Step:
    place = rule.levels.index(judged)
    if place == NO_INFORMATION:
        text = f"Bias by {ANSWERED[name]} was not judged (setting {name})."
    else:
        text = f"Bias by {ANSWERED[name]} was judged {judged}."
    return Step(place, ANSWERED[name], text)


def _confounding(evidence: Evidence, settings: RobinsISettings) -> Step:
    metric, leads = "confounding", leads_of(evidence)
    if not leads.known:
        text = "Parallel trends could not be tested, so confounding is not known."
        return Step(NO_INFORMATION, metric, text)
    rejected = any((t.p_value or 0.0) < settings.leads_level for t in leads.overall)
    held = pilots_held(leads.each, settings.leads_level)
    share = held / len(leads.each) if leads.each else (0.0 if rejected else 1.0)
    if rejected and share < MOST_PILOTS:
        text = "Trends before the programme were not parallel, overall and in most pilots."
        return Step(CRITICAL, metric, text, share, MOST_PILOTS)
    if rejected or share < MOST_PILOTS:
        text = "Trends before the programme were not parallel everywhere."
        return Step(SERIOUS, metric, text, share, MOST_PILOTS)
    text = "Trends before the programme were parallel; without chance deciding, moderate at best."
    return Step(MODERATE, metric, text, share, MOST_PILOTS)


def _missing(evidence: Evidence, settings: RobinsISettings) -> Step:
    metric = "missing data"
    lost, limit = unusable_share(evidence), settings.missing_low
    if math.isnan(lost):
        return Step(NO_INFORMATION, metric, "How many records are unusable is not known.")
    text = f"{percent(lost)} of the pilots' records could not be judged"
    if lost <= limit:
        return Step(LOW, metric, f"{text}: reasonably complete.", lost, limit)
    shift = round(abs(evidence.quality.get("usable_shift", math.nan)), DIGITS)
    if math.isnan(shift):
        text += ", and whether as many could not in the comparators is not known"
        return Step(NO_INFORMATION, metric, f"{text}.", lost, limit)
    text += f", and their share shifted by {points(shift)} against that in the comparators"
    limits = (settings.apart_slightly, settings.apart_substantially)
    place = (MODERATE, SERIOUS, CRITICAL)[sum(shift > limit for limit in limits)]
    if lost > settings.missing_most and place > SERIOUS:
        return Step(SERIOUS, metric, f"{text}.", lost, settings.missing_most)
    return Step(place, metric, f"{text}.", shift, settings.apart_slightly)


@hookimpl
def register_rating_rules(register):  # type: ignore[no-untyped-def]
    """Register the rule."""
    register(RobinsI())
