"""The Maryland Scientific Methods Scale: five levels of design, from a correlation to a trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

from pydantic import Field

from sos_plugins import Evidence, Rating, RatingRule, Settings, hookimpl
from sos_ratings.claims import claim_of
from sos_ratings.facts import leads_of, pilots_held
from sos_ratings.scheme import SchemeSettings, Step, rating_of, without_estimate
from sos_ratings.wording import counted, p_text

LEVEL_1, LEVEL_2, LEVEL_3, LEVEL_4, LEVEL_5 = range(5)
SEVERAL = 2
"""Level 4 asks for units in the plural on both sides."""
WORDS = "Maryland level {}"


class MarylandSettings(SchemeSettings):
    """What the study's people know, and when trends are parallel."""

    edition: Literal["whatworksgrowth-2016", "farrington-2002"] = Field(
        "whatworksgrowth-2016",
        description="whatworksgrowth-2016: differences of differences reach level 3, level 4 is "
        "for what is as good as chance; farrington-2002: several units on either side, controlled "
        "and alike before, reach level 4",
    )
    randomised: bool = Field(
        False, description="whether chance decided which authorities became pilots"
    )
    as_good_as_chance: bool = Field(
        False,
        description="whether something as good as chance decided it, such as a cut-off in a score; "
        "edition whatworksgrowth-2016 asks it for level 4",
    )
    leads_level: float = Field(
        0.05, gt=0, lt=1, description="p value below which leads speak against comparability"
    )


class Maryland(RatingRule):
    """Level 1 to 5 of internal validity, by the design.

    A comparison before and after with comparators that are shown to be like the pilots is level 3;
    with chance deciding, level 5. Level 4 is what its edition says: see the settings.
    """

    name: ClassVar[str] = "maryland"
    label: ClassVar[str] = "Maryland Scientific Methods Scale"
    Settings: ClassVar[type[Settings]] = MarylandSettings
    citation: ClassVar[str] = (
        "Sherman, L. W., Gottfredson, D., MacKenzie, D., Eck, J., Reuter, P. and Bushway, S. "
        "(1997), Preventing crime: what works, what doesn't, what's promising, National Institute "
        "of Justice; Farrington, D. P., Gottfredson, D. C., Sherman, L. W. and Welsh, B. C. "
        "(2002), The Maryland Scientific Methods Scale, in Evidence-Based Crime Prevention, "
        "Routledge, 13-21; What Works Centre for Local Economic Growth (2016), Guide to scoring "
        "evidence using the Maryland Scientific Methods Scale"
    )
    levels: ClassVar[tuple[str, ...]] = ("1", "2", "3", "4", "5")

    def rate(self, evidence: Evidence, settings: MarylandSettings) -> Rating:
        """Rate one outcome; without an estimate it is level 1."""
        if claim_of(evidence, settings.significance) is None:
            return without_estimate(self, evidence, settings, words=WORDS)
        steps = EDITIONS[settings.edition](evidence, settings)
        place = min(step.place for step in steps)
        return rating_of(self, evidence, settings, place, steps, words=WORDS, carries=LEVEL_3)


Steps = tuple[Step, ...]


def _growth(evidence: Evidence, settings: MarylandSettings) -> Steps:
    """Ask what the What Works Centre for Local Economic Growth asks."""
    controlled = bool(_controls(evidence))
    without = LEVEL_2 if controlled else LEVEL_1
    shown = any(not math.isnan(evidence.quality.get(name, math.nan)) for name in LIKENESS)
    return (
        _comparators(evidence, without),
        _trends(evidence, settings, LEVEL_3 if shown else LEVEL_2),
        _as_good_as_chance(settings),
    )


def _farrington(evidence: Evidence, settings: MarylandSettings) -> Steps:
    """Ask what Farrington and others ask."""
    return (
        _comparators(evidence, LEVEL_2),
        _units(evidence),
        _controlled(evidence),
        _trends(evidence, settings, LEVEL_3),
        _chance(settings),
    )


EDITIONS: Mapping[str, Callable[[Evidence, MarylandSettings], Steps]] = {
    "whatworksgrowth-2016": _growth,
    "farrington-2002": _farrington,
}
"""What is asked, by the name of the edition."""
LIKENESS = ("imbalance_units", "imbalance_cases")
"""Figures that show how like the compared are."""


def _comparators(evidence: Evidence, without: int) -> Step:
    n = (evidence.main.n_units or 0) - (evidence.main.n_treated_units or 0)
    if n < 1:
        return Step(without, "design", "There are no comparators, only before and after.", float(n))
    return Step(LEVEL_5, "design", "The change is compared with that of comparators.", float(n))


def _units(evidence: Evidence) -> Step:
    treated = evidence.main.n_treated_units or 0
    others = (evidence.main.n_units or 0) - treated
    text = f"{counted(treated, 'pilot')} and {counted(others, 'comparator')} were analysed"
    if min(treated, others) < SEVERAL:
        return Step(LEVEL_3, "design", f"{text}: level 4 needs several of both.", float(treated))
    return Step(LEVEL_5, "design", f"{text}.", float(treated))


def _controls(evidence: Evidence) -> list[str]:
    """Name the ways in which other influences are controlled."""
    adjusted = any(r.family == "no-covariates" and r.estimate is not None for r in evidence.runs)
    matched = any(name in evidence.quality for name in LIKENESS)
    return [name for name, by in (("matching", matched), ("covariates", adjusted)) if by]


def _controlled(evidence: Evidence) -> Step:
    ways = _controls(evidence)
    if ways:
        text = f"Other influences are controlled by {' and '.join(ways)}."
        return Step(LEVEL_5, "design", text)
    text = "No other influence is controlled, by matching or by covariates."
    return Step(LEVEL_3, "design", text)


def _trends(evidence: Evidence, settings: MarylandSettings, untested: int) -> Step:
    """Ask whether trends were alike before; ``untested`` is the level where that is not known."""
    leads = leads_of(evidence)
    if not leads.known:
        text = "Whether trends were alike before could not be tested, so comparability is unknown."
        return Step(untested, "comparability", text)
    overall = [t.p_value for t in leads.overall if t.p_value is not None]
    held = pilots_held(leads.each, settings.leads_level)
    if overall and min(overall) < settings.leads_level:
        text = f"Trends before were not alike ({p_text(min(overall))})."
        return Step(LEVEL_2, "comparability", text, min(overall), settings.leads_level)
    if leads.each and 2 * held < len(leads.each):
        text = f"Trends before were alike in {held} of {len(leads.each)} pilots only."
        return Step(LEVEL_2, "comparability", text, float(held))
    return Step(LEVEL_5, "comparability", "Trends before the programme were alike.")


CHANCE = Step(LEVEL_5, "design", "Chance decided which authorities became pilots.")


def _as_good_as_chance(settings: MarylandSettings) -> Step:
    if settings.randomised:
        return CHANCE
    if settings.as_good_as_chance:
        text = "What decided which authorities became pilots was judged as good as chance."
        return Step(LEVEL_4, "design", text)
    text = (
        "Neither chance nor anything as good decided which authorities became pilots (settings "
        "randomised, as_good_as_chance): differences of differences reach level 3."
    )
    return Step(LEVEL_3, "design", text)


def _chance(settings: MarylandSettings) -> Step:
    if settings.randomised:
        return CHANCE
    text = "Chance did not decide which authorities became pilots (setting randomised)."
    return Step(LEVEL_4, "design", text)


@hookimpl
def register_rating_rules(register):  # type: ignore[no-untyped-def]
    """Register the rule."""
    register(Maryland())
