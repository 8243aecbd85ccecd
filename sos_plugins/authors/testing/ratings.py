"""What must hold for a rating rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sos_plugins.authors.testing.core import (
    Check,
    CheckFailedError,
    Given,
    checks_of,
    demand,
    run_all,
    settings_of,
)
from sos_plugins.authors.testing.examples import example_evidence, example_run
from sos_plugins.contract.interfaces import RatingRule
from sos_plugins.contract.types import DIRECTIONS, Evidence, Rating


def check_rating_rule(rule: RatingRule, settings: Given = None) -> None:
    """Check that a rating rule keeps its contract, on strong, weak and missing evidence.

    Args:
        rule: The plugin object.
        settings: Settings by name, or an object; the defaults unless given.

    Raises:
        CheckFailedError: Naming every check that fails, what must hold and what was found.
    """
    run_all(rating_rule_checks(rule, settings))


def rating_rule_checks(rule: RatingRule, settings: Given = None) -> list[Check]:
    """Return the checks of a rating rule one by one, for ``pytest.mark.parametrize``.

    Args:
        rule: The plugin object.
        settings: Settings by name, or an object; the defaults unless given.
    """
    return checks_of(RatingSubject(rule, settings), CHECKS)


@dataclass
class RatingSubject:
    """A rating rule under check.

    Attributes:
        plugin: The rule.
        given: The settings that its author gave.
    """

    plugin: RatingRule
    given: Given = None
    kind: str = "rating-rule"

    @cached_property
    def settings(self) -> Any:
        """The validated settings."""
        return settings_of(self)

    def rate(self, evidence: Evidence, situation: str) -> Rating:
        """Rate, or say on which evidence the rule failed.

        Args:
            evidence: What is rated.
            situation: What it is, in words: "weak evidence".

        Raises:
            CheckFailedError: If the rule raises, or returns no Rating.
        """
        try:
            rating = self.plugin.rate(evidence, self.settings)
        except Exception as error:
            raise CheckFailedError(
                f"On {situation} it raised {type(error).__name__}: {error}. A rule rates whatever "
                "there is; what is missing is a reason for a low rating."
            ) from error
        demand(isinstance(rating, Rating), f"It returned a {type(rating).__name__}.")
        return rating

    def rank(self, evidence: Evidence, situation: str) -> int:
        """Return the place of the level among the levels, 0 for the weakest.

        Args:
            evidence: What is rated.
            situation: What it is, in words: "weak evidence".

        Raises:
            CheckFailedError: If the rule raises, or returns no Rating.
        """
        return self.plugin.levels.index(self.rate(evidence, situation).level)


def situations() -> dict[str, Evidence]:
    """Return evidence of every sort, by what it is."""
    strong = example_evidence("strong")
    failed = replace(strong.runs[0], status="failed", reason="singular", estimate=None)
    unknown = replace(
        example_run("no-covariates", -0.1, 0.02), std_error=None, p_value=None, conf_low=None
    )
    return {
        "strong evidence": strong,
        "strong evidence of an increase": example_evidence("strong", effect=0.1),
        "weak evidence": example_evidence("weak"),
        "a continuous outcome": example_evidence("strong", effect=-3.0, binary=False),
        "a failed main run": example_evidence("none"),
        "a main run alone": Evidence(strong.info, strong.main),
        "runs that all failed": replace(strong, runs=(strong.main, *(failed,) * 3)),
        "a run without a p value": replace(strong, runs=(*strong.runs, unknown)),
        "a main run without a standard error": replace(
            strong, main=replace(strong.main, std_error=None, p_value=None)
        ),
        "quality figures that are not known": replace(
            strong, quality=dict.fromkeys(strong.quality, float("nan"))
        ),
        "lead tests that failed": replace(
            strong,
            leads=tuple(replace(lead, p_value=None, status="failed") for lead in strong.leads),
        ),
        "an estimate of exactly zero": example_evidence("strong", effect=1e-300),
    }


def names_its_levels(subject: RatingSubject) -> None:
    """Levels are at least two different names, from weakest to strongest.

    Args:
        subject: The rating rule under check, with its settings.

    Raises:
        CheckFailedError: If it does not hold.
    """
    levels = subject.plugin.levels
    demand(len(levels) >= 2 and len(set(levels)) == len(levels), f"levels is {levels}.")


def rates_whatever_there_is(subject: RatingSubject) -> None:
    """Every sort of evidence gets a level of the scheme and a direction, none an error.

    Args:
        subject: The rating rule under check, with its settings.

    Raises:
        CheckFailedError: If it does not hold.
        NotApplicableError: If there is nothing to look at.
    """
    known = tuple(DIRECTIONS)
    for situation, evidence in situations().items():
        rating = subject.rate(evidence, situation)
        demand(
            rating.level in subject.plugin.levels,
            f"On {situation} the level is '{rating.level}', not one of {subject.plugin.levels}.",
        )
        demand(
            rating.direction in known,
            f"On {situation} the direction is '{rating.direction}', not one of {known}.",
        )
        demand(rating.rule == subject.plugin.name, f"Rating.rule is '{rating.rule}'.")


def gives_reasons(subject: RatingSubject) -> None:
    """Every rating has a sentence that names the outcome, and at least one reason in a sentence.

    Args:
        subject: The rating rule under check, with its settings.

    Raises:
        CheckFailedError: If it does not hold.
        NotApplicableError: If there is nothing to look at.
    """
    for situation, evidence in situations().items():
        rating = subject.rate(evidence, situation)
        demand(
            evidence.info.phrase in rating.sentence,
            f"On {situation} the sentence does not name the outcome: '{rating.sentence}'.",
        )
        demand(bool(rating.reasons), f"On {situation} there is no reason.")
        for reason in rating.reasons:
            whole = bool(reason.metric.strip()) and bool(reason.sentence.strip())
            demand(whole, f"On {situation} a reason lacks its metric or its sentence.")


def shows_its_thresholds(subject: RatingSubject) -> None:
    """Every rating carries the thresholds it used, by name, as they were set.

    Args:
        subject: The rating rule under check, with its settings.

    Raises:
        CheckFailedError: If it does not hold.
        NotApplicableError: If there is nothing to look at.
    """
    settings = subject.settings.model_dump()
    for situation, evidence in situations().items():
        thresholds = subject.rate(evidence, situation).thresholds
        wrong = {k: v for k, v in settings.items() if thresholds.get(k) != v}
        demand(
            not wrong, f"On {situation} thresholds lacks {sorted(wrong)}: settings.model_dump()."
        )


def never_turns_an_effect_round(subject: RatingSubject) -> None:
    """The direction is that of the main estimate, or none.

    Args:
        subject: The rating rule under check, with its settings.

    Raises:
        CheckFailedError: If it does not hold.
        NotApplicableError: If there is nothing to look at.
    """
    for effect, wrong in ((0.1, "decrease"), (-0.1, "increase")):
        for strength in ("strong", "weak"):
            rating = subject.rate(
                example_evidence(strength, effect=effect),
                f"{strength} evidence",
            )
            demand(rating.direction != wrong, f"An estimate of {effect:g} is called a {wrong}.")


def tells_strong_from_weak(subject: RatingSubject) -> None:
    """Strong evidence is rated higher than weak evidence, and weak no lower than none.

    Args:
        subject: The rating rule under check, with its settings.

    Raises:
        CheckFailedError: If it does not hold.
        NotApplicableError: If there is nothing to look at.
    """
    strong, weak, none = (
        subject.rank(example_evidence(strength), f"{strength} evidence")
        for strength in ("strong", "weak", "none")
    )
    demand(strong > weak, "Strong evidence is rated no higher than weak evidence.")
    demand(weak >= none, "Weak evidence is rated lower than a main run that failed.")


def ignores_the_order_of_evidence(subject: RatingSubject) -> None:
    """The order of the runs, of the pilots' lead tests and of the cross-checks does not matter.

    Args:
        subject: The rating rule under check, with its settings.

    Raises:
        CheckFailedError: If it does not hold.
        NotApplicableError: If there is nothing to look at.
    """
    for strength in ("strong", "weak"):
        evidence = example_evidence(strength)
        turned = replace(
            evidence,
            runs=evidence.runs[::-1],
            leads=(evidence.leads[0], *evidence.leads[:0:-1]),
            agreements=evidence.agreements[::-1],
            quality=dict(list(evidence.quality.items())[::-1]),
        )
        one, other = subject.rate(evidence, strength), subject.rate(turned, strength)
        same = (one.level, one.direction, one.sentence) == (
            other.level,
            other.direction,
            other.sentence,
        )
        demand(same, f"The verdict changes from '{one.sentence}' to '{other.sentence}'.")


def repeats_itself(subject: RatingSubject) -> None:
    """The same evidence gives the same rating.

    Args:
        subject: The rating rule under check, with its settings.

    Raises:
        CheckFailedError: If it does not hold.
        NotApplicableError: If there is nothing to look at.
    """
    evidence = example_evidence("weak")
    demand(
        subject.rate(evidence, "weak evidence") == subject.rate(evidence, "weak evidence"),
        "A second rating of the same evidence differs.",
    )


CHECKS: tuple[Callable[[Any], None], ...] = (
    names_its_levels,
    rates_whatever_there_is,
    gives_reasons,
    shows_its_thresholds,
    never_turns_an_effect_round,
    tells_strong_from_weak,
    ignores_the_order_of_evidence,
    repeats_itself,
)
