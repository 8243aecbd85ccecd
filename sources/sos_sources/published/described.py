"""What each file of a folder is: which release, which years, and what is read from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from sos_plugins import FileDescription
from sos_plugins.errors import DataError
from sos_plugins.tables.csv_text import TextTable
from sos_sources.paths import Covered
from sos_sources.published.files import OpenedFolder, PublishedFile, open_files, why_unknown
from sos_sources.published.meanings import Meaning, meaning, meanings
from sos_sources.published.measures import (
    AUTHORITY,
    AUTHORITY_NAME,
    KIND_OF_YEAR,
    LEVEL,
    MEASURES,
    POPULATION,
    TIME,
    Measure,
)
from sos_sources.published.tables import YEARS_TO_MARCH, year_of_end

NEIGHBOURS = "neighbours"
_TITLE = meaning("category")
_PLACES = frozenset(
    {
        *(TIME + KIND_OF_YEAR + LEVEL + AUTHORITY + AUTHORITY_NAME),
        *meanings("country_code", "country_name", "region_code", "region_name", "new_la_code"),
        _TITLE,
    }
)
"""Columns that say where, when and what of a figure, and are no figure."""
_PER_POPULATION = (
    "made of a count and the child population, of which no file is here, and so not read: "
)


@dataclass(frozen=True)
class _Figures:
    """A file of figures as text, the measures it has (as they are; as counts) and its years.

    ``years`` are those in which its periods end; none where they are no years to March.
    """

    file: PublishedFile
    text: TextTable
    given: tuple[Measure, ...]
    counted: tuple[Measure, ...]
    years: tuple[int, ...]

    @classmethod
    def of(cls, file: PublishedFile) -> _Figures:
        text = file.read()
        given = tuple(m for m in MEASURES if file.holds(m))
        counted = tuple(m for m in MEASURES if file.counts(m) and m not in given)
        kinds = {kind.lower() for kind in _distinct(file, text, KIND_OF_YEAR)}
        ends = (year_of_end(time) for time in _distinct(file, text, TIME))
        to_march = not kinds or not kinds.isdisjoint(YEARS_TO_MARCH)
        years = tuple(year for year in ends if year is not None and to_march)
        return cls(file, text, given, counted, years)


def describe(covered: Covered, folder: Path) -> list[FileDescription]:
    """Describe every file that a folder holds, in the order of their names.

    Raises:
        DataError: If a file cannot be opened, or pages of an answer are missing.
    """
    opened = open_files(covered)
    described = [
        FileDescription(_name(one.path, folder), why=one.reason)
        for one in (*covered.left_out, *opened.left_out)
    ]
    described += [_explaining(path, folder, opened) for path in opened.metadata]
    figures: list[_Figures] = []
    for file in opened.files:
        name = _name(file.path, folder)
        if file.is_neighbours:
            gives = (NEIGHBOURS,)
            described.append(FileDescription(name, release="Statistical neighbours", gives=gives))
            continue
        try:
            figures.append(_Figures.of(file))
        except DataError as error:
            described.append(FileDescription(name, why=str(error).removeprefix(f"{file.path}: ")))
    countable = any(m.name == POPULATION for one in figures for m in one.given)
    last: dict[Path, int] = {}
    for one in figures:
        last[one.file.whole] = max(last.get(one.file.whole, 0), *one.years, 0)
    described += [
        _described(one, folder, last[one.file.whole], countable=countable) for one in figures
    ]
    return sorted(described, key=lambda one: one.file)


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _explaining(path: Path, folder: Path, opened: OpenedFolder) -> FileDescription:
    explained = sorted(_name(f.path, folder) for f in opened.files if f.metadata == path)
    return FileDescription(
        _name(path, folder), release="Metadata of the statistics service", explains=tuple(explained)
    )


def _described(one: _Figures, folder: Path, last: int, *, countable: bool) -> FileDescription:
    name = _name(one.file.path, folder)
    measures = (*one.given, *one.counted)
    try:
        used = {_figure(one.file, measure) for measure in measures}
    except DataError as error:
        return FileDescription(name, why=str(error).removeprefix(f"{one.file.path}: "))
    read = measures if countable else one.given
    shift = measures[0].shift if measures else -1
    return FileDescription(
        name,
        release=_release(measures, last),
        about=_only_text(one.file, one.text),
        first_period=min(one.years) + shift if one.years else None,
        last_period=max(one.years) + shift if one.years else None,
        levels=tuple(_distinct(one.file, one.text, LEVEL)),
        gives=tuple(measure.name for measure in read),
        unread=_unread(one.file, used, measures),
        why=_why(one, countable=countable),
    )


def _figure(file: PublishedFile, measure: Measure) -> int | None:
    counted = not file.holds(measure)
    return file.place(meanings(*measure.counts) if counted else measure.figures(file.header))


def _distinct(file: PublishedFile, text: TextTable, aliases: Sequence[Meaning]) -> list[str]:
    place = file.place(aliases)
    if place is None:
        return []
    values = pc.unique(text.columns[place]).to_pylist()
    return [value for value in values if value is not None]


def _only_text(file: PublishedFile, text: TextTable) -> str:
    """Return what the column of the category says where it says one thing."""
    said = _distinct(file, text, (_TITLE,))
    return said[0] if len(said) == 1 else ""


def _release(measures: Sequence[Measure], last: int) -> str:
    collections = dict.fromkeys(measure.collection for measure in measures)
    words = [" and ".join(collections), str(last or "")]
    return " ".join(word for word in words if word) if collections else ""


def _unread(
    file: PublishedFile, used: set[int | None], measures: Sequence[Measure]
) -> tuple[str, ...]:
    """Return the names of columns that are neither a figure that is read nor its place."""
    beside = {
        one
        for measure in measures
        for one in (
            *meanings(*measure.denominators),
            *(measure.only.columns if measure.only else ()),
        )
    }
    return tuple(
        name
        for i, (name, means) in enumerate(zip(file.names, file.header, strict=True))
        if i not in used and means not in _PLACES and means not in beside
    )


def _why(one: _Figures, *, countable: bool) -> str:
    if one.counted and not countable:
        return f"{_PER_POPULATION}{', '.join(measure.name for measure in one.counted)}"
    return "" if one.given or one.counted else why_unknown(one.file)
