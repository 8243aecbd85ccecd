"""The files of a folder of published statistics: what their columns mean, and how to read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sos_plugins.errors import DataError, listing
from sos_plugins.tables.csv_text import TextTable, read_header, read_text
from sos_plugins.tables.readable import refuse_closed, refuse_other_header
from sos_sources.paths import OUT_OF_SCOPE, UNREADABLE, Covered, LeftOut
from sos_sources.published.meanings import Meaning, meaning, meanings
from sos_sources.published.measures import (
    AUTHORITY,
    LEVEL,
    MEASURES,
    TIME,
    Measure,
    plain_name,
)
from sos_sources.published.neighbours import is_model
from sos_sources.published.query_results import (
    Metadata,
    QueryResults,
    as_table,
    first_pages,
    read_json,
)

CSV, JSON = ".csv", ".json"
NEEDED = {"time_period": TIME, "geographic_level": LEVEL, "old_la_code": AUTHORITY}
"""What every file of figures has: a name of the column, and its meanings."""


@dataclass(frozen=True)
class PublishedFile:
    """A file of text, or the results of a query.

    Attributes:
        path: The file.
        names: Names of its columns.
        metadata: The file that says what its ids stand for, if it has any.
        first_page: The file with the first page of the answer of which it is a page.
        table: What it holds, where that is read already.
    """

    path: Path
    names: tuple[str, ...]
    metadata: Path | None = None
    first_page: Path | None = None
    table: TextTable | None = field(default=None, compare=False, repr=False)

    @property
    def whole(self) -> Path:
        """The file that stands for the release: itself, or the first page of an answer."""
        return self.first_page or self.path

    @cached_property
    def header(self) -> tuple[Meaning, ...]:
        """What its columns mean."""
        return meanings(*self.names)

    @property
    def is_neighbours(self) -> bool:
        """Whether it holds a model of statistical neighbours."""
        return is_model([plain_name(name) for name in self.names])

    @property
    def is_figures(self) -> bool:
        """Whether it has what every file of figures has."""
        return all(any(one in self.header for one in them) for them in NEEDED.values())

    def read(self) -> TextTable:
        """Read it as text.

        Raises:
            DataError: If it cannot be read.
        """
        return self.table if self.table is not None else read_text(self.path)

    def place(self, aliases: Sequence[Meaning]) -> int | None:
        """Return where the first of these meanings stands, None if it has none.

        Raises:
            DataError: If two columns have that meaning.
        """
        for alias in aliases:
            places = [i for i, one in enumerate(self.header) if one == alias]
            if len(places) > 1:
                first, second = (self.names[i] for i in places[:2])
                raise DataError(
                    f"{self.path}: the columns '{first}' and '{second}' mean the same, so that it "
                    "is not known which holds the figure. Delete or rename one of them."
                )
            if places:
                return places[0]
        return None

    def holds(self, measure: Measure) -> bool:
        """Whether it gives a measure as it is."""
        return self._has(measure, measure.figures(self.header))

    def counts(self, measure: Measure) -> bool:
        """Whether it gives the count of which a measure is made."""
        return self._has(measure, meanings(*measure.counts))

    def _has(self, measure: Measure, figures: Sequence[Meaning]) -> bool:
        needed = [figures, *([measure.only.columns] if measure.only else [])]
        return self.is_figures and all(any(a in self.header for a in them) for them in needed)

    @property
    def is_published(self) -> bool:
        """Whether it holds something that the source reads."""
        return self.is_neighbours or (
            self.is_figures and any(self.holds(m) or self.counts(m) for m in MEASURES)
        )


@dataclass(frozen=True)
class OpenedFolder:
    """Files whose columns are known, metadata, and files that hold neither, with the reason."""

    files: tuple[PublishedFile, ...]
    metadata: tuple[Path, ...]
    left_out: tuple[LeftOut, ...]


def open_files(covered: Covered) -> OpenedFolder:
    """Find out what the columns of each file are.

    Raises:
        DataError: If a file cannot be opened, the names of the columns of one with figures stand
            under a title or between other separators, or pages of an answer are missing.
    """
    files: list[PublishedFile] = []
    left_out: list[LeftOut] = []
    answers: list[QueryResults] = []
    metadata: list[Metadata] = []
    for path in covered.files:
        refuse_closed(path)
        try:
            if path.suffix.lower() != JSON:
                files.append(PublishedFile(path, read_header(path)))
                continue
            read = read_json(path)
        except DataError as error:
            left_out.append(LeftOut(path, UNREADABLE, str(error).removeprefix(f"{path} ")))
            continue
        if isinstance(read, QueryResults):
            answers.append(read)
        elif isinstance(read, Metadata):
            metadata.append(read)
        else:
            left_out.append(LeftOut(path, OUT_OF_SCOPE, "no answer of the statistics service"))
    for file in files:
        refuse_other_header(file.path, lambda names: names_are_published(tuple(names)))
    firsts = first_pages(answers)
    for answer in answers:
        try:
            table, explained_by = as_table(answer, metadata)
        except DataError as error:
            left_out.append(LeftOut(answer.path, UNREADABLE, str(error)))
        else:
            first = firsts[answer.path]
            files.append(PublishedFile(answer.path, table.names, explained_by, first, table))
    used = {file.metadata for file in files}
    left_out += [
        LeftOut(one.path, OUT_OF_SCOPE, "metadata of no results that are here")
        for one in metadata
        if one.path not in used
    ]
    ordered = tuple(sorted(files, key=lambda file: file.path))
    return OpenedFolder(ordered, tuple(m.path for m in metadata if m.path in used), tuple(left_out))


def names_are_published(names: tuple[str, ...]) -> bool:
    """Whether columns of these names hold something that the source reads."""
    return PublishedFile(Path(), names).is_published


def why_unknown(file: PublishedFile) -> str:
    """Say why nothing of a file is read, though its columns are known."""
    lacks = [name for name, them in NEEDED.items() if not any(one in file.header for one in them)]
    if len(lacks) == len(NEEDED):
        return "no column of published statistics"
    if lacks:
        return f"no column {listing(lacks)}; figures by local authority and year are read"
    for measure in MEASURES:
        if measure.only and any(one in file.header for one in measure.figures(file.header)):
            return f"a column of {measure.name}, but none that says which children: population_type"
    return f"no column of a measure that is read{_nearest(file)}"


def _nearest(file: PublishedFile) -> str:
    """Name the column that is most like one of a measure, where one is half like it."""
    best, column, like = 0.5, "", ""
    for name, means in zip(file.names, file.header, strict=True):
        for known in (one for m in MEASURES if not m.only for one in (*m.columns, *m.counts)):
            words = meaning(known)
            alike = len(means & words) / len(means | words)
            if alike > best:
                best, column, like = alike, name, known
    if not column:
        return ""
    return f"; '{column}' is most like {like}: name it so in a copy, if it is that figure"
