"""Cases that are in memory already, as what the analysis of outcomes takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sos_plugins.cells.collected import CollectedCases
from sos_plugins.errors import StudyError, did_you_mean, listing
from sos_plugins.groundwork.plain import plain
from sos_plugins.study.design import make_design
from sos_plugins.study.file import OutcomeChoice
from sos_plugins.study.pilots_and_pool import Design
from sos_plugins.study.plan import Plan
from sos_plugins.study.preparation import OutcomeInput


def inputs_from_cases(
    plan: Plan,
    cases: Mapping[str, CollectedCases],
    design: Design | None,
    neighbours: Mapping[str, tuple[str, ...]],
    unit_names: Mapping[str, str],
) -> list[OutcomeInput]:
    """Make the inputs of the analysis from cases by the names of their outcomes.

    Args:
        plan: The study.
        cases: Cases by outcome.
        design: Pilots and pool; None for those of the study file.
        neighbours: Statistical neighbours by authority, nearest first.
        unit_names: Authority code to name.

    Returns:
        One input an outcome that has cases, in the order of the study.

    Raises:
        StudyError: If the study has no outcome of such a name.
        DesignError: If the design does not fit the authorities of the cases.
    """
    choices = outcome_choices(plan)
    refuse_unknown(cases, choices)
    if design is None:
        units = sorted({unit for some in cases.values() for unit in some.frame["unit"].unique()})
        design, _ = make_design(plan.file.design, plan.base, units, unit_names)
    return [
        OutcomeInput(
            choice=choice,
            info=cases[name].info,
            settings=plain(dict(cases[name].settings)),
            cases=cases[name],
            definitions={},
            design=design,
            neighbours=neighbours,
            unit_names=unit_names,
        )
        for name, choice in choices.items()
        if name in cases
    ]


def refuse_unknown(names: Iterable[str], choices: Mapping[str, OutcomeChoice]) -> None:
    """Refuse names of which a study has no outcome.

    Raises:
        StudyError: With the outcomes that it has.
    """
    for name in names:
        if name not in choices:
            raise StudyError(
                f"The study has no outcome '{name}'.{did_you_mean(name, choices)} "
                f"Outcomes: {listing(choices)}."
            )


def outcome_choices(plan: Plan) -> dict[str, OutcomeChoice]:
    """Return the outcomes of a study by the names that they have in its results."""
    choices = {}
    for n, choice in enumerate(plan.file.outcomes, 1):
        settings = plan.settings("outcome", choice, f"[[outcomes]] {n}")
        choices[plan.outcome_info(choice, settings).name] = choice
    return choices
