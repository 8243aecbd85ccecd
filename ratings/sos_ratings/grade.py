"""GRADE: the certainty of evidence, from very low to high."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field

from sos_plugins import Evidence, Rating, RatingRule, Run, Settings, hookimpl
from sos_ratings.claims import Claim, claim_of
from sos_ratings.facts import families, leads_of, pilots_held, unusable_share
from sos_ratings.scheme import SchemeSettings, Step, rating_of, without_estimate
from sos_ratings.wording import counted, percent

VERY_LOW, LOW, MODERATE, HIGH = range(4)
OBSERVATIONAL, RANDOMISED = LOW, HIGH
"""Where a body of evidence starts."""
Concern = Literal["none", "serious", "very serious", "not judged"]
COST = {"none": 0, "serious": 1, "very serious": 2, "not judged": 0}
"""Levels lost for a concern."""
RAISES = {"no": 0, "large": 1, "very large": 2}
"""Levels by which the size of an effect raises what starts low."""
WORDS = "{} certainty"


class GradeSettings(SchemeSettings):
    """What the study's people judge, and the thresholds of what an analysis can."""

    randomised: bool = Field(
        False, description="whether chance decided which authorities became pilots"
    )
    indirectness: Concern = Field(
        "not judged", description="other people, programme or outcome than the question is about"
    )
    publication_bias: Concern = Field(
        "not judged", description="results that were found and are not reported"
    )
    large_effect: Literal["no", "large", "very large"] = Field(
        "no",
        description="whether the effect is so large that confounding is unlikely to explain it: "
        "large where the risk is at least doubled or halved, which raises a level; very large "
        "where it is five times or a fifth, which raises two",
    )
    dose_response: bool = Field(
        False, description="whether effects grow with how much of the programme was delivered"
    )
    confounding_against: bool = Field(
        False, description="whether all plausible confounding would have made the effect smaller"
    )
    leads_level: float = Field(
        0.05, gt=0, lt=1, description="p value below which leads speak against parallel trends"
    )
    missing_serious: float = Field(
        0.2, ge=0, le=1, description="share of unusable records above which bias is a concern"
    )
    agree: float = Field(
        0.75, ge=0, le=1, description="least share of kinds of run with the main direction"
    )


class Grade(RatingRule):
    """Very low, low, moderate or high certainty.

    Evidence without randomisation starts low. Risk of bias (trends that are not parallel, unusable
    records), inconsistency and imprecision are judged from the figures; indirectness and
    publication bias by the study's people, who may also raise what starts low and has no concern.
    What they have not judged is said, and keeps the certainty below high.
    """

    name: ClassVar[str] = "grade"
    label: ClassVar[str] = "Certainty of evidence (GRADE)"
    Settings: ClassVar[type[Settings]] = GradeSettings
    citation: ClassVar[str] = (
        "Guyatt, G. H., Oxman, A. D., Vist, G. E., Kunz, R., Falck-Ytter, Y., Alonso-Coello, P. "
        "and Schünemann, H. J. (2008), GRADE: an emerging consensus on rating quality of evidence "
        "and strength of recommendations, BMJ 336, 924-926; raising: Guyatt, G. H. et al. (2011), "
        "GRADE guidelines 9, Journal of Clinical Epidemiology 64(12), 1311-1316; imprecision: "
        "Zeng, L. et al. (2022), GRADE guidance 34, Journal of Clinical Epidemiology 150, 216-224"
    )
    levels: ClassVar[tuple[str, ...]] = ("very low", "low", "moderate", "high")

    def rate(self, evidence: Evidence, settings: GradeSettings) -> Rating:
        """Rate one outcome; without an estimate the certainty is very low."""
        claim = claim_of(evidence, settings.significance)
        if claim is None:
            return without_estimate(self, evidence, settings, words=WORDS)
        concerns = [
            _bias(evidence, settings),
            _inconsistency(evidence, claim, settings),
            _imprecision(evidence, claim),
            *(
                _judged(name, getattr(settings, name))
                for name in ("indirectness", "publication_bias")
            ),
        ]
        lost = sum(cost for cost, _ in concerns)
        start = RANDOMISED if settings.randomised else OBSERVATIONAL
        raised = 0 if lost else _raised(settings)
        place = max(min(start + raised, HIGH) - lost, VERY_LOW)
        if any("not judged" in text for _, (_, text) in concerns):
            place = min(place, MODERATE)
        steps = _steps(concerns, settings, start, raised, place)
        return rating_of(self, evidence, settings, place, steps, words=WORDS)


Told = tuple[int, tuple[str, str]]
"""Levels lost; what was asked and the answer."""


def _steps(
    concerns: list[Told], settings: GradeSettings, start: int, raised: int, place: int
) -> tuple[Step, ...]:
    """Return the answers: a concern holds the level down, its absence does not."""
    by_chance = "by chance" if settings.randomised else "not by chance"
    began = f"Pilots were chosen {by_chance}: certainty starts {Grade.levels[start]}"
    if raised:
        began += f" and is raised by {counted(raised, 'level')}"
    first = Step(place if start + raised <= place else HIGH, "design", f"{began}.")
    told = (
        Step(place if cost or "not judged" in text else HIGH, metric, text)
        for cost, (metric, text) in concerns
    )
    rest = sorted(told, key=lambda step: step.place)
    return (*rest, first) if any(cost for cost, _ in concerns) else (first, *rest)


def _bias(evidence: Evidence, settings: GradeSettings) -> Told:
    leads = leads_of(evidence)
    rejected = any((t.p_value or 0.0) < settings.leads_level for t in leads.overall)
    held = pilots_held(leads.each, settings.leads_level)
    broken = rejected or (bool(leads.each) and 2 * held < len(leads.each))
    lost = unusable_share(evidence)
    parts = []
    if broken:
        parts.append("trends before the programme were not parallel")
    if not leads.known:
        parts.append("parallel trends could not be tested")
    if lost > settings.missing_serious:
        parts.append(f"{percent(lost)} of the pilots' records could not be judged")
    if not parts:
        return 0, ("risk of bias", "No figure points to a risk of bias.")
    text = " and ".join(parts)
    return min(len(parts), 2), ("risk of bias", f"{text[0].upper()}{text[1:]}.")


def _inconsistency(evidence: Evidence, claim: Claim, settings: GradeSettings) -> Told:
    voting = families(evidence)
    if not voting:
        return 1, ("inconsistency", "No other analysis shows whether the result is consistent.")
    agree = [name for name, runs in voting.items() if all(_same(run, claim) for run in runs)]
    share = len(agree) / len(voting)
    text = f"{len(agree)} of {len(voting)} kinds of run find the same as the main run."
    return int(share < settings.agree), ("inconsistency", text)


def _same(run: Run, claim: Claim) -> bool:
    """Whether a run finds what is claimed: the same direction, or nothing that matters."""
    if run.estimate is None:
        return False
    if claim.direction == "no effect that matters":
        assert claim.smallest is not None
        return abs(run.estimate) < claim.smallest
    return run.estimate * claim.estimate > 0


def _imprecision(evidence: Evidence, claim: Claim) -> Told:
    metric = "imprecision"
    if claim.direction != "cannot tell":
        return 0, (metric, "The interval settles the question.")
    smallest = math.inf if claim.smallest is None else claim.smallest
    low, high = evidence.main.conf_low or 0.0, evidence.main.conf_high or 0.0
    if low < -smallest and high > smallest:
        return 2, (metric, "The interval holds effects that matter in either direction.")
    return 1, (metric, "The interval holds both no effect and effects that matter.")


def _judged(name: str, concern: str) -> Told:
    metric = name.replace("_", " ")
    text = f"Of {metric} the concern is: {concern}"
    return COST[concern], (metric, f"{text} (setting {name}).")


def _raised(settings: GradeSettings) -> int:
    """Return by how many levels evidence that starts low is raised."""
    if settings.randomised:
        return 0
    others = settings.dose_response + settings.confounding_against
    return RAISES[settings.large_effect] + others


@hookimpl
def register_rating_rules(register):  # type: ignore[no-untyped-def]
    """Register the rule."""
    register(Grade())
