"""Children looked after: SSDA903 returns as CSV files, chained into periods of care.

A return is a folder (or a name) with ``episodes``, usually ``header`` and ``uasc``, and ``dolo``
from 2026-27 on. The files name no authority, so a setting or a folder does. Episodes recur in the
returns of all years in which they were open, and are merged: see :mod:`sos_sources.sql.merging`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from sos_plugins import Records, Session, Settings, Source, hookimpl
from sos_plugins.errors import DataError, did_you_mean
from sos_plugins.tables.csv_text import TextTable, read_header, read_text
from sos_plugins.tables.readable import refuse_closed, refuse_other_header
from sos_sources.extra_columns import (
    EXTRA,
    ExtraColumn,
    Extras,
    extra_columns,
    refuse_extra,
    refuse_name_of_contract,
    refuse_repeats,
)
from sos_sources.paths import (
    OUT_OF_SCOPE,
    UNREADABLE,
    LeftOut,
    as_tuple,
    count_files,
    cover,
    shown,
)
from sos_sources.ssda903.tables import COLUMNS, TABLE_OF, File, Limits, Ssda903Return, build

KIND = re.compile(r"(?<![a-z])(episodes|header|uasc|dolo)(?![a-z])")
AUTHORITY = re.compile(r"(?<![A-Za-z\d])(\d{3})(?!\d)")
RETURN_NAME = "903"
"""The name of the return itself, never an authority."""
FROM_FOLDER = "folder"
MARKED = ("episodes", "header", "dolo")
"""Kinds of file whose columns tell them from others of the collection."""


class Ssda903Settings(Settings):
    """Where the returns are, whose they are, and what in them is possible."""

    paths: tuple[str, ...] = Field(
        description="Folders (searched through for .csv), files or patterns, relative to the study."
    )
    authority: str = Field(
        description="Authority code, or 'folder' to take the three-digit code from the name of the "
        "files' folder or of the folder above."
    )
    years: Literal["names", "data"] = Field(
        "names",
        description="Where the year of a return comes from: names of its files and folders as far "
        "as they tell ('2015-16', '1516'; '2016' is the year to March 2016), or its dates.",
    )
    year_share: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="Without a name, a return ends with the last year in which at least this share "
        "of its episodes start, and begins with the first in which this share of them end.",
    )
    start: dt.date | None = Field(
        None, description="First day that the records cover, in place of the one found."
    )
    end: dt.date | None = Field(
        None, description="Last day that the records cover, in place of the one found."
    )
    earliest_event: dt.date = Field(
        dt.date(1990, 1, 1), description="An episode before this date is impossible."
    )
    earliest_birth: dt.date = Field(
        dt.date(1980, 1, 1), description="A birth before this date is impossible."
    )
    days_after_return: int = Field(
        92,
        ge=0,
        description="Days after the end of its return's year in which an event is still possible.",
    )
    max_gap_days: int = Field(
        0,
        ge=0,
        description="An episode that starts at most this many days after one that ended with X1 "
        "belongs to the same period of care.",
    )
    unreadable_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="A file is refused when more than this share of its dates in DECOM or DOB, "
        "which every row must have, cannot be read as dd/mm/yyyy.",
    )
    examples: int = Field(20, ge=0, description="How many places of each fault are listed.")
    extra: tuple[str, ...] = Field(
        (), description=EXTRA.format(what="columns of the files of episodes and headers")
    )

    _listed = field_validator("paths", "extra", mode="before")(as_tuple)
    _each_once = field_validator("extra")(refuse_repeats)

    @property
    def further(self) -> tuple[ExtraColumn, ...]:
        """The further columns; names of columns are read in capitals."""
        return extra_columns(name.upper() for name in self.extra)


class Ssda903(Source):
    """Reads SSDA903 returns."""

    name: ClassVar[str] = "ssda903"
    label: ClassVar[str] = (
        "Children looked after returns (SSDA903, CSV), chained into periods of care"
    )
    Settings: ClassVar[type[Settings]] = Ssda903Settings
    citation: ClassVar[str] = (
        "Department for Education, Children looked after return (SSDA903): guide"
    )
    gives: ClassVar[tuple[str, ...]] = ("children", "episodes", "deprivation_orders")

    def inputs(self, settings: Ssda903Settings, session: Session) -> list[Path]:
        """Return the files, and what lies beside them, which is counted by its name."""
        return cover(settings.paths, session, suffix=".csv").inputs

    def units(self, settings: Ssda903Settings, session: Session) -> set[str] | None:
        """Return the authorities that the setting or the folders name."""
        paths = cover(settings.paths, session, suffix=".csv").files
        return {_authority(path, settings) for path in paths if KIND.search(path.stem.lower())}

    def read(self, settings: Ssda903Settings, session: Session) -> Records:
        """Read all returns.

        Coverage runs from the first day of the first return's year to 31 March of the last one's.

        Raises:
            DataError: If a path names no file, no file holds episodes, a column is missing or one
                of ``extra`` is in no file, an authority cannot be told, most dates of a file cannot
                be read, a year contradicts the dates, or no episode is usable.
        """
        covered = cover(settings.paths, session, suffix=".csv")
        paths = [path for path in covered.files if KIND.search(path.stem.lower())]
        left_out = (*covered.left_out, *_of_other_kinds(covered.files))
        returns = [_read(group, settings, session) for group in _grouped(paths, settings)]
        limits = Limits(
            earliest_event=settings.earliest_event,
            earliest_birth=settings.earliest_birth,
            days_after_return=settings.days_after_return,
            max_gap_days=settings.max_gap_days,
            year_share=settings.year_share,
            unreadable_share=settings.unreadable_share,
        )
        with session.progress.step("Reading looked-after returns"):
            built = build(
                returns,
                limits,
                _extras(returns, settings),
                examples=settings.examples,
                session=session,
            )
        return Records(
            tables={name: session.table(table, name) for name, table in built.tables.items()},
            quality=built.quality
            + count_files(
                len(paths), left_out, session, source=self.name, examples=settings.examples
            ),
            start=settings.start or dt.date(built.first_year, 4, 1),
            end=settings.end or dt.date(built.last_year + 1, 3, 31),
            files=tuple(shown(path, session) for path in paths),
            data_hash=_digest(returns),
        )


def _of_other_kinds(paths: Sequence[Path]) -> list[LeftOut]:
    """Return the files whose names tell no kind of file of a return.

    Raises:
        DataError: If one has the columns of a kind all the same: its rows would be missing.
    """
    left_out = []
    for path in (path for path in paths if not KIND.search(path.stem.lower())):
        refuse_closed(path)
        try:
            names = {name.upper() for name in read_header(path)}
        except DataError as error:
            left_out.append(LeftOut(path, UNREADABLE, str(error).removeprefix(f"{path} ")))
            continue
        for kind in MARKED:
            if _required(kind) <= names:
                raise DataError(
                    f"{path} has the columns of a file of {kind}, but not '{kind}' in its name. "
                    f"Rename it to such as {kind}.csv, or name in 'paths' only what is to be read."
                )
        left_out.append(LeftOut(path, OUT_OF_SCOPE, f"none of {', '.join(COLUMNS)} in its name"))
    return left_out


def _required(kind: str) -> set[str]:
    return {name for name, required in COLUMNS[kind].items() if required}


def _grouped(paths: Sequence[Path], settings: Ssda903Settings) -> list[dict[str, Path]]:
    """Return, for every return, its files by kind: same folder, same name but for the kind."""
    groups: dict[tuple[Path, str], dict[str, Path]] = {}
    for path in paths:
        kind = KIND.search(path.stem.lower())
        assert kind is not None
        rest = path.stem.lower().replace(kind[0], "", 1)
        group = groups.setdefault((path.parent, re.sub(r"[\W_]+", "", rest)), {})
        if kind[0] in group:
            raise DataError(
                f"{path.parent} has two files of one return that hold '{kind[0]}': "
                f"{group[kind[0]].name} and {path.name}."
            )
        group[kind[0]] = path
    if not any("episodes" in group for group in groups.values()):
        raise DataError(
            f"No file with 'episodes' in its name in {', '.join(settings.paths)}; expected files "
            "such as episodes.csv, header.csv and uasc.csv."
        )
    for group in groups.values():
        if "episodes" not in group:
            one = next(iter(group.values()))
            raise DataError(f"{one} belongs to a return without a file of episodes.")
    return list(groups.values())


def _read(group: dict[str, Path], settings: Ssda903Settings, session: Session) -> Ssda903Return:
    path = group["episodes"]
    files = tuple(
        File(kind, shown(one, session), *_columns(kind, _text(kind, one), settings.further))
        for kind, one in sorted(group.items())
    )
    return Ssda903Return(
        unit=_authority(path, settings),
        year=_named_year(path) if settings.years == "names" else None,
        files=files,
    )


def _text(kind: str, path: Path) -> TextTable:
    text = read_text(path)
    refuse_other_header(path, lambda names: _required(kind) <= {name.upper() for name in names})
    return text


def _columns(
    kind: str, text: TextTable, further: Sequence[ExtraColumn]
) -> tuple[TextTable, dict[str, int | None]]:
    """Return where each column of :data:`COLUMNS`, and each further one, stands in the file.

    None if it may be absent; only files of the kinds in :data:`TABLE_OF` have further ones.
    """
    names = [name.upper() for name in text.names]
    places: dict[str, int | None] = {}
    for name, required in COLUMNS[kind].items():
        if names.count(name) > 1:
            raise DataError(f"{text.path} has {names.count(name)} columns named {name}.")
        if name in names:
            places[name] = names.index(name)
        elif required:
            raise DataError(
                f"{text.path} has no column {name}.{did_you_mean(name, names)} Expected "
                f"{', '.join(COLUMNS[kind])}; found {', '.join(text.names)}."
            )
        else:
            places[name] = None
    for one in further if kind in TABLE_OF else ():
        if names.count(one.name) > 1:
            raise DataError(f"{text.path} has {names.count(one.name)} columns named {one.name}.")
        places[one.column] = names.index(one.name) if one.name in names else None
    return text, places


def _extras(returns: Sequence[Ssda903Return], settings: Ssda903Settings) -> Extras:
    """Return the further columns by kind of file: each where some file has it.

    Raises:
        DataError: If no file has one, or it is read anyway.
    """
    _refuse_unknown_extra(returns, settings.further)
    found: dict[str, tuple[ExtraColumn, ...]] = {}
    for kind, table in TABLE_OF.items():
        files = [file for one in returns for file in one.kind(kind)]
        there = {name.upper() for file in files for name in file.text.names}
        found[kind] = tuple(one for one in settings.further if one.name in there)
        for one in found[kind]:
            refuse_name_of_contract(one.name, table)
    return found


def _refuse_unknown_extra(returns: Sequence[Ssda903Return], further: Sequence[ExtraColumn]) -> None:
    texts = [f.text for one in returns for kind in TABLE_OF for f in one.kind(kind)]
    there = {name.upper() for text in texts for name in text.names if name}
    read = {name for kind in TABLE_OF for name in COLUMNS[kind]}
    for one in further:
        refuse_extra(
            one.name, read=read, known=there - read, where="the files of episodes and headers"
        )


def _authority(path: Path, settings: Ssda903Settings) -> str:
    if settings.authority != FROM_FOLDER:
        return settings.authority
    for folder in (path.parent, path.parent.parent):
        codes = [code for code in AUTHORITY.findall(folder.name) if code != RETURN_NAME]
        if len(codes) == 1:
            return str(codes[0])
    raise DataError(
        f"The folder of {path} names no authority: expected one three-digit code in "
        f"'{path.parent.name}' or '{path.parent.parent.name}'. Or set 'authority' to the code."
    )


def _named_year(path: Path) -> int | None:
    """Return the April-year that the file's name or a folder's tells, None if none does."""
    for name in (path.stem, path.parent.name, path.parent.parent.name):
        year = april_year(name)
        if year is not None:
            return year
    return None


def april_year(name: str) -> int | None:
    """Return the April-year in a name.

    >>> [april_year(n) for n in ("2015-16", "SSDA903_1516_episodes", "2015_2016", "year 2016", "x")]
    [2015, 2015, 2015, 2015, None]
    """
    for first, second in re.findall(r"(?<!\d)((?:20)?\d{2})\D?((?:20)?\d{2})(?!\d)", name):
        if (int(first) + 1) % 100 == int(second) % 100:
            return 2000 + int(first) % 100
    single = re.search(r"(?<!\d)(20\d{2})(?!\d)", name)
    return int(single[1]) - 1 if single else None


def _digest(returns: Sequence[Ssda903Return]) -> str:
    digests = [file.text.sha256 for one in returns for file in one.files]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


@hookimpl
def register_sources(register: Callable[[Source], None]) -> None:
    """Offer the source."""
    register(Ssda903())
