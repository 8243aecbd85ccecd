"""Published statistics by local authority and year, and statistical neighbours.

The files are found by what their headers name, so that a new release under a new file name, and
with a renamed column, is read as well. A year is named by the March in which it ends:
``time_period`` 2024 is April 2023 to March 2024, so its period here is 2023.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from sos_plugins import Records, Session, Settings, Source, hookimpl
from sos_plugins.contract.settings import AprilYear
from sos_plugins.errors import DataError, did_you_mean, listing
from sos_plugins.tables.csv_text import TextTable, read_header, read_text
from sos_plugins.tables.period_codes import whole_period
from sos_plugins.tables.readable import refuse_closed, refuse_other_header
from sos_sources.paths import (
    NOT_ASKED_FOR,
    OUT_OF_SCOPE,
    UNREADABLE,
    LeftOut,
    count_files,
    cover,
    shown,
)
from sos_sources.published.measures import (
    AUTHORITY,
    AUTHORITY_NAME,
    KIND_OF_YEAR,
    LEVEL,
    MEASURES,
    POPULATION,
    TIME,
    Measure,
    plain_name,
)
from sos_sources.published.neighbours import NeighbourModel, is_model, of_areas, read_neighbours
from sos_sources.published.tables import SOURCE, Release, Scope, build
from sos_sources.sql.sql_checks import line_breaks

NAMES = tuple(measure.name for measure in MEASURES)


class PublishedSettings(Settings):
    """Which folder, which measures, which years and which authorities."""

    folder: str = Field(description="Folder of the published CSV files, relative to the study.")
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
            DataError: If the folder has no CSV file or none with a measure asked for, or a file
                has several figures of one authority and year.
        """
        covered = cover([settings.folder], session, suffix=".csv")
        headers, broken = _headers(covered.files)
        chosen = _chosen(headers, settings)
        texts = {path: read_text(path) for path, measures in chosen.items() if measures}
        releases = [
            _release(measure, texts[path], headers[path], shown(path, session))
            for path, measures in chosen.items()
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
        model = _model(headers, units, settings, session)
        tables = {"published": session.table(built.table, "published")}
        quality = built.quality
        if model is not None:
            neighbours = of_areas(model.table, built.areas)
            tables["neighbours"] = session.table(neighbours, "neighbours")
            quality += model.quality
            texts[model.path] = model.text
        used = sorted(texts)
        for path in used:
            quality += line_breaks(texts[path], source=SOURCE, file=shown(path, session))
        left_out = (*covered.left_out, *broken, *_unused(headers, used))
        quality += count_files(
            len(used), left_out, session, source=SOURCE, examples=settings.examples
        )
        return Records(
            tables=tables,
            quality=quality,
            files=tuple(shown(path, session) for path in used),
            data_hash=_digest([texts[path] for path in used]),
            unit_names=built.unit_names,
        )


def _headers(paths: Sequence[Path]) -> tuple[dict[Path, list[str]], list[LeftOut]]:
    """Return the plain names of the columns of every file, and the files that hold no CSV text.

    Raises:
        DataError: If a file cannot be opened, or the names of the columns of one with figures
            stand under a title or between other separators.
    """
    headers, broken = {}, []
    for path in paths:
        refuse_closed(path)
        try:
            headers[path] = [plain_name(name) for name in read_header(path)]
        except DataError as error:
            broken.append(LeftOut(path, UNREADABLE, str(error).removeprefix(f"{path} ")))
        else:
            refuse_other_header(path, _is_published)
    return headers, broken


def _is_published(names: Sequence[str]) -> bool:
    """Whether columns are those of a published measure or of statistical neighbours."""
    plain = [plain_name(name) for name in names]
    return is_model(plain) or any(_holds(plain, m) or _counts(plain, m) for m in MEASURES)


def _unused(headers: dict[Path, list[str]], used: Sequence[Path]) -> list[LeftOut]:
    """Return the files that gave nothing, and why."""
    return [
        LeftOut(path, NOT_ASKED_FOR, "none of the measures or neighbours that are read")
        if _is_published(names)
        else LeftOut(path, OUT_OF_SCOPE, "no column of a published measure")
        for path, names in headers.items()
        if path not in used
    ]


def _chosen(
    headers: dict[Path, list[str]], settings: PublishedSettings
) -> dict[Path, list[Measure]]:
    """Return the measures that each file holds, of those asked for and the child population.

    Raises:
        DataError: If a measure asked for is in no file, or no file holds any.
    """
    wanted = [m for m in MEASURES if _asked(m, settings)]
    needed = [m for m in MEASURES if m in wanted or m.name == POPULATION]
    population = next(m for m in MEASURES if m.name == POPULATION)
    countable = any(_holds(names, population) for names in headers.values())
    chosen = {
        path: [m for m in needed if _holds(names, m) or (countable and _counts(names, m))]
        for path, names in headers.items()
    }
    absent = [m for m in wanted if m not in _all(chosen)]
    if (settings.measures is not None and absent) or len(absent) == len(wanted):
        first = absent[0]
        raise DataError(
            f"No CSV file in '{settings.folder}' has the published figures of {first.name} "
            f"({first.label}). Expected the columns time_period, geographic_level and old_la_code "
            f"and one like {listing(first.columns)}{_or_counts(first)}. "
            f"Files: {listing(p.name for p in headers)}."
        )
    return chosen


def _asked(measure: Measure, settings: PublishedSettings) -> bool:
    return settings.measures is None or measure.name in settings.measures


def _all(chosen: dict[Path, list[Measure]]) -> list[Measure]:
    return [measure for measures in chosen.values() for measure in measures]


def _or_counts(measure: Measure) -> str:
    if not measure.counts:
        return ""
    return f", or the count ({listing(measure.counts)}) and a file of the child population"


def _holds(names: Sequence[str], measure: Measure) -> bool:
    return _has(names, measure, measure.columns)


def _counts(names: Sequence[str], measure: Measure) -> bool:
    return bool(measure.counts) and _has(names, measure, measure.counts)


def _has(names: Sequence[str], measure: Measure, figures: Sequence[str]) -> bool:
    needed = [TIME, LEVEL, AUTHORITY, figures]
    if measure.only is not None:
        needed.append((measure.only[0],))
    return all(any(alias in names for alias in aliases) for aliases in needed)


def _release(measure: Measure, text: TextTable, names: list[str], file: str) -> Release:
    def place(aliases: Sequence[str]) -> int | None:
        return next((names.index(alias) for alias in aliases if alias in names), None)

    counted = not _holds(names, measure)
    return Release(
        measure=measure,
        file=file,
        text=text,
        counted=counted,
        places={
            "time": place(TIME),
            "kind_of_year": place(KIND_OF_YEAR),
            "level": place(LEVEL),
            "unit": place(AUTHORITY),
            "unit_name": place(AUTHORITY_NAME),
            "figure": place(measure.counts if counted else measure.columns),
            "denominator": place(measure.denominators),
            "only": None if measure.only is None else place((measure.only[0],)),
        },
    )


def _model(
    headers: dict[Path, list[str]],
    units: set[str],
    settings: PublishedSettings,
    session: Session,
) -> NeighbourModel | None:
    """Return the file of neighbours that was named, or the one that covers most authorities."""
    if settings.neighbours:
        inside = session.path(settings.folder) / settings.neighbours
        paths = [inside if inside.is_file() else session.path(settings.neighbours)]
    else:
        paths = [path for path, names in headers.items() if is_model(names)]
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
