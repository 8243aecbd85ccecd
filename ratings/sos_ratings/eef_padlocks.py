"""The padlocks of the Education Endowment Foundation: how secure a finding is, from 0 to 5."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field

from sos_plugins import Evidence, Rating, RatingRule, Settings, hookimpl
from sos_ratings.claims import Claim, claim_of
from sos_ratings.facts import unusable_share
from sos_ratings.scheme import SchemeSettings, Step, rating_of, without_estimate
from sos_ratings.wording import percent

MDES_BELOW = (0.6, 0.5, 0.4, 0.3, 0.2)
"""Minimum detectable effect in standard deviations for 1, 2, 3, 4 and 5 padlocks: below the first
four, at most the last."""
ATTRITION_UP_TO = (0.5, 0.4, 0.3, 0.2, 0.1)
"""Share of the cases that is lost, at most, for 1, 2, 3, 4 and 5 padlocks."""
DIFFERENCES = 4
"""Padlocks of a design that deals with what is not observed: differences of differences."""
RANDOMISED = 5
THREATS = {"low": 0, "moderate": 1, "high": 2}
"""Padlocks lost for threats to validity, by what the study's people judged them to be."""
UNKNOWN = 3
"""Padlocks allowed where a threat or the attrition is not known: what is not known never counts
in favour."""
WORDS = "{} of 5 padlocks"


class EefPadlocksSettings(SchemeSettings):
    """What the study's people know and an analysis does not."""

    randomised: bool = Field(
        False, description="whether chance decided which authorities became pilots"
    )
    threats: Literal["low", "moderate", "high", "not judged"] = Field(
        "not judged",
        description="threats to validity that no figure shows (other programmes, implementation, "
        "measurement): low costs nothing, moderate a padlock, high two; not judged leaves three "
        "padlocks at most",
    )
    imbalance: float = Field(
        0.05,
        ge=0,
        description="standardised difference in the outcome before from which a padlock is lost",
    )


class EefPadlocks(RatingRule):
    """0 to 5 padlocks: the fewest that design, precision and attrition allow, less what threatens.

    Precision is the minimum detectable effect in standard deviations of the value among the
    pilots' cases; attrition the share of their records that could not be judged. Differences of
    differences have four padlocks at most.
    """

    name: ClassVar[str] = "eef-padlocks"
    label: ClassVar[str] = "Security of findings in padlocks (EEF)"
    Settings: ClassVar[type[Settings]] = EefPadlocksSettings
    citation: ClassVar[str] = (
        "Education Endowment Foundation (2019), Classification of the security of findings from "
        "EEF evaluations"
    )
    levels: ClassVar[tuple[str, ...]] = ("0", "1", "2", "3", "4", "5")

    def rate(self, evidence: Evidence, settings: EefPadlocksSettings) -> Rating:
        """Rate one outcome; without an estimate it has no padlock."""
        claim = claim_of(evidence, settings.significance)
        if claim is None:
            return without_estimate(self, evidence, settings, words=WORDS)
        steps = [_design(evidence, settings), _precision(evidence, claim), _attrition(evidence)]
        place = min(step.place for step in steps)
        steps.append(_imbalance(evidence, settings, place))
        place = min(place, steps[-1].place)
        steps.append(_threats(settings, place))
        place = min(place, steps[-1].place)
        return rating_of(self, evidence, settings, place, steps, words=WORDS)


def _design(evidence: Evidence, settings: EefPadlocksSettings) -> Step:
    if (evidence.main.n_units or 0) <= (evidence.main.n_treated_units or 0):
        return Step(0, "design", "There are no comparators.")
    if settings.randomised:
        return Step(RANDOMISED, "design", "Chance decided which authorities became pilots.")
    text = "Differences of differences deal with unobserved differences that last: 4 at most."
    return Step(DIFFERENCES, "design", text)


def _precision(evidence: Evidence, claim: Claim) -> Step:
    spread = evidence.quality.get("value_sd", math.nan)
    if not spread > 0:
        text = "The spread of the value is not known, so neither is the detectable effect size."
        return Step(UNKNOWN, "precision", text)
    size = claim.detectable / spread
    *below, last = MDES_BELOW
    place = sum(size < limit for limit in below) + (size <= last)
    text = f"The minimum detectable effect is {size:.2f} standard deviations: {place} at most."
    return Step(place, "precision", text, size)


def _attrition(evidence: Evidence) -> Step:
    lost = unusable_share(evidence)
    if math.isnan(lost):
        text = "How many records could not be judged is not known: 3 at most."
        return Step(UNKNOWN, "attrition", text)
    place = sum(lost <= limit for limit in ATTRITION_UP_TO)
    text = f"{percent(lost)} of the pilots' records could not be judged: {place} at most."
    return Step(place, "attrition", text, lost)


def _imbalance(evidence: Evidence, settings: EefPadlocksSettings, place: int) -> Step:
    size = evidence.quality.get("imbalance_units", math.nan)
    if math.isnan(size):
        return Step(RANDOMISED, "balance", "Balance in the outcome before is not known.")
    text = f"The outcome before differs by {size:.2f} standard deviations"
    if size < settings.imbalance:
        return Step(RANDOMISED, "balance", f"{text}.", size, settings.imbalance)
    return Step(max(place - 1, 0), "balance", f"{text}: a padlock less.", size, settings.imbalance)


def _threats(settings: EefPadlocksSettings, place: int) -> Step:
    if settings.threats == "not judged":
        text = "Threats to validity were not judged (setting threats): 3 padlocks at most."
        return Step(UNKNOWN, "threats", text)
    lost = THREATS[settings.threats]
    text = f"Threats to validity were judged {settings.threats}: {lost} padlocks less."
    return Step(max(place - lost, 0) if lost else RANDOMISED, "threats", text, float(lost))


@hookimpl
def register_rating_rules(register):  # type: ignore[no-untyped-def]
    """Register the rule."""
    register(EefPadlocks())
