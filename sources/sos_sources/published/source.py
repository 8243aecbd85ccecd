"""Published statistics by local authority and year, and statistical neighbours.

The files are found by what their headers name, so that a new release under a new file name, and
with a renamed column, is read as well. A year is named by the March in which it ends:
``time_period`` 2024 is April 2023 to March 2024, so its period here is 2023.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from sos_plugins import FileDescription, Records, Session, Settings, Source, hookimpl
from sos_plugins.contract.settings import AprilYear
from sos_plugins.errors import DataError, did_you_mean, listing
from sos_plugins.tables.csv_text import TextTable
from sos_plugins.tables.period_codes import whole_period
from sos_sources.paths import NOT_ASKED_FOR, OUT_OF_SCOPE, LeftOut, count_files, cover, shown
from sos_sources.published.described import describe
from sos_sources.published.files import (
    CSV,
    JSON,
    NEEDED,
    OpenedFolder,
    PublishedFile,
    open_files,
    why_unknown,
)
from sos_sources.published.meanings import meanings
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
from sos_sources.published.neighbours import NeighbourModel, of_areas, read_neighbours
from sos_sources.published.tables import SOURCE, Release, Scope, build
from sos_sources.sql.sql_checks import line_breaks

NAMES = tuple(measure.name for measure in MEASURES)


class PublishedSettings(Settings):
    """Which folder, which measures, which years and which authorities."""

    folder: str = Field(
        description="Folder of the published files (CSV, or JSON of the statistics service), "
        "relative to the study."
    )
    measures: tuple[str, ...] | None = Field(
        None, description="Measures to read; none given means all that the folder holds."
    )
    first_period: AprilYear | None = Field(
        None, description="First April-year kept (2012 = year ending March 2013)."
    )
    last_period: AprilYear | None = Field(None, description="Last April-year kept.")
    _as_records = field_validator("first_period", "last_period", mode="before")(whole_period)
    reorganised: Literal["keep", "drop", "join"] = Field(
        "keep",
        description="Authorities that were split or merged within the years kept: keep old and new "
        "codes as authorities of their own (their series are short), drop both, or join them to "
        "one area with a series over all years, such as 940+941.",
    )
    symbols: tuple[str, ...] = Field(
        ("z", "x", "c", "low", "k", "u", ":", "..", "-"),
        description="Texts that stand for a figure: not applicable, unavailable, confidential, "
        "rounds to zero, low reliability.",
    )
    neighbours: str = Field(
        "",
        description="File of statistical neighbours; by default the one in the folder that covers "
        "most of the authorities.",
    )
    examples: int = Field(20, ge=0, description="How many places of each fault are listed.")

    @field_validator("measures")
    @classmethod
    def _known(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in value or ():
            if name not in NAMES:
                raise ValueError(
                    f"there is no measure '{name}'.{did_you_mean(name, NAMES)} "
                    f"Measures: {listing(NAMES)}"
                )
        return value


class Published(Source):
    """Reads published figures."""

    name: ClassVar[str] = SOURCE
    label: ClassVar[str] = "Published statistics by local authority and year"
    Settings: ClassVar[type[Settings]] = PublishedSettings
    citation: ClassVar[str] = (
        "Department for Education, Children in need and Children looked after in England; Office "
        "for National Statistics, Mid-year population estimates (Open Government Licence v3.0)"
    )
    gives: ClassVar[tuple[str, ...]] = ("published", "neighbours")

    def read(self, settings: PublishedSettings, session: Session) -> Records:
        """Read the figures.

        ``neighbours`` is there only when the folder has a file of statistical neighbours.

        Raises:
            DataError: If the folder has no file or none with a measure asked for, a file has
                several figures of one authority and year or two columns of one figure, or pages
                of an answer are missing.
        """
        covered = cover([settings.folder], session, suffix=CSV, further=(JSON,))
        opened = open_files(covered)
        chosen = _chosen(opened.files, settings)
        texts = {file.path: file.read() for file, measures in chosen.items() if measures}
        releases = [
            _release(measure, texts[file.path], file, session)
            for file, measures in chosen.items()
            for measure in measures
        ]
        scope = Scope(
            measures=tuple(m.name for m in MEASURES if _asked(m, settings) and m in _all(chosen)),
            first=settings.first_period,
            last=settings.last_period,
            reorganised=settings.reorganised,
            symbols=settings.symbols,
        )
        built = build(releases, scope, examples=settings.examples, session=session)
        units = {*built.table["unit"].to_pylist(), *built.areas}
        model = _model(opened.files, units, settings, session)
        tables = {"published": session.table(built.table, "published")}
        quality = built.quality
        if model is not None:
            neighbours = of_areas(model.table, built.areas)
            tables["neighbours"] = session.table(neighbours, "neighbours")
            quality += model.quality
            texts[model.path] = model.text
        for path in sorted(texts):
            quality += line_breaks(texts[path], source=SOURCE, file=shown(path, session))
        used = _used(opened, texts)
        left_out = (*covered.left_out, *opened.left_out, *_unused(opened, used))
        quality += count_files(
            len(used), left_out, session, source=SOURCE, examples=settings.examples
        )
        return Records(
            tables=tables,
            quality=quality,
            files=tuple(shown(path, session) for path in used),
            data_hash=_digest([texts[path] for path in sorted(texts)]),
            unit_names=built.unit_names,
        )

    def describe_files(self, folder: Path, session: Session) -> list[FileDescription]:
        """Tell which release each file of a folder is, and which measures it gives."""
        covered = cover([str(folder)], session, suffix=CSV, further=(JSON,))
        return describe(covered, folder)


def _used(opened: OpenedFolder, texts: Collection[Path]) -> list[Path]:
    """Return the files that gave something, with the metadata that explain them."""
    metadata = {f.metadata for f in opened.files if f.path in texts and f.metadata is not None}
    return sorted({*texts, *metadata})


def _unused(opened: OpenedFolder, used: Collection[Path]) -> list[LeftOut]:
    """Return the files that gave nothing, and why."""
    unused = [
        LeftOut(file.path, NOT_ASKED_FOR, "none of the measures or neighbours that are read")
        if file.is_published
        else LeftOut(file.path, OUT_OF_SCOPE, why_unknown(file))
        for file in opened.files
        if file.path not in used
    ]
    return unused + [
        LeftOut(path, NOT_ASKED_FOR, "metadata of results that are not read")
        for path in opened.metadata
        if path not in used
    ]


def _chosen(
    files: Sequence[PublishedFile], settings: PublishedSettings
) -> dict[PublishedFile, list[Measure]]:
    """Return the measures that each file holds, of those asked for and the child population.

    Raises:
        DataError: If a measure asked for is in no file, or no file holds any.
    """
    wanted = [m for m in MEASURES if _asked(m, settings)]
    needed = [m for m in MEASURES if m in wanted or m.name == POPULATION]
    population = next(m for m in MEASURES if m.name == POPULATION)
    countable = any(file.holds(population) for file in files)
    chosen = {
        file: [m for m in needed if file.holds(m) or (countable and file.counts(m))]
        for file in files
    }
    absent = [m for m in wanted if m not in _all(chosen)]
    if (settings.measures is not None and absent) or len(absent) == len(wanted):
        first = absent[0]
        raise DataError(
            f"No file in '{settings.folder}' has the published figures of {first.name} "
            f"({first.label}). Expected the columns {listing(NEEDED)} and one like "
            f"{listing(first.columns)}{_or_counts(first)}. "
            f"Files: {listing(file.path.name for file in files)}. What each is: sos-plugins files "
            "FOLDER."
        )
    return chosen


def _asked(measure: Measure, settings: PublishedSettings) -> bool:
    return settings.measures is None or measure.name in settings.measures


def _all(chosen: Mapping[PublishedFile, list[Measure]]) -> list[Measure]:
    return [measure for measures in chosen.values() for measure in measures]


def _or_counts(measure: Measure) -> str:
    if not measure.counts:
        return ""
    return f", or the count ({listing(measure.counts)}) and a file of the child population"


def _release(measure: Measure, text: TextTable, file: PublishedFile, session: Session) -> Release:
    counted = not file.holds(measure)
    figures = meanings(*measure.counts) if counted else measure.figures(file.header)
    return Release(
        measure=measure,
        file=shown(file.path, session),
        whole=shown(file.whole, session),
        text=text,
        counted=counted,
        places={
            "time": file.place(TIME),
            "kind_of_year": file.place(KIND_OF_YEAR),
            "level": file.place(LEVEL),
            "unit": file.place(AUTHORITY),
            "unit_name": file.place(AUTHORITY_NAME),
            "figure": file.place(figures),
            "denominator": file.place(meanings(*measure.denominators)),
            "only": None if measure.only is None else file.place(measure.only.columns),
        },
    )


def _model(
    files: Sequence[PublishedFile],
    units: set[str],
    settings: PublishedSettings,
    session: Session,
) -> NeighbourModel | None:
    """Return the file of neighbours that was named, or the one that covers most authorities."""
    if settings.neighbours:
        inside = session.path(settings.folder) / settings.neighbours
        paths = [inside if inside.is_file() else session.path(settings.neighbours)]
    else:
        paths = [file.path for file in files if file.is_neighbours]
    models = [
        read_neighbours(path, source=SOURCE, file=shown(path, session)) for path in sorted(paths)
    ]
    return max(models, key=lambda model: model.covers(units), default=None)


def _digest(texts: Sequence[TextTable]) -> str:
    return hashlib.sha256("".join(text.sha256 for text in texts).encode()).hexdigest()


@hookimpl
def register_sources(register: Callable[[Source], None]) -> None:
    """Offer the source."""
    register(Published())
