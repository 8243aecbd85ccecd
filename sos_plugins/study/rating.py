"""The rating of a study: the evidence of every outcome, p values adjusted, by the study's rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sos_plugins.contract.types import Evidence, Rating
from sos_plugins.errors import SosError
from sos_plugins.study.file import Choice
from sos_plugins.study.multiplicity import adjusted
from sos_plugins.study.plan import Plan
from sos_plugins.study.result import OutcomeResult


def rated(plan: Plan, outcomes: Sequence[OutcomeResult]) -> tuple[OutcomeResult, ...]:
    """Adjust the p values of the confirmatory outcomes and rate every outcome that has a main run.

    Args:
        plan: The study, checked against the plugins.
        outcomes: What was found for its outcomes, all of them: p values are adjusted together.
    """
    table = plan.file.multiplicity
    names = [result.info.name for result in outcomes]
    confirmatory = names if table.confirmatory == "all" else table.confirmatory
    together = adjusted(outcomes, confirmatory, table.method)
    return tuple(result if result.main is None else _rated(plan, result) for result in together)


def evidence_of(result: OutcomeResult) -> Evidence:
    """Return what a rating rule may look at of an outcome that has a main run.

    Args:
        result: The outcome.
    """
    assert result.main is not None
    return Evidence(
        info=result.info,
        main=result.main,
        runs=result.runs[1:],
        leads=result.leads,
        quality=result.quality,
        agreements=result.agreements,
        warnings=result.warnings,
        smallest_effect=result.smallest_effect,
        adjusted=result.adjusted,
    )


def _rated(plan: Plan, result: OutcomeResult) -> OutcomeResult:
    evidence, file = evidence_of(result), plan.file
    try:
        rating, *further = (
            _rate(plan, choice, where, evidence)
            for where, choice in (
                ("[rating]", file.rating),
                *(("[[further_ratings]]", choice) for choice in file.further_ratings),
            )
        )
    except SosError as error:
        return replace(result, error=str(error))
    return replace(result, rating=rating, further_ratings=tuple(further))


def _rate(plan: Plan, choice: Choice, where: str, evidence: Evidence) -> Rating:
    settings = plan.settings("rating-rule", choice, where)
    return plan.registry.rating_rule(choice.plugin).rate(evidence, settings)
