"""What the schemes of others share: a verdict from a level and from the answers behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from sos_plugins import Evidence, Rating, RatingRule, Reason, Settings
from sos_ratings.claims import claim_of
from sos_ratings.wording import amount

SAID = {
    "increase": "increased",
    "decrease": "decreased",
    "no effect that matters": "no effect that matters on",
    "cannot tell": "cannot tell the effect on",
}


class SchemeSettings(Settings):
    """What every scheme takes."""

    significance: float = Field(
        0.05, gt=0, lt=1, description="p value below which an effect counts"
    )


@dataclass(frozen=True)
class Step:
    """One question of a scheme: how high a level it allows, and why.

    Attributes:
        place: Place among the levels, 0 for the weakest.
        metric: What was asked.
        sentence: The answer.
        figure: The figure that it rests on, if any.
        threshold: What the figure is compared with, if anything.
    """

    place: int
    metric: str
    sentence: str
    figure: float | None = None
    threshold: float | None = None


def rating_of(
    rule: RatingRule,
    evidence: Evidence,
    settings: SchemeSettings,
    place: int,
    steps: Sequence[Step],
    *,
    words: str,
    carries: int = 1,
) -> Rating:
    """Return the verdict of a scheme; what a level carries that is too low is no finding.

    Args:
        rule: The rule, which has the levels.
        evidence: All that may be looked at.
        settings: What is in force.
        place: Place of the level, 0 for the weakest.
        steps: The answers; those that allow no more than this level hold it down.
        words: What a level is called: "{} of 5 padlocks".
        carries: Place of the lowest level that carries a finding.
    """
    claim = claim_of(evidence, settings.significance)
    direction = claim.direction if claim is not None and place >= carries else "cannot tell"
    level, why = rule.levels[place], _why(place, steps, len(rule.levels) - 1)
    found = f"{SAID[direction]} {evidence.info.phrase}"
    if claim is not None and direction in ("increase", "decrease"):
        found += f" by {amount(abs(claim.estimate), evidence.info)}"
    name = words.format(level)
    return Rating(
        rule=rule.name,
        level=level,
        direction=direction,
        sentence=f"{name[0].upper()}{name[1:]}: {found}; {why}",
        reasons=tuple(_reason(step, place, len(rule.levels) - 1) for step in steps),
        thresholds=settings.model_dump(),
        reason=why,
    )


def _why(place: int, steps: Sequence[Step], top: int) -> str:
    held = [step for step in steps if step.place <= place < top]
    if not held:
        return "nothing that was asked speaks against it"
    sentence = held[0].sentence.rstrip(".")
    return sentence[0].lower() + sentence[1:]


def _reason(step: Step, place: int, top: int) -> Reason:
    met = step.place > place or step.place == top
    return Reason(step.metric, step.sentence, step.figure, step.threshold, met)


def without_estimate(
    rule: RatingRule, evidence: Evidence, settings: SchemeSettings, *, words: str
) -> Rating:
    """Return the verdict on an outcome that has no estimate: the weakest level, and why.

    Args:
        rule: The rule, which has the levels.
        evidence: All that may be looked at.
        settings: What is in force.
        words: What a level is called.
    """
    why = evidence.main.reason.rstrip(".") or "the main run has no estimate with an error"
    step = Step(0, "precision", f"There is no main estimate: {why}.")
    return rating_of(rule, evidence, settings, 0, (step,), words=words)
