"""The profile of a study or of a single source: what ``sos-plugins profile`` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, ClassVar

import pandas as pd

from sos_plugins.backends import failures_in_words
from sos_plugins.contract.session import Session
from sos_plugins.contract.types import QUALITY_COLUMNS, Records
from sos_plugins.groundwork.plain import plain
from sos_plugins.host.registry import Registry
from sos_plugins.profile.build import profile_records
from sos_plugins.profile.coverage import pilot_coverage
from sos_plugins.profile.record_profile import RecordProfile
from sos_plugins.profile.rules_of import rules_for
from sos_plugins.profile.settings import ProfileSettings
from sos_plugins.study.pilots_and_pool import Design
from sos_plugins.study.study import OutcomeStep, Read, Study, read_heard, units_of
from sos_plugins.system.memory import MemoryUse
from sos_plugins.system.progress import Progress
from sos_plugins.system.scratch import private_files
from sos_plugins.system.secrets import cleaned
from sos_plugins.tables.names_alike import warn_of_names_alike
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
        profile = self.profile
        of_profile = (
            profile.faults,
            profile.completeness,
            profile.cells,
            profile.rows,
            profile.rules,
        )
        of_study = (self.coverage, self.steps, self.checks, self.accounts)
        return dict(zip(self.TABLES, (profile.summary(), *of_profile, *of_study), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; passwords and the homes of people are masked."""
        contents = {
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
        return {key: cleaned(value, key) for key, value in contents.items()}

    def shareable(self) -> StudyProfile:
        """Return the profile as it may be handed on: passwords and homes of people masked."""
        shown: StudyProfile = _shareable(self)
        return shown


def _shareable(value: Any) -> Any:
    if isinstance(value, pd.DataFrame):
        return value.apply(_shareable_column) if len(value) else value
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _shareable(getattr(value, f.name)) for f in fields(value)})
    return cleaned(value)


def _shareable_column(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column
    texts = [value for value in column.unique() if isinstance(value, str)]
    changed = {text: shown for text in texts if (shown := cleaned(text)) != text}
    if not changed:
        return column
    return column.map(lambda value: changed.get(value, value) if isinstance(value, str) else value)


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
    with private_files():
        return _profile_study(study, progress, settings, outcomes=outcomes)


def _profile_study(
    study: Study,
    progress: Progress | None,
    settings: ProfileSettings | None,
    *,
    outcomes: bool,
) -> StudyProfile:
    plan, use = study.plan, MemoryUse(study.plan.file.study.memory)
    session = study.session(progress)
    read = study.read_whole(session)
    records = read.records
    use.note("reading")
    design, notes = read.design(plan)
    steps: list[pd.DataFrame] = []
    with session.progress.step("Deriving outcomes", len(plan.file.outcomes)) as advance:
        for choice in plan.file.outcomes if outcomes else ():
            derived = OutcomeStep(plan, session, Read(records), choice).cases()
            if isinstance(derived, str):
                notes = (*notes, derived)
            else:
                steps.append(derived.attrition.assign(of=derived.info.name))
            advance()
    use.note("deriving")
    title = plan.file.study.title
    return _profile(records, plan.registry, session, settings, title, use, design, notes, steps)


def profile_source(
    registry: Registry,
    name: str,
    values: Mapping[str, Any],
    session: Session,
    *,
    settings: ProfileSettings | None = None,
    memory: str | None = None,
) -> StudyProfile:
    """Profile what one source reads.

    Args:
        registry: The plugins.
        name: Name of the source.
        values: Its settings.
        session: Backend and base folder.
        settings: Cut-offs; the defaults unless given.
        memory: Most memory that this may take; a note says so where it took more.

    Raises:
        SosError: If there is no such source, a setting is wrong, or nothing can be read.
    """
    chosen = registry.settings("source", name, values, f"--set ({name})")
    use = MemoryUse(memory)
    with private_files():
        with failures_in_words():
            records = read_heard(registry.source(name), chosen, session)
        use.note("reading")
        alike = warn_of_names_alike(units_of(records))
        return _profile(records, registry, session, settings, f"Source {name}", use, notes=alike)


def _profile(
    records: Records,
    registry: Registry,
    session: Session,
    settings: ProfileSettings | None,
    title: str,
    use: MemoryUse,
    design: Design | None = None,
    notes: tuple[str, ...] = (),
    steps: list[pd.DataFrame] | None = None,
) -> StudyProfile:
    with failures_in_words():
        profile = profile_records(records, rules_for(registry, records), session, settings)
    use.note("profiling")
    excess = (use.excess(),) if use.excess() else ()
    pilots = () if design is None else design.pilots
    whole = StudyProfile(
        title=title,
        simulated=records.simulated,
        profile=profile,
        checks=_summed(records.quality.checks),
        accounts=accounts(records.quality.checks),
        steps=pd.concat(steps, ignore_index=True)[list(STEP_COLUMNS)]
        if steps
        else pd.DataFrame(columns=list(STEP_COLUMNS)),
        coverage=pilot_coverage(profile, pilots, records.unit_names),
        notes=(*notes, *records.notes, *files_left_out(records.quality.checks), *excess),
        unit_names=dict(records.unit_names),
    )
    return whole.shareable()


def _summed(checks: pd.DataFrame) -> pd.DataFrame:
    """Add up the checks of sources over authorities and years; those that found something."""
    keys = ["source", "table", "column", "check", "action"]
    if checks.empty:
        return pd.DataFrame(columns=[c for c in QUALITY_COLUMNS if c not in ("unit", "period")])
    flagged = checks[checks["n_flagged"] > 0].fillna(dict.fromkeys(keys, ""))
    sums = flagged.groupby(keys, sort=False)[["n", "n_flagged"]].sum().reset_index()
    dropped = sums["action"] != "dropped"
    return (
        sums.assign(_kept=dropped)
        .sort_values(["_kept", "n_flagged"], ascending=[True, False], ignore_index=True)
        .drop(columns="_kept")
    )
