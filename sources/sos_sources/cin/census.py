"""The children in need census: XML returns of authorities and years, one row a thing.

One file is the return of one authority for one year (1 April to 31 March). The header names both.
The same referral stands in every return of a year in which its case was open, so returns overlap
and are merged: see :mod:`sos_sources.sql.merging`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from sos_plugins import Records, Session, Settings, Source, hookimpl
from sos_plugins.contract.settings import AprilYear
from sos_plugins.errors import DataError
from sos_plugins.tables.period_codes import april_year
from sos_plugins.tables.readable import XML, readable, refuse_closed, refuse_unreadable
from sos_sources.cin.rows import RAW
from sos_sources.cin.staging import Workspace, workspace
from sos_sources.cin.tables import Bounds, LostRows, Return, build
from sos_sources.cin.worker import read_all
from sos_sources.cin.xml import IGNORED, PARTS, RawReturn
from sos_sources.extra_columns import (
    EXTRA,
    ExtraColumn,
    Extras,
    extra_columns,
    refuse_extra,
    refuse_name_of_contract,
    refuse_repeats,
)
from sos_sources.paths import UNREADABLE, LeftOut, as_tuple, count_files, cover, shown

MEGABYTE = 1_000_000
HEADER_BYTES = 1 << 16
"""Bytes at the start of a return within which its header is looked for."""
LEA = re.compile(rb"\A(?:(?!<!--).)*?<(?:\w+:)?LEA>\s*([^<\s]+)\s*</", re.DOTALL)
"""The authority of a header, without a comment before it."""
SHOWN = 3
"""How many files a message names."""


class CinCensusSettings(Settings):
    """Where the returns are, and what in them is possible."""

    paths: tuple[str, ...] = Field(
        description="Files, folders (searched through for .xml) or patterns, relative to the study."
    )
    authority: str = Field("", description="Authority code for files whose header names none.")
    return_year: AprilYear | None = Field(
        None,
        description="Year (2015 = April 2015 to March 2016) for files whose header names none.",
    )
    earliest_event: dt.date = Field(
        dt.date(1990, 1, 1), description="Any event before this date is impossible."
    )
    earliest_birth: dt.date = Field(
        dt.date(1980, 1, 1), description="A birth before this date is impossible."
    )
    latest_return: int = Field(
        2100, description="A header with a later year is wrong.", ge=1990, le=9000
    )
    days_after_return: int = Field(
        92,
        ge=0,
        description="Days after the end of its return's year in which an event is still possible: "
        "returns are completed until the end of June.",
    )
    days_expected: int = Field(
        366, ge=0, description="The same for expected births, reviews and conference targets."
    )
    broken_files: Literal["error", "keep"] = Field(
        "error",
        description="A file whose XML breaks off: stop, or keep the children before the break and "
        "count the file as unreadable.",
    )
    workers: int | None = Field(
        None, ge=1, description="Processes that read files; by default one a core."
    )
    parallel_from_mb: float = Field(
        20.0, ge=0, description="Below this size of all files together one process reads them."
    )
    examples: int = Field(20, ge=0, description="How many places of each fault are listed.")
    extra: tuple[str, ...] = Field(
        (),
        description=EXTRA.format(what="elements of a child, a referral or a module")
        + " Of a list, such as FactorsIdentifiedAtAssessment, the codes with commas.",
    )

    _listed = field_validator("paths", "extra", mode="before")(as_tuple)
    _each_once = field_validator("extra")(refuse_repeats)

    @property
    def further(self) -> tuple[ExtraColumn, ...]:
        """The further columns."""
        return extra_columns(self.extra)


class CinCensus(Source):
    """Reads children in need census returns."""

    name: ClassVar[str] = "cin-census"
    label: ClassVar[str] = "Children in need census returns (XML), merged over years"
    Settings: ClassVar[type[Settings]] = CinCensusSettings
    citation: ClassVar[str] = (
        "Department for Education, Children in need census: guide and XML schemas"
    )
    gives: ClassVar[tuple[str, ...]] = tuple(RAW)

    def inputs(self, settings: CinCensusSettings, session: Session) -> list[Path]:
        """Return the files, and what lies beside them, which is counted by its name."""
        return cover(settings.paths, session, suffix=".xml").inputs

    def units(self, settings: CinCensusSettings, session: Session) -> set[str] | None:
        """Return the authorities that the headers name; None where one cannot be seen at once."""
        paths = cover(settings.paths, session, suffix=".xml").files
        found = {_unit_of(path) or settings.authority for path in paths}
        return None if "" in found else found

    def read(self, settings: CinCensusSettings, session: Session) -> Records:
        """Read all returns.

        Raises:
            DataError: If a path names no file, a file is no census return, its XML breaks off
                (unless ``broken_files = "keep"``), its authority or year is unknown, no file has
                an element of ``extra``, or no referral with a usable date is left.
        """
        covered = cover(settings.paths, session, suffix=".xml")
        paths = list(covered.files)
        _refuse_unreadable(paths, settings)
        bounds = Bounds(
            earliest_event=settings.earliest_event,
            earliest_birth=settings.earliest_birth,
            days_after_return=settings.days_after_return,
            days_expected=settings.days_expected,
        )
        with workspace(session) as space:
            raws = _read(paths, settings, space)
            returns, lost = _identified(raws, settings, session)
            built = build(
                space,
                returns,
                bounds,
                examples=settings.examples,
                lost=lost,
                asked=settings.further,
                extras=_extras(returns, settings.further),
            )
        _refuse_empty(returns, built.n_referrals)
        return Records(
            tables=built.tables,
            quality=built.quality
            + count_files(
                len(returns),
                (*covered.left_out, *_lost_files(raws)),
                session,
                source=self.name,
                examples=settings.examples,
            ),
            start=dt.date(min(r.year for r in returns), 4, 1),
            end=dt.date(max(r.year for r in returns) + 1, 3, 31),
            files=tuple(shown(path, session) for path in paths),
            data_hash=_digest([r.raw for r in returns]),
        )


def _unit_of(path: Path) -> str:
    """Return the authority that the beginning of a file names, if it does."""
    with readable(path), path.open("rb") as file:
        named = LEA.search(file.read(HEADER_BYTES))
    return named[1].decode() if named else ""


def _refuse_unreadable(paths: Sequence[Path], settings: CinCensusSettings) -> None:
    """Refuse files that cannot be opened, and, unless they are kept, those that are no XML."""
    for path in paths:
        refuse_closed(path)
        if settings.broken_files == "error":
            refuse_unreadable(path, expected=XML, may_be_empty=True)


def _read(paths: list[Path], settings: CinCensusSettings, space: Workspace) -> list[RawReturn]:
    total = sum(path.stat().st_size for path in paths)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers = min(settings.workers or cores or 1, len(paths))
    if total < settings.parallel_from_mb * MEGABYTE:
        workers = 1
    try:
        with space.session.progress.step("Reading census returns", total) as advance:
            found = read_all(
                paths,
                [space.sink(number) for number in range(len(paths))],
                workers=workers,
                cores=settings.workers or cores or 1,
                n_lines=settings.examples,
                extras=settings.extra,
                advance=advance,
            )
            space.complete()
            return found
    except OSError as error:
        raise DataError(f"A census return cannot be opened: {error}.") from None


def _lost_files(raws: Sequence[RawReturn]) -> list[LeftOut]:
    """Return the files of which nothing could be read."""
    return [
        LeftOut(raw.path, UNREADABLE, raw.broken) for raw in raws if raw.broken and not raw.root
    ]


def _identified(
    raws: list[RawReturn], settings: CinCensusSettings, session: Session
) -> tuple[list[Return], list[LostRows]]:
    """Give every file its authority and year; files that are no returns stop the reading."""
    returns, lost = [], []
    for number, raw in enumerate(raws):
        file = shown(raw.path, session)
        if raw.broken:
            _refuse_broken(raw, file, settings)
            if not raw.root:
                lost.append(LostRows(file, raw.broken_line, raw.broken))
                continue
        _refuse_other_xml(raw, file)
        unit = raw.header.get("LEA") or settings.authority
        if not unit:
            raise DataError(
                f"{file}: the header names no authority (Header/Source/LEA). Set 'authority'."
            )
        returns.append(Return(number, file, unit, _year(raw, file, settings), raw))
    if not returns:
        raise DataError(f"None of {len(raws)} census files can be read; all are broken XML.")
    return returns, lost


def _extras(returns: Sequence[Return], further: Sequence[ExtraColumn]) -> Extras:
    """Return the further columns by table: where the census has them, or a file does.

    Raises:
        DataError: If nothing has one, or it is read anyway.
    """
    slots = {(part, tag): slot for part, (_, known) in PARTS.items() for tag, slot in known.items()}
    found = {pair for pair, slot in slots.items() if slot == IGNORED}
    found |= {pair for one in returns for pair in one.raw.extras}
    read = {tag for (_, tag), slot in slots.items() if slot != IGNORED}
    odd = {oddity for one in returns for oddity in one.raw.oddities}
    known = {tag for _, tag in found} | {
        o.text for o in odd if o.check == "unknown-element" and o.where in PARTS
    }
    for one in further:
        refuse_extra(one.name, read=read, known=known, where="the returns")
    extras: dict[str, tuple[ExtraColumn, ...]] = {}
    for table in RAW:
        parts = [part for part, (of, _) in PARTS.items() if of == table]
        extras[table] = tuple(c for c in further if any((part, c.name) in found for part in parts))
        for one in extras[table]:
            refuse_name_of_contract(one.name, table)
    return extras


def _refuse_broken(raw: RawReturn, file: str, settings: CinCensusSettings) -> None:
    if settings.broken_files == "keep":
        return
    raise DataError(
        f"{file}, line {raw.broken_line}: the XML breaks off here ({raw.broken}). Mend the file, "
        'or set broken_files = "keep" to go on with the children before the break.'
    )


def _refuse_other_xml(raw: RawReturn, file: str) -> None:
    collection = raw.header.get("Collection", "CIN")
    if raw.root != "Message" or collection.upper() != "CIN":
        held = f"the collection '{collection}'" if raw.root == "Message" else f"<{raw.root}>"
        raise DataError(
            f"{file} is no children in need census return: it holds {held}, expected <Message> "
            "with the collection 'CIN'."
        )


def _year(raw: RawReturn, file: str, settings: CinCensusSettings) -> int:
    """Return the April-year: that of the reference date, else the year named less one."""
    given = raw.header.get("ReferenceDate", "")
    first, last = settings.earliest_event.year, settings.latest_return
    candidates: list[Callable[[], int]] = [
        lambda: april_year(dt.date.fromisoformat(given[:10])),
        lambda: int(raw.header.get("Year", "")) - 1,
        lambda: int(str(settings.return_year)),
    ]
    for candidate in candidates:
        try:
            year = candidate()
        except ValueError:
            continue
        if first <= year <= last:
            return year
    raise DataError(
        f"{file}: the header names no year between {first} and {last} (Header/CollectionDetails, "
        f"ReferenceDate '{given}', Year '{raw.header.get('Year', '')}'). Set 'return_year'."
    )


def _refuse_empty(returns: Sequence[Return], n_referrals: int) -> None:
    if n_referrals:
        return
    n = sum(r.raw.n_rows["referrals"] for r in returns)
    reason = "none has a date that can be read and is possible" if n else "the files hold no child"
    raise DataError(
        f"Of {n} referrals in {', '.join(r.file for r in returns[:SHOWN])}"
        f"{' and others' if len(returns) > SHOWN else ''} none is usable: {reason}. Dates are "
        "written yyyy-mm-dd; see the settings 'earliest_event' and 'days_after_return'."
    )


def _digest(raws: Sequence[RawReturn]) -> str:
    return hashlib.sha256("".join(raw.sha256 for raw in raws).encode()).hexdigest()


@hookimpl
def register_sources(register: Callable[[Source], None]) -> None:
    """Offer the source."""
    register(CinCensus())
