"""Secure-research extracts of the National Pupil Database: one CSV a year, names with suffixes."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from sos_plugins import Records, Session, Settings, Source, hookimpl
from sos_plugins.errors import DataError, listing
from sos_plugins.tables.csv_text import read_header
from sos_plugins.tables.readable import refuse_other_header
from sos_sources.npd.kinds import KINDS, Header, Kind, Place
from sos_sources.npd.tables import Extract, Rules, build
from sos_sources.paths import (
    OUT_OF_SCOPE,
    LeftOut,
    as_tuple,
    count_files,
    cover,
    shown,
)

SUFFIX = re.compile(r"_SPR(\d{2})$", re.IGNORECASE)
"""What extracts add to the name of a column: the spring of the year, 09 for 2008-09."""
CENTURY = 2000


class NpdSettings(Settings):
    """Which files, and by which rules what contradicts itself is reconciled."""

    paths: tuple[str, ...] = Field(
        description="CSV files, folders (searched through for .csv) or patterns, relative to the "
        "study."
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Columns that the extract names otherwise: name as in the documentation -> "
        "name in the files, without suffix.",
    )
    conflicting: Literal["most-common", "latest", "missing"] = Field(
        "most-common",
        description="Which of several birth dates, sexes or ethnicities of a child is taken: that "
        "of most rows (the latest of several such), that of the latest row, or none, as the 2021 "
        "evaluation did.",
    )
    single_year: Literal["ending", "starting"] = Field(
        "ending", description="What a year in one number, such as 2013 in CIN_ACADYR, names."
    )
    spellings: dict[str, str] = Field(
        default_factory=dict,
        description="Further misspelt codes and what they mean, '' for not known.",
    )
    missing: tuple[str, ...] = Field(
        ("NA", "NULL", ".", "-"), description="Texts that stand for an empty cell."
    )
    birth_day: int = Field(
        15, ge=1, le=28, description="Day of birth where only month and year are given."
    )
    earliest_event: dt.date = Field(
        dt.date(1990, 1, 1), description="First day on which something can have happened."
    )
    earliest_birth: dt.date = Field(
        dt.date(1980, 1, 1), description="First day on which a child can be born."
    )
    days_after_return: int = Field(
        366, ge=0, description="How many days after its year an entry of a file may lie."
    )
    examples: int = Field(20, ge=0, description="How many places of each fault are listed.")

    _listed = field_validator("paths", "missing", mode="before")(as_tuple)

    @field_validator("columns")
    @classmethod
    def _documented(cls, given: dict[str, str]) -> dict[str, str]:
        known = {n for kind in KINDS for names in kind.columns.values() for n in names}
        for name in given:
            if name.upper() not in known:
                raise ValueError(f"names '{name}', which is none of {', '.join(sorted(known))}")
        return given


class Npd(Source):
    """Reads extracts of children in need, their assessments and looked-after episodes."""

    name: ClassVar[str] = "npd-extract"
    label: ClassVar[str] = "Extracts of the National Pupil Database (secure research), CSV by year"
    Settings: ClassVar[type[Settings]] = NpdSettings
    citation: ClassVar[str] = (
        "Department for Education, National Pupil Database: children in need and children looked "
        "after data tables"
    )
    gives: ClassVar[tuple[str, ...]] = (
        "children",
        "referrals",
        "assessments",
        "protection_plans",
        "episodes",
    )

    def inputs(self, settings: NpdSettings, session: Session) -> list[Path]:
        """Return the files, and what lies beside them, which is counted by its name."""
        return cover(settings.paths, session, suffix=".csv").inputs

    def _chosen(
        self, settings: NpdSettings, session: Session
    ) -> tuple[list[Extract], list[LeftOut]]:
        """Return the files that are extracts, and what else the paths cover."""
        covered = cover(settings.paths, session, suffix=".csv")
        extracts, left_out = [], list(covered.left_out)
        for path in covered.files:
            names = read_header(path)
            kind = _kind(_header(path, names, settings.columns))
            if kind is None:
                _refuse_hidden_extract(path, names, settings.columns)
                left_out.append(LeftOut(path, OUT_OF_SCOPE, "no columns of an extract"))
            else:
                header = _header(path, names, settings.columns)
                extracts.append(Extract(shown(path, session), path, kind, header))
        return extracts, left_out

    def read(self, settings: NpdSettings, session: Session) -> Records:
        """Read all extracts; a file is known by its columns, not by its name.

        Raises:
            DataError: If a path names no file, no file has the columns of an extract, a column
                stands twice, a file's year cannot be told, most of its dates cannot be read, or
                no usable row is left.
        """
        extracts, left_out = self._chosen(settings, session)
        if not extracts:
            n = sum(one.path.suffix.lower() == ".csv" for one in left_out)
            raise DataError(
                f"None of {n} CSV files in {listing(settings.paths)} is an extract. "
                f"An extract is known by its columns: {_marks()}. Name columns that are called "
                "otherwise in the setting 'columns'."
            )
        rules = Rules(
            conflicting=settings.conflicting,
            single_year_ends=settings.single_year == "ending",
            spellings={k.upper(): v.upper() for k, v in settings.spellings.items()},
            missing=tuple(text.upper() for text in settings.missing),
            birth_day=settings.birth_day,
            earliest_event=settings.earliest_event,
            earliest_birth=settings.earliest_birth,
            days_after_return=settings.days_after_return,
        )
        with session.progress.step("Reading extracts", len(extracts)) as advance:
            built = build(
                extracts, rules, examples=settings.examples, advance=advance, session=session
            )
        return Records(
            tables={name: session.table(table, name) for name, table in built.tables.items()},
            quality=built.quality
            + count_files(
                len(extracts), left_out, session, source=self.name, examples=settings.examples
            ),
            start=dt.date(built.first_year, 4, 1),
            end=dt.date(built.last_year + 1, 3, 31),
            files=tuple(extract.file for extract in extracts),
            data_hash=hashlib.sha256("".join(built.digests).encode()).hexdigest(),
        )


def _header(path: Path, names: Sequence[str], renamed: Mapping[str, str]) -> Header:
    """Return, by documented name, where a column stands and the April-year of its suffix.

    Raises:
        DataError: If two columns have one name but for the suffix.
    """
    documented = {theirs.upper(): ours.upper() for ours, theirs in renamed.items()}
    places: dict[str, Place] = {}
    for place, name in enumerate(names):
        if not name:
            continue
        suffix = SUFFIX.search(name)
        bare = SUFFIX.sub("", name).upper()
        bare = documented.get(bare, bare)
        if bare in places:
            raise DataError(
                f"{path} has the column {bare} more than once (columns "
                f"{places[bare].number + 1} and {place + 1}); leave one of them out."
            )
        places[bare] = Place(place, CENTURY + int(suffix[1]) - 1 if suffix else None)
    return places


def _kind(header: Header) -> Kind | None:
    """Return what kind of extract has such columns: the first whose marks are all there."""
    return next((kind for kind in KINDS if all(kind.place(m, header) for m in kind.marks)), None)


def _refuse_hidden_extract(path: Path, names: Sequence[str], renamed: Mapping[str, str]) -> None:
    """Refuse a file that would be an extract, were its columns found: a year would be missing.

    Raises:
        DataError: If the names of its columns stand under a title or between other separators, or
            a column by which an extract is known is absent.
    """
    refuse_other_header(path, lambda names: _kind(_header(path, names, renamed)) is not None)
    header = _header(path, names, renamed)
    for kind in KINDS:
        if kind.day and kind.place(kind.day, header):
            absent = next(mark for mark in kind.marks if not kind.place(mark, header))
            raise DataError(
                f"{path} has the dates of {kind.label} ({kind.columns[kind.day][0]}) but no column "
                f"{kind.columns[absent][0]}. If it is called otherwise, name it in the setting "
                "'columns'; if the file is no extract, name in 'paths' only those that are."
            )


def _marks() -> str:
    return "; ".join(
        f"{kind.label}: {' and '.join(kind.columns[mark][0] for mark in kind.marks)}"
        for kind in KINDS
    )


@hookimpl
def register_sources(register: Callable[[Source], None]) -> None:
    """Offer the source."""
    register(Npd())
