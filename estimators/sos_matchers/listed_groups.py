"""Matchers that take comparators from a list: statistical neighbours, or groups that are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd
from pydantic import Field

from sos_matchers.features import sides
from sos_matchers.summaries import DISTANCE_COLUMNS, Sentences, assemble
from sos_plugins import Engine, Matcher, Settings, UnitMatch, UnitTask
from sos_plugins.errors import DataError, DesignError, SettingsError, did_you_mean, listing
from sos_plugins.tables.small_tables import read_small_table
from sos_plugins.tables.unit_codes import KnownUnits


class NeighbourSettings(Settings):
    """Settings of ``statistical-neighbours``."""

    ratio: int = Field(2, ge=1, description="comparators for each pilot, at most")


class GivenSettings(Settings):
    """Settings of ``given-groups``."""

    groups: dict[str, tuple[str, ...]] | None = Field(
        None, description='comparators of each pilot: { "330" = ["331", "332"] }'
    )
    file: Path | None = Field(
        None, description="file with the columns pilot, comparator and perhaps outcome"
    )
    sheet: str | None = Field(
        None, description="sheet of a workbook; the only one with cells if none is named"
    )
    columns: dict[str, str] = Field(
        {}, description='columns that are called otherwise: { pilot = "Pilot LA" }'
    )


def match_neighbours(task: UnitTask, settings: NeighbourSettings) -> UnitMatch:
    """Give every pilot its nearest statistical neighbours that are in the pool.

    A neighbour may serve several pilots; its distance is its place in the published list.

    Raises:
        DesignError: If no source knows statistical neighbours, or there is no pool.
    """
    if not task.neighbours:
        raise DesignError(
            "Matcher 'statistical-neighbours': no source of the study knows statistical "
            "neighbours. Add the source 'published' with a file of neighbours, or choose another "
            "matcher."
        )
    _, pool, _ = sides(task, matcher="statistical-neighbours")
    rows, unmatched = [], {}
    for pilot in task.pilots:
        listed = task.neighbours.get(pilot.unit, ())
        usable = [(place, code) for place, code in enumerate(listed, 1) if code in set(pool)]
        for rank, (place, code) in enumerate(usable[: settings.ratio], 1):
            rows.append((pilot.unit, code, float(place), rank))
        if not listed:
            unmatched[pilot.unit] = "its statistical neighbours are not known"
        elif not usable:
            unmatched[pilot.unit] = f"none of its {len(listed)} neighbours is in the pool"
    first = (
        f"The comparators of each pilot are the first {settings.ratio} of its statistical "
        f"neighbours among {len(pool)} authorities; a neighbour may serve several pilots."
    )
    frame = pd.DataFrame(rows, columns=list(DISTANCE_COLUMNS))
    return assemble(task, frame, unmatched, Sentences(first, settings.ratio))


def match_whole_pool(task: UnitTask, settings: Settings) -> UnitMatch:  # noqa: ARG001
    """Give every pilot the whole pool: no matching, as in an unmatched comparison.

    Raises:
        DesignError: If there is no pool.
    """
    _, pool, _ = sides(task, matcher="whole-pool")
    rows = [
        (pilot.unit, code, float("nan"), rank)
        for pilot in task.pilots
        for rank, code in enumerate(sorted(pool), 1)
    ]
    frame = pd.DataFrame(rows, columns=list(DISTANCE_COLUMNS))
    words = Sentences(f"Every pilot is compared with all {len(pool)} authorities of the pool.")
    return assemble(task, frame, {}, words)


def match_given(task: UnitTask, settings: GivenSettings) -> UnitMatch:
    """Use matched groups that the user gives.

    Raises:
        SettingsError: If neither ``groups`` nor ``file`` is given, or both.
        DataError: If the file cannot be read, or lacks a column or a value.
        DesignError: If an authority is unknown, a pilot has no comparator, or a comparator is a
            pilot or named twice for one pilot.
    """
    groups, place = _given(settings, task.outcome)
    known = KnownUnits({*(p.unit for p in task.pilots), *task.pool, *task.left_out}, {})
    groups = _as_known(groups, known)
    _check(task, groups, f"Matcher 'given-groups': {place}")
    rows, unmatched = [], {}
    for pilot in task.pilots:
        usable = [code for code in groups[pilot.unit] if code not in task.left_out]
        rows += [(pilot.unit, code, float("nan"), n) for n, code in enumerate(usable, 1)]
        if not usable:
            unmatched[pilot.unit] = "none of the comparators given for it can be used"
    frame = pd.DataFrame(rows, columns=list(DISTANCE_COLUMNS))
    first = f"The matched groups were given by {place}."
    return assemble(task, frame, unmatched, Sentences(first, further=_notes(task, groups)))


def _given(settings: GivenSettings, outcome: str = "") -> tuple[dict[str, tuple[str, ...]], str]:
    """Return the groups as they are given, and where they stand."""
    if (settings.groups is None) == (settings.file is None):
        raise SettingsError(
            "Matcher 'given-groups': give the matched groups either as 'groups' or as 'file'."
        )
    if settings.groups is not None:
        return dict(settings.groups), "the setting 'groups'"
    path = Path(str(settings.file))
    groups = read_groups(path, outcome, sheet=settings.sheet, columns=settings.columns)
    return groups, f"the file {path.name}"


def _as_known(
    groups: Mapping[str, tuple[str, ...]], known: KnownUnits
) -> dict[str, tuple[str, ...]]:
    """Call authorities what those that are known are called."""
    return {
        known.find(pilot) or pilot: tuple(known.find(unit) or unit for unit in members)
        for pilot, members in groups.items()
    }


def _notes(task: UnitTask, groups: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Say what of the given groups is not used."""
    pilots = {p.unit for p in task.pilots}
    idle = [code for code in groups if code not in pilots]
    given = {code for pilot, members in groups.items() if pilot in pilots for code in members}
    notes = [f"The group given for {listing(idle)} was not used: it is no pilot here."] * bool(idle)
    for code in sorted(given & set(task.left_out)):
        notes.append(f"The comparator {code} was left out: {task.left_out[code]}.")
    return notes


def read_groups(
    path: Path,
    outcome: str = "",
    *,
    sheet: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> dict[str, tuple[str, ...]]:
    """Read pilots and comparators from a file.

    Args:
        path: File with the columns ``pilot``, ``comparator`` and, where groups differ by outcome,
            ``outcome`` (empty: for all outcomes).
        outcome: Name of the outcome; rows of other outcomes are left out.
        sheet: Sheet of a workbook.
        columns: What the file calls its columns, where that is something else.

    Raises:
        DataError: If the file cannot be read, lacks a column, or has a row without a value.
    """
    path = path.expanduser()
    where = f"Matcher 'given-groups': the file {path}"
    if not path.exists():
        raise DataError(f"{where} does not exist.")
    try:
        table = read_small_table(path, names=("pilot", "comparator"), sheet=sheet, columns=columns)
    except DataError as error:
        raise DataError(f"{where} cannot be read: {error}") from None
    table.columns = [str(c).strip().lower() for c in table.columns]
    absent = [c for c in ("pilot", "comparator") if c not in table]
    if absent:
        raise DataError(
            f"{where} lacks the column {listing(absent)}; expected pilot, comparator and perhaps "
            f"outcome, found {listing(table.columns)}."
        )
    table = table.apply(lambda column: column.str.strip())
    for column in ("pilot", "comparator"):
        if (table[column] == "").any():
            line = table.index[table[column] == ""][0]
            raise DataError(f"{where}, row {line}: the column {column} is empty.")
    if "outcome" in table and outcome:
        table = table[table["outcome"].isin(["", outcome])]
    return {
        str(pilot): tuple(part["comparator"]) for pilot, part in table.groupby("pilot", sort=False)
    }


def _check(task: UnitTask, groups: Mapping[str, tuple[str, ...]], where: str) -> None:
    """Raise for the first fault in given groups."""
    pilots, pool = [p.unit for p in task.pilots], task.pool
    known = {*pilots, *pool, *task.left_out}
    _refuse_pilots_as_comparators(groups, pilots, where)
    for pilot, members in groups.items():
        for code in members if pilot in pilots else ():
            if code not in known:
                raise DesignError(
                    f"{where} names the authority '{code}' as a comparator of pilot {pilot}, but "
                    "it is not in the pool or has no cases in some period before the first "
                    f"window.{did_you_mean(code, pool)} Pool: {listing(pool)}."
                )
        if pilot in pilots and len(set(members)) < len(members):
            twice = listing({code for code in members if members.count(code) > 1})
            raise DesignError(f"{where} names {twice} more than once for pilot {pilot}.")
    _refuse_without(groups, pilots, where)


def _refuse_pilots_as_comparators(
    groups: Mapping[str, tuple[str, ...]], pilots: Sequence[str], where: str
) -> None:
    for pilot, members in groups.items():
        for code in members if pilot in pilots else ():
            if code in pilots:
                raise DesignError(
                    f"{where} names {code} as a comparator of pilot {pilot}, but {code} is itself "
                    "a pilot."
                )


def _refuse_without(
    groups: Mapping[str, tuple[str, ...]], pilots: Sequence[str], where: str
) -> None:
    without = [pilot for pilot in pilots if not groups.get(pilot)]
    if without:
        near = "".join(did_you_mean(p, [g for g in groups if g not in pilots]) for p in without)
        raise DesignError(
            f"{where} gives no comparator for pilot {listing(without)}.{near} Add one, or take the "
            f"pilot out of the design. Groups are given for {listing(groups)}."
        )


class StatisticalNeighbours(Matcher):
    """The nearest statistical neighbours in the pool."""

    name: ClassVar[str] = "statistical-neighbours"
    label: ClassVar[str] = "Authorities: the first statistical neighbours in the pool"
    short_label: ClassVar[str] = "statistical neighbours"
    level: ClassVar[Literal["units", "cases"]] = "units"
    Settings: ClassVar[type[Settings]] = NeighbourSettings
    citation: ClassVar[str] = (
        "Department for Education, children's services statistical neighbour benchmarking tool"
    )
    engines: ClassVar[tuple[Engine, ...]] = (Engine("python", match_neighbours),)


class WholePool(Matcher):
    """Compares every pilot with all authorities of the pool."""

    name: ClassVar[str] = "whole-pool"
    label: ClassVar[str] = "Authorities: the whole pool, without matching"
    short_label: ClassVar[str] = "the whole pool"
    level: ClassVar[Literal["units", "cases"]] = "units"
    engines: ClassVar[tuple[Engine, ...]] = (Engine("python", match_whole_pool),)


class GivenGroups(Matcher):
    """Matched groups that the user gives."""

    name: ClassVar[str] = "given-groups"
    label: ClassVar[str] = "Authorities: a list of matched groups that is given"
    short_label: ClassVar[str] = "a given list"
    level: ClassVar[Literal["units", "cases"]] = "units"
    Settings: ClassVar[type[Settings]] = GivenSettings
    engines: ClassVar[tuple[Engine, ...]] = (Engine("python", match_given),)

    def refuse_contradictions(self, settings: GivenSettings, pilots: Sequence[str]) -> None:
        """Refuse groups without a pilot of the design, and comparators that are pilots.

        Raises:
            SettingsError: If neither ``groups`` nor ``file`` is given, or both.
            DataError: If the file cannot be read, or lacks a column or a value.
            DesignError: If a pilot has no comparator, or a comparator is a pilot.
        """
        groups, place = _given(settings)
        groups = _as_known(groups, KnownUnits(pilots, {}))
        where = f"Matcher 'given-groups': {place}"
        _refuse_pilots_as_comparators(groups, pilots, where)
        _refuse_without(groups, pilots, where)
