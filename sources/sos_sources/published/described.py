"""What each file of a folder is: which release, which years, and what is read from it."""

from __future__ import annotations

from collections.abc import Sequence
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
from sos_sources.published.tables import year_of_end

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


def describe(covered: Covered, folder: Path) -> list[FileDescription]:
    """Describe every file that a folder holds, in the order of their names.

    Raises:
        DataError: If a file cannot be opened, or pages of an answer are missing.
    """
    opened = open_files(covered)
    countable = any(f.holds(m) for f in opened.files for m in MEASURES if m.name == POPULATION)
    described = [_described(file, folder, countable=countable) for file in opened.files]
    described += [_explaining(path, folder, opened) for path in opened.metadata]
    described += [
        FileDescription(_name(one.path, folder), why=one.reason)
        for one in (*covered.left_out, *opened.left_out)
    ]
    return sorted(described, key=lambda one: one.file)


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _explaining(path: Path, folder: Path, opened: OpenedFolder) -> FileDescription:
    explained = sorted(_name(f.path, folder) for f in opened.files if f.metadata == path)
    return FileDescription(
        _name(path, folder), release="Metadata of the statistics service", explains=tuple(explained)
    )


def _described(file: PublishedFile, folder: Path, *, countable: bool) -> FileDescription:
    name = _name(file.path, folder)
    if file.is_neighbours:
        return FileDescription(name, release="Statistical neighbours", gives=(NEIGHBOURS,))
    if not file.header:
        return FileDescription(name, why="it holds no rows")
    try:
        text = file.read()
        given = [m for m in MEASURES if file.holds(m)]
        counted = [m for m in MEASURES if file.counts(m) and m not in given]
        used = {_figure(file, measure) for measure in (*given, *counted)}
    except DataError as error:
        return FileDescription(name, why=str(error).removeprefix(f"{file.path}: "))
    measures = given + counted * countable
    years = _years(file, text)
    first = measures[0] if measures else (counted or [None])[0]
    shift = -1 if first is None else first.shift
    return FileDescription(
        name,
        release=_release(measures or counted, years),
        about=_only_text(file, text),
        first_period=min(years) + shift if years else None,
        last_period=max(years) + shift if years else None,
        levels=tuple(_distinct(file, text, LEVEL)),
        gives=tuple(measure.name for measure in measures),
        unread=_unread(file, used, measures or counted),
        why=_why(file, measures, [] if countable else counted),
    )


def _figure(file: PublishedFile, measure: Measure) -> int | None:
    counted = not file.holds(measure)
    return file.place(meanings(*measure.counts) if counted else measure.figures(file.header))


def _years(file: PublishedFile, text: TextTable) -> list[int]:
    """Return the years in which the periods end."""
    ends = (year_of_end(time) for time in _distinct(file, text, TIME))
    return [year for year in ends if year is not None]


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


def _release(measures: Sequence[Measure], years: Sequence[int]) -> str:
    collections = list(dict.fromkeys(measure.collection for measure in measures))
    if not collections:
        return ""
    return f"{' and '.join(collections)} {max(years)}" if years else " and ".join(collections)


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


def _why(file: PublishedFile, measures: Sequence[Measure], lost: Sequence[Measure]) -> str:
    if lost:
        return f"{_PER_POPULATION}{', '.join(measure.name for measure in lost)}"
    return "" if measures else why_unknown(file)
