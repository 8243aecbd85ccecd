"""A user's own table of cases as the record table ``cases``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import ClassVar, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from sos_plugins import Records, Session, Settings, Source, hookimpl
from sos_plugins.backends import scratch_database
from sos_plugins.contract.columns import CASE_COLUMNS, SAMPLE_COLUMNS
from sos_plugins.errors import DataError, did_you_mean, listing
from sos_plugins.groundwork.names_alike import refuse_alike
from sos_plugins.tables.file_columns import (
    KINDS,
    Columns,
    read_columns,
    read_names,
    refuse_no_table,
)
from sos_plugins.tables.period_columns import read_cohorts, read_periods
from sos_plugins.tables.row_accounts import account
from sos_plugins.tables.unit_codes import CODES_HELP, Codes, units_of
from sos_plugins.tables.written_dates import DATES_HELP, DateOrder
from sos_sources.paths import shown
from sos_sources.sql.sql_checks import SqlCheck, line_breaks, profile
from sos_sources.sql.sql_columns import missing

KEYS = ("unit", "period", "value")
ROLES = ("cohort", "id", "weight", "cluster", "child", "date", "follow_up_end")
"""Settings that name a column with a role, besides those of :data:`KEYS`."""
MOST_FURTHER = 200
"""Further columns that are covariates without being named."""
RESERVED = frozenset((*CASE_COLUMNS, *SAMPLE_COLUMNS))


class TidySettings(Settings):
    """Which file, and which column is what."""

    path: str = Field(description=f"File of {KINDS}, relative to the study.")
    sheet: str | None = Field(
        None, description="Sheet of a workbook; the only one with cells if none is named."
    )
    unit: str = Field("unit", description="Column of the authority; kept as text, zeros and all.")
    period: str = Field(
        "period", description="Column of the period, a whole number or a year such as 2014/15."
    )
    value: str = Field("value", description="Column of the outcome, a number.")
    cohort: str | None = Field(
        None,
        description="Column of the first treated period of the authority, written as the periods; "
        "empty or 0 for never.",
    )
    id: str | None = Field(None, description="Column that identifies the observed unit of a panel.")
    weight: str | None = Field(None, description="Column of weights.")
    cluster: str | None = Field(None, description="Column that standard errors are clustered by.")
    child: str | None = Field(None, description="Column of the child's identifier.")
    date: str | None = Field(None, description="Column of the date of the case.")
    follow_up_end: str | None = Field(
        None, description="Column of the date by which the value is known."
    )
    covariates: tuple[str, ...] | None = Field(
        None,
        description="Columns of covariates; none given means every further column, or none where "
        f"there are more than {MOST_FURTHER}.",
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Name in the study -> column of the file, as the file has it: of unit, period "
        'and the other roles, { unit = "LA code", period = "Year" }, and of covariates whose own '
        "name means something else here, such as weight.",
    )
    dates: DateOrder = Field("auto", description=DATES_HELP)
    codes: Codes = Field("as-written", description=CODES_HELP)
    missing: tuple[str, ...] = Field(
        (),
        description="Texts that stand for a missing value in any column, besides empty cells, NA "
        "without quotation marks and, among numbers, the usual ones.",
    )
    start: dt.date | None = Field(None, description="First day that the cases cover.")
    end: dt.date | None = Field(None, description="Last day that the cases cover.")
    examples: int = Field(20, ge=0, description="How many places of each fault are listed.")

    @model_validator(mode="after")
    def _one_name_a_role(self) -> Self:
        """Refuse a role that ``columns`` and a setting of its own give different columns."""
        for role in (*KEYS, *ROLES):
            own, given = getattr(self, role), self.columns.get(role, "")
            if given and role in self.model_fields_set and own != given:
                raise ValueError(
                    f"columns calls the column '{given}' {role}, and {role} = \"{own}\" names "
                    "another; leave one of them"
                )
        return self

    def column(self, role: str) -> str | None:
        """Return the column of the file that has a role; None if none has."""
        return self.columns.get(role) or getattr(self, role)

    @property
    def renamed(self) -> dict[str, str]:
        """Other names of covariates."""
        return {n: column for n, column in self.columns.items() if n not in (*KEYS, *ROLES)}


class Tidy(Source):
    """Reads a table with one row a case (or an authority and period)."""

    name: ClassVar[str] = "tidy"
    label: ClassVar[str] = "A table of the user's own, one row a case"
    Settings: ClassVar[type[Settings]] = TidySettings
    citation: ClassVar[str] = "Wickham (2014), Tidy data, Journal of Statistical Software 59(10)"
    gives: ClassVar[tuple[str, ...]] = ("cases",)

    def read(self, settings: TidySettings, session: Session) -> Records:
        """Read the table.

        Rows without an authority or a period are dropped; rows without a value stay, so that an
        outcome can say which share of the cases could be judged. Both are counted.

        Raises:
            DataError: If the file or a column is missing, a cell is of the wrong type (the message
                names its line), or no row is left.
        """
        path = session.path(settings.path)
        unit, period = settings.column("unit"), settings.column("period")
        refuse_no_table(path, {str(settings.column(key)) for key in KEYS})
        covariates, notes = _covariates(read_names(path, settings.sheet), settings)
        columns = read_columns(
            path,
            used={*_roles(settings).values(), *covariates},
            missing=settings.missing,
            sheet=settings.sheet,
            dates=settings.dates,
        )
        table = _typed(columns, settings, covariates)
        with scratch_database(session.backend) as con:
            con.register("typed", _located(table, columns, shown(path, session)))
            quality = profile(
                con, "typed", _checks(table), source=self.name, examples=settings.examples
            )
        if columns.text is not None:
            quality += line_breaks(columns.text, source=self.name, file=shown(path, session))
        cases = table.filter(pc.and_(pc.is_valid(table["unit"]), pc.is_valid(table["period"])))
        if cases.num_rows == 0:
            raise DataError(
                f"{path}: no row has both an authority ('{unit}') and a period ('{period}')."
            )
        return Records(
            tables={"cases": session.table(cases, "cases")},
            quality=quality
            + account(
                quality,
                source=self.name,
                table="cases",
                n_read=table.num_rows,
                n_given=cases.num_rows,
            ),
            start=settings.start,
            end=settings.end,
            files=(shown(path, session),),
            data_hash=columns.sha256,
            notes=(*columns.notes(), *notes),
        )


def _roles(settings: TidySettings) -> dict[str, str]:
    """Return the columns of the file that have a role, by role."""
    named = {role: settings.column(role) for role in (*KEYS, *ROLES)}
    return {role: name for role, name in named.items() if name is not None}


def _typed(columns: Columns, settings: TidySettings, covariates: Sequence[str]) -> pa.Table:
    """Return the columns under the names of the record table ``cases``, then covariates."""
    roles = _roles(settings)
    periods = read_periods(columns, roles["period"])
    made: dict[str, pa.Array] = {
        "unit": units_of(columns, roles["unit"], settings.codes),
        "period": pa.array(periods.values, from_pandas=True).cast(pa.int64()),
        "value": _number(columns, roles["value"]),
    }
    makers: dict[str, Callable[[Columns, str], pa.Array]] = {
        "cohort": lambda columns, name: pa.array(read_cohorts(columns, name, periods)),
        "id": Columns.texts,
        "weight": _weight,
        "cluster": Columns.texts,
        "child": Columns.texts,
        "date": Columns.days,
        "follow_up_end": Columns.days,
    }
    for role, make in makers.items():
        if role in roles:
            made[role] = make(columns, roles[role])
    labels = _labels(columns, settings, covariates)
    refuse_alike(labels.values(), {*made, *CASE_COLUMNS}, where=str(columns.path))
    for name, label in labels.items():
        if label in made or label in RESERVED:
            kind = "further column" if settings.covariates is None else "covariate"
            raise DataError(
                f"{columns.path}: the {kind} '{label}' has a name that means something else here. "
                f"{_mend(name, settings)}"
            )
        made[label] = _covariate(columns, name)
    return pa.table(made)


def _labels(columns: Columns, settings: TidySettings, covariates: Sequence[str]) -> dict[str, str]:
    """Return the covariates by their column of the file, under the names of the study.

    Raises:
        DataError: If another name is given to a column that is no covariate, or twice to one.
    """
    given = settings.renamed
    for label, name in given.items():
        if name not in covariates:
            raise DataError(
                f"{columns.path}: the setting 'columns' calls the column '{name}' '{label}', but "
                f"'{name}' is no covariate.{did_you_mean(name, covariates)} "
                f"Covariates: {listing(covariates)}."
            )
    sources = list(given.values())
    twice = next((name for name in sources if sources.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{columns.path}: the setting 'columns' gives '{twice}' two names.")
    named = {name: label for label, name in given.items()}
    return {name: named.get(name, name) for name in covariates}


def _mend(name: str, settings: TidySettings) -> str:
    """Say what to do about a covariate whose name means something else among cases."""
    other = f'Give it another name in the study (columns = {{ own_{name} = "{name}" }})'
    if settings.covariates is not None:
        return f"{other}, or rename the column in the file."
    free = name in ROLES and settings.column(name) is None
    role = f", name it in the setting '{name}'" if free else ""
    return f"{other}{role}, rename the column in the file, or list 'covariates' without it."


def _covariates(
    names: Sequence[str], settings: TidySettings
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the covariates among the columns of the file, and what to say about the others."""
    if settings.covariates is not None:
        return tuple(dict.fromkeys(settings.covariates)), ()
    used = {*_roles(settings).values()}
    further = tuple(name for name in names if name and name not in used)
    if len(further) <= MOST_FURTHER:
        return further, ()
    return (), (
        f"{settings.path}: none of its {len(further):,} further columns was read. Name those that "
        "are covariates in the setting 'covariates' of the source.",
    )


def _covariate(columns: Columns, name: str) -> pa.Array:
    series = columns.covariate(name)
    return pa.Array.from_pandas(series, type=pa.string() if series.dtype == object else None)


def _number(columns: Columns, name: str) -> pa.Array:
    return pa.array(columns.numbers(name), from_pandas=True)


def _weight(columns: Columns, name: str) -> pa.Array:
    return pa.array(columns.weights(name))


def _located(table: pa.Table, columns: Columns, file: str) -> pa.Table:
    places = {"line": pa.array(columns.line_numbers()), "file": pa.array([file] * table.num_rows)}
    names = [f"c{i}" for i in range(len(KEYS), table.num_columns)]
    plain = table.rename_columns([*KEYS, *names])
    for name, array in places.items():
        plain = plain.append_column(name, array)
    return plain


def _checks(table: pa.Table) -> tuple[SqlCheck, ...]:
    further = tuple(
        SqlCheck("cases", name, "missing", f"c{i} IS NULL")
        for i, name in enumerate(table.column_names)
        if i >= len(KEYS)
    )
    return (
        missing("cases", "unit", action="dropped"),
        missing("cases", "period", looked_at="unit IS NOT NULL", action="dropped"),
        missing("cases", "value"),
        *further,
    )


@hookimpl
def register_sources(register: Callable[[Source], None]) -> None:
    """Offer the source."""
    register(Tidy())
