"""The profile of a study or of a single source: what ``sos-plugins profile`` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd

from sos_plugins.contract.session import Progress, Session, within_memory
from sos_plugins.contract.types import QUALITY_COLUMNS, Design, Records, plain
from sos_plugins.host.registry import Registry
from sos_plugins.profile.build import profile_records
from sos_plugins.profile.coverage import pilot_coverage
from sos_plugins.profile.record_profile import RecordProfile
from sos_plugins.profile.rules_of import rules_for
from sos_plugins.profile.settings import ProfileSettings
from sos_plugins.study import design as designs
from sos_plugins.study.adoption import adoption_of
from sos_plugins.study.study import OutcomeStation, Read, Study, units_of
from sos_plugins.tables.row_accounts import COLUMNS as ACCOUNT_COLUMNS
from sos_plugins.tables.row_accounts import accounts, files_left_out

COUNTED_AGAIN = ("missing", "out-of-order", "unknown-code")
"""Checks of sources that leave the row as it was: the profile counts such rows itself."""
RECURRENCE = "recurrence"
"""No fault: the row stands in the return of a later year too."""
STEP_COLUMNS = ("of", "step", "reason", "n_before", "n_dropped", "n_after")


@dataclass(frozen=True)
class StudyProfile:
    """A profile with what stands around it.

    Attributes:
        title: What was profiled.
        simulated: Whether the records are made up.
        profile: The profile.
        checks: What the sources found while reading, over all authorities and years: frame
            ``source, table, column, check, action, n, n_flagged``.
        steps: Rows dropped on the way from records to the cases of each outcome: frame
            ``of, step, reason, n_before, n_dropped, n_after``.
        coverage: One row a pilot, see :func:`sos_plugins.profile.coverage.pilot_coverage`.
        accounts: Rows and files that the sources read, gave, merged and dropped: frame
            :data:`sos_plugins.tables.row_accounts.COLUMNS`.
        notes: Sentences: outcomes that cannot be derived, pilots without records.
        unit_names: Authority code to name.
    """

    TABLES: ClassVar[tuple[str, ...]] = (
        *("summary", "faults", "completeness", "cells", "rows", "rules", "coverage", "steps"),
        *("source-checks", "accounts"),
    )
    """Names of the files of :meth:`frames`."""

    title: str
    simulated: bool
    profile: RecordProfile
    checks: pd.DataFrame
    steps: pd.DataFrame
    coverage: pd.DataFrame
    accounts: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=list(ACCOUNT_COLUMNS))
    )
    notes: tuple[str, ...] = ()
    unit_names: Mapping[str, str] = field(default_factory=dict)

    def handled(self) -> pd.DataFrame:
        """Return the checks of sources that the profile of the records cannot repeat."""
        checks = self.checks
        repeated = (checks["action"] == "kept") & checks["check"].isin(COUNTED_AGAIN)
        return checks[~repeated & (checks["check"] != RECURRENCE)]

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return every table by the name of its file."""
        found = self.profile
        of_profile = (found.faults, found.completeness, found.cells, found.rows, found.rules)
        of_study = (self.coverage, self.steps, self.checks, self.accounts)
        return dict(zip(self.TABLES, (found.summary(), *of_profile, *of_study), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "title": self.title,
            "simulated": self.simulated,
            **self.profile.to_dict(),
            "coverage": plain(self.coverage),
            "steps": plain(self.steps),
            "source_checks": plain(self.checks),
            "accounts": plain(self.accounts),
            "notes": list(self.notes),
            "unit_names": dict(self.unit_names),
        }


def profile_study(
    study: Study,
    progress: Progress | None = None,
    *,
    settings: ProfileSettings | None = None,
    outcomes: bool = True,
) -> StudyProfile:
    """Profile the records of a study, and count what its outcomes drop; nothing is analysed.

    Args:
        study: The study.
        progress: Where progress is shown.
        settings: Cut-offs; those of the study unless given.
        outcomes: Derive the cases of the outcomes too, to count what each step drops.

    Raises:
        SosError: If no records can be read, or the design fits none of them.
    """
    session, plan = study.session(progress), study.plan
    records = study.read(session)
    design, notes = designs.make_design(
        plan.file.design,
        plan.base,
        units_of(records),
        records.unit_names,
        adoption_of(records),
    )
    steps: list[pd.DataFrame] = []
    with session.progress.step("Deriving outcomes", len(plan.file.outcomes)) as advance:
        for choice in plan.file.outcomes if outcomes else ():
            derived = OutcomeStation(plan, session, Read(records), choice).cases()
            if isinstance(derived, str):
                notes = (*notes, derived)
            else:
                steps.append(derived.attrition.assign(of=derived.info.name))
            advance()
    return _profile(
        records, plan.registry, session, settings, plan.file.study.title, design, notes, steps
    )


def profile_source(
    registry: Registry,
    name: str,
    values: Mapping[str, Any],
    session: Session,
    *,
    settings: ProfileSettings | None = None,
) -> StudyProfile:
    """Profile what one source reads.

    Args:
        registry: The plugins.
        name: Name of the source.
        values: Its settings.
        session: Backend and base folder.
        settings: Cut-offs; the defaults unless given.

    Raises:
        SosError: If there is no such source, a setting is wrong, or nothing can be read.
    """
    chosen = registry.settings("source", name, values, f"--set ({name})")
    with within_memory():
        records = registry.source(name).read(chosen, session)
    return _profile(records, registry, session, settings, f"Source {name}")


def _profile(
    records: Records,
    registry: Registry,
    session: Session,
    settings: ProfileSettings | None,
    title: str,
    design: Design | None = None,
    notes: tuple[str, ...] = (),
    steps: list[pd.DataFrame] | None = None,
) -> StudyProfile:
    with within_memory():
        found = profile_records(records, rules_for(registry, records), session, settings)
    pilots = () if design is None else design.pilots
    return StudyProfile(
        title=title,
        simulated=records.simulated,
        profile=found,
        checks=_summed(records.quality.checks),
        accounts=accounts(records.quality.checks),
        steps=pd.concat(steps, ignore_index=True)[list(STEP_COLUMNS)]
        if steps
        else pd.DataFrame(columns=list(STEP_COLUMNS)),
        coverage=pilot_coverage(found, pilots, records.unit_names),
        notes=(*notes, *files_left_out(records.quality.checks)),
        unit_names=dict(records.unit_names),
    )


def _summed(checks: pd.DataFrame) -> pd.DataFrame:
    """Add up the checks of sources over authorities and years; those that found something."""
    keys = ["source", "table", "column", "check", "action"]
    if checks.empty:
        return pd.DataFrame(columns=[c for c in QUALITY_COLUMNS if c not in ("unit", "period")])
    found = checks[checks["n_flagged"] > 0].fillna(dict.fromkeys(keys, ""))
    sums = found.groupby(keys, sort=False)[["n", "n_flagged"]].sum().reset_index()
    dropped = sums["action"] != "dropped"
    return (
        sums.assign(_kept=dropped)
        .sort_values(["_kept", "n_flagged"], ascending=[True, False], ignore_index=True)
        .drop(columns="_kept")
    )
