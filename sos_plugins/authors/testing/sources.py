"""What must hold for a source of records."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from sos_plugins.authors.testing.core import (
    Check,
    CheckFailedError,
    Given,
    NotApplicableError,
    check,
    checks_of,
    demand,
    demand_error,
    run_all,
    settings_of,
)
from sos_plugins.contract.interfaces import Source
from sos_plugins.contract.record_tables import RECORD_TABLES, TABLES
from sos_plugins.contract.session import Session
from sos_plugins.contract.types import QUALITY_COLUMNS, Records
from sos_plugins.errors import DataError, SosError
from sos_plugins.host.settings import validate

ACTIONS = ("kept", "set to missing", "merged", "mended", "dropped")


def check_source(
    source: Source,
    settings: Given = None,
    *,
    base: Path | None = None,
    unreadable: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Check that a source keeps its contract.

    Args:
        source: The plugin object.
        settings: Settings under which it finds something to read.
        base: Folder against which paths in the settings are resolved; this folder unless given.
        unreadable: Settings under which it must raise DataError: a missing file, a broken one ...

    Raises:
        CheckFailedError: Naming every check that fails, what must hold and what was found.
    """
    run_all(source_checks(source, settings, base=base, unreadable=unreadable))


def source_checks(
    source: Source,
    settings: Given = None,
    *,
    base: Path | None = None,
    unreadable: Sequence[Mapping[str, Any]] = (),
) -> list[Check]:
    """Return the checks of a source one by one, for ``pytest.mark.parametrize``.

    Args:
        source: The plugin object.
        settings: Settings under which it finds something to read.
        base: Folder against which paths in the settings are resolved; this folder unless given.
        unreadable: Settings under which it must raise DataError: a missing file, a broken one ...
    """
    return checks_of(SourceSubject(source, settings, base, tuple(unreadable)), CHECKS)


@dataclass
class SourceSubject:
    """A source under check; records are read when first needed.

    Attributes:
        plugin: The source.
        given: The settings under which it finds something to read.
        base: Folder against which paths in them are resolved.
        unreadable: Settings under which it must fail.
    """

    plugin: Source
    given: Given = None
    base: Path | None = None
    unreadable: tuple[Mapping[str, Any], ...] = ()
    kind: str = "source"

    @cached_property
    def session(self) -> Session:
        """Where the records are read to."""
        return Session(base=self.base or Path.cwd())

    @cached_property
    def settings(self) -> Any:
        """The validated settings."""
        return settings_of(self)

    def read(self) -> Records:
        """Read the records."""
        return self.plugin.read(self.settings, self.session)

    @cached_property
    def attempt(self) -> Records | Exception:
        """The records, read once, or why they could not be read."""
        try:
            return self.read()
        except NotApplicableError:
            raise
        except Exception as error:
            return error

    @property
    def records(self) -> Records:
        """The records.

        Raises:
            NotApplicableError: If they could not be read.
        """
        if isinstance(self.attempt, Exception):
            raise NotApplicableError(f"Nothing was read: {self.attempt}")
        return self.attempt

    @cached_property
    def frames(self) -> dict[str, pd.DataFrame]:
        """The tables in memory."""
        return {name: table.to_pandas() for name, table in self.records.tables.items()}


@check
def reads_its_input(subject: SourceSubject) -> None:
    """It reads what the settings name; without settings it may have nothing to read."""
    error = subject.attempt
    if isinstance(error, SosError) and subject.given is None:
        raise NotApplicableError(f"With its defaults it has nothing to read: {error}")
    demand(not isinstance(error, Exception), f"{type(error).__name__}: {error}")


@check
def gives_what_it_names(subject: SourceSubject) -> None:
    """It gives tables that it names in gives, and at least one row in all."""
    tables = subject.records.tables
    extra = sorted(set(tables) - set(subject.plugin.gives))
    demand(not extra, f"It gives the tables {extra}, which gives does not name.")
    unknown = sorted(set(subject.plugin.gives) - set(TABLES))
    demand(
        not unknown,
        f"gives names {unknown}; tables are those of sos_plugins.contract.record_tables.TABLES.",
    )
    demand(any(len(frame) for frame in subject.frames.values()), "There is not one row.")


@check
def keeps_the_schema(subject: SourceSubject) -> None:
    """Every table has the columns of its schema, in their types; 'cases' may have more."""
    for name, table in subject.records.tables.items():
        schema: pa.Schema = table.schema().to_pyarrow()
        for field in TABLES[name]:
            if field.name not in schema.names:
                raise CheckFailedError(f"Table '{name}' lacks the column '{field.name}'.")
            kind = schema.field(field.name).type
            demand(
                kind == field.type,
                f"Column '{field.name}' of table '{name}' is {kind}, expected {field.type}.",
            )


@check
def writes_missing_as_null(subject: SourceSubject) -> None:
    """A missing text is null, never empty or blank; the authority is always known."""
    for name, frame in subject.frames.items():
        for column in TABLES[name].names:
            values = frame[column]
            if pa.types.is_string(TABLES[name].field(column).type):
                blank = values.dropna().astype(str).str.strip() == ""
                demand(not blank.any(), f"Column '{column}' of '{name}' has empty texts.")
        demand(bool(frame["unit"].notna().all()), f"Table '{name}' has rows without a unit.")


@check
def gives_keys_once(subject: SourceSubject) -> None:
    """A child is one row of 'children'; a referral of a child on a day is one row."""
    for name, frame in subject.frames.items():
        key = list(RECORD_TABLES[name].key)
        if RECORD_TABLES[name].unique:
            twice = int(frame.duplicated(key).sum())
            demand(twice == 0, f"{twice} rows of '{name}' repeat the key {', '.join(key)}.")


@check
def counts_faults(subject: SourceSubject) -> None:
    """Quality has its columns; no check flags more rows than it saw."""
    checks = subject.records.quality.checks
    absent = [c for c in QUALITY_COLUMNS if c not in checks]
    demand(not absent, f"quality.checks lacks the columns {', '.join(absent)}.")
    if checks.empty:
        return
    demand(bool((checks["n_flagged"] <= checks["n"]).all()), "A check flags more rows than it saw.")
    demand(bool((checks["n_flagged"] >= 0).all()), "A check flags a negative number of rows.")
    other = sorted(set(checks["action"].dropna()) - set(ACTIONS))
    demand(not other, f"quality.checks has the actions {other}, expected {', '.join(ACTIONS)}.")


@check
def says_what_it_covers(subject: SourceSubject) -> None:
    """The first day covered is not after the last, and both or none are known."""
    start, end = subject.records.start, subject.records.end
    demand((start is None) == (end is None), f"The records cover {start} to {end}: give both days.")
    if start is not None and end is not None:
        plain = all(type(day) is dt.date for day in (start, end))
        demand(plain, "start and end must be datetime.date.")
        demand(start <= end, f"The records cover {start} to {end}.")


@check
def names_what_it_read(subject: SourceSubject) -> None:
    """Made-up records say so; others name their files. Both have a hash of their content."""
    records = subject.records
    demand(bool(records.data_hash), "data_hash is empty: a study could not say what it analysed.")
    demand(records.simulated or bool(records.files), "files is empty: name what was read.")


@check
def repeats_itself(subject: SourceSubject) -> None:
    """The same settings give the same records and the same hash."""
    first, again = subject.records, subject.read()
    demand(again.data_hash == first.data_hash, "A second reading has another data_hash.")
    for name, frame in subject.frames.items():
        other = again.table(name).to_pandas()
        hashes = [
            sorted(pd.util.hash_pandas_object(f.astype(str), index=False)) for f in (frame, other)
        ]
        demand(hashes[0] == hashes[1], f"A second reading gives other rows of '{name}'.")


@check
def refuses_what_it_cannot_read(subject: SourceSubject) -> None:
    """Files that are missing or broken are an error in a sentence."""
    if not subject.unreadable:
        raise NotApplicableError("No settings were given under which it must fail.")
    for values in subject.unreadable:
        settings = validate(subject.plugin.Settings, values, where=subject.plugin.name)
        demand_error(
            lambda s=settings: subject.plugin.read(s, subject.session),  # type: ignore[misc]
            DataError,
            f"the settings {dict(values)}",
        )


CHECKS: tuple[Callable[[Any], None], ...] = (
    reads_its_input,
    gives_what_it_names,
    keeps_the_schema,
    writes_missing_as_null,
    gives_keys_once,
    counts_faults,
    says_what_it_covers,
    names_what_it_read,
    repeats_itself,
    refuses_what_it_cannot_read,
)
