"""Rating rule new-rating-rule: three levels from three questions.

A working example to change: each question is answered with a figure and a threshold, which is a
setting; the level is how many are answered with yes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import Field

from sos_plugins import Evidence, Rating, RatingRule, Reason, Run, Settings, hookimpl

STILL_THE_EXAMPLE = "a level from three questions"  # take this line out when it is yours


class NewRatingRuleSettings(Settings):
    """Thresholds; shares run from 0 to 1."""

    significance: float = Field(0.05, gt=0, lt=1, description="p value below which effects count")
    usable: float = Field(0.9, ge=0, le=1, description="least share of records that can be judged")
    same_sign: float = Field(0.9, ge=0, le=1, description="least share of runs of the main sign")


@dataclass(frozen=True)
class Answer:
    """A question's figure, its threshold, and whether it is met."""

    metric: str
    words: str
    figure: float | None
    threshold: float
    met: bool

    @property
    def reason(self) -> Reason:
        """The answer as a reason."""
        shown = "not known" if self.figure is None else f"{self.figure:.3g}"
        sentence = f"{self.words}: {shown} (threshold {self.threshold:g})."
        return Reason(self.metric, sentence, self.figure, self.threshold, self.met)


def answers(main: Run, evidence: Evidence, settings: NewRatingRuleSettings) -> tuple[Answer, ...]:
    """Ask the three questions of an outcome that has an estimate."""
    p_value = main.p_value
    usable = evidence.quality.get("usable_share")
    done = [run.estimate for run in evidence.runs if run.estimate is not None]
    alike = [e for e in done if main.estimate is not None and (e > 0) == (main.estimate > 0)]
    share = len(alike) / len(done) if done else None
    return (
        Answer(
            "precision",
            "p value of the main estimate",
            p_value,
            settings.significance,
            p_value is not None and p_value < settings.significance,
        ),
        Answer(
            "data quality",
            "Share of records that can be judged",
            usable,
            settings.usable,
            usable is not None and usable >= settings.usable,
        ),
        Answer(
            "robustness",
            "Share of runs with the sign of the main estimate",
            share,
            settings.same_sign,
            share is not None and share >= settings.same_sign,
        ),
    )


class NewRatingRule(RatingRule):
    """Weak, fair or strong: significant, on good data, and robust."""

    name = "new-rating-rule"
    label = "New rating rule"
    levels = ("weak", "fair", "strong")
    Settings = NewRatingRuleSettings
    citation = ""

    def rate(self, evidence: Evidence, settings: NewRatingRuleSettings) -> Rating:
        """Rate one outcome; without an estimate the evidence is weak."""
        found = answers(evidence.main, evidence, settings)
        estimate = evidence.main.estimate
        level = self.levels[max(sum(a.met for a in found) - 1, 0)]
        if estimate is None or not found[0].met:
            level, direction = self.levels[0], "cannot tell"
        else:
            direction = "increase" if estimate > 0 else "decrease"
        return Rating(
            rule=self.name,
            level=level,
            direction=direction,
            sentence=f"{level.capitalize()} evidence on {evidence.info.phrase}: {direction}",
            reasons=tuple(a.reason for a in found),
            thresholds=settings.model_dump(),
        )


@hookimpl
def register_rating_rules(register: Callable[[RatingRule], None]) -> None:
    """Register the rating rule."""
    register(NewRatingRule())
