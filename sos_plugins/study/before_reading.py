"""What a study can be refused for before any record is read: reading may take long."""

from __future__ import annotations

from sos_plugins.contract.session import Session
from sos_plugins.contract.types import Pilot
from sos_plugins.study.authorities import AuthorityFile, read_authorities
from sos_plugins.study.design import make_design
from sos_plugins.study.pilots import read_pilots, refuse_contradictions
from sos_plugins.study.plan import Plan


def checked_pilots(plan: Plan, session: Session) -> tuple[Pilot, ...]:
    """Return the pilots, if pool, groups and file of authorities can be right with them.

    Where every source can tell quickly which authorities it has, those that the study names are
    looked for among them.

    Args:
        plan: The study.
        session: Resolves the paths of sources.

    Raises:
        DesignError: If the design contradicts itself, or fits none of the authorities.
        DataError: If the file of authorities cannot be read.
        SosError: If matched groups cannot be right.
    """
    table = plan.file.design
    pilots = read_pilots(table, plan.base)
    refuse_contradictions(table, pilots)
    if (file := AuthorityFile.of(table, plan.base)) is not None:
        read_authorities(file, [name for name in [table.contaminated_column] if name])
    for where, choice, _ in plan.matchers():
        matcher = plan.registry.matcher(choice.plugin)
        settings = plan.settings("matcher", choice, where)
        matcher.refuse_contradictions(settings, [pilot.unit for pilot in pilots])
    units = _units(plan, session)
    if units is not None:
        make_design(table, plan.base, sorted(units), {}, pilots=pilots)
    return pilots


def _units(plan: Plan, session: Session) -> set[str] | None:
    """Return the authorities of all sources; None if one of them cannot tell."""
    found: set[str] = set()
    for n, choice in enumerate(plan.file.sources, 1):
        source = plan.registry.source(choice.plugin)
        units = source.units(plan.settings("source", choice, f"[[sources]] {n}"), session)
        if units is None:
            return None
        found |= {*units}
    return found
