"""What must hold for an outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
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
from sos_plugins.authors.testing.earlier import records_as_known
from sos_plugins.authors.testing.examples import example_records
from sos_plugins.contract.columns import CASE_COLUMNS
from sos_plugins.contract.interfaces import Outcome
from sos_plugins.contract.session import Session
from sos_plugins.contract.types import Cases, Records
from sos_plugins.errors import DataError
from sos_plugins.host.settings import validate

ATTRITION = ("step", "reason", "n_before", "n_dropped", "n_after")
CASE_KEY = ["unit", "child", "date"]
"""What a case is known by in two derivations."""
CUT_AT = (0.1, 0.5, 0.9)
"""Shares of the cases after whose follow-up the records are cut; each costs a derivation."""
COMPLETENESS = ("unit", "period", "n_candidates", "n_usable")


def check_outcome(outcome: Outcome, records: Records | None = None, settings: Given = None) -> None:
    """Check that an outcome keeps its contract.

    Args:
        outcome: The plugin object.
        records: Records in which the outcome has cases; those of :func:`example_records` unless
            given.
        settings: Settings by name, or an object; the defaults unless given.

    Raises:
        CheckFailedError: Naming every check that fails, what must hold and what was found.
    """
    subject = OutcomeSubject(outcome, records, settings)
    run_all(checks_of(subject, CHECKS))
    demand(
        subject.problem is None,
        f"It has no cases in these records ({subject.problem}), so little could be checked. "
        "Give records in which it has some: check_outcome(outcome, records=...).",
    )


def outcome_checks(
    outcome: Outcome, records: Records | None = None, settings: Given = None
) -> list[Check]:
    """Return the checks of an outcome one by one, for ``pytest.mark.parametrize``.

    >>> from sos_plugins.authors import testing
    >>> def test_contract(check):  # parametrised with ids=str
    ...     check()

    Args:
        outcome: The plugin object.
        records: Records in which it has cases; those of :func:`example_records` unless given.
        settings: Settings by name, or an object; the defaults unless given.
    """
    return checks_of(OutcomeSubject(outcome, records, settings), CHECKS)


@dataclass
class OutcomeSubject:
    """An outcome under check; records are made and cases derived when first needed.

    Attributes:
        plugin: The outcome.
        given: The settings that its author gave.
    """

    plugin: Outcome
    _records: Records | None = None
    given: Given = None
    kind: str = "outcome"

    @cached_property
    def session(self) -> Session:
        """Where cases are derived."""
        if self._records is None:
            return Session()
        table = next(iter(self._records.tables.values()))
        return Session(backend=table.get_backend())

    @cached_property
    def records(self) -> Records:
        """The records that were given, or the examples."""
        return self._records if self._records is not None else example_records(self.session)

    @cached_property
    def settings(self) -> Any:
        """The validated settings."""
        return settings_of(self)

    def derive(self, records: Records, settings: Any = None) -> Cases:
        """Derive the cases of other records or settings.

        Args:
            records: The records, on the backend of the subject.
            settings: The validated settings; the subject's own unless given.

        Raises:
            DataError: If a table is missing, or no case is left.
        """
        return self.plugin.derive(records, settings or self.settings, self.session)

    @cached_property
    def before(self) -> Mapping[str, Any]:
        """What was in the records before anything was derived from them."""
        return {name: _content(table) for name, table in self.records.tables.items()}

    @cached_property
    def _attempt(self) -> Cases | DataError:
        _ = self.before
        try:
            return self.derive(self.records)
        except DataError as error:
            return error

    @property
    def problem(self) -> str | None:
        """Why there are no cases in these records, or None."""
        try:
            return str(self._attempt) if isinstance(self._attempt, DataError) else None
        except NotApplicableError as reason:
            return str(reason)

    @property
    def cases(self) -> Cases:
        """The cases in these records.

        Raises:
            NotApplicableError: If there are none.
        """
        if isinstance(self._attempt, DataError):
            raise NotApplicableError(f"It has no cases in these records: {self._attempt}")
        return self._attempt

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The cases in memory."""
        return self.cases.frame


@check
def describes_itself(subject: OutcomeSubject) -> None:
    """info() gives the plugin's name, a label, a phrase and a measure for every page."""
    info = subject.plugin.info(subject.settings)
    demand(
        info.name == subject.plugin.name,
        f"info().name is '{info.name}', but the plugin is named '{subject.plugin.name}'.",
    )
    for field in ("label", "phrase", "measure"):
        demand(bool(getattr(info, field)), f"info().{field} is empty.")
    directions = ("increase", "decrease", "unclear")
    demand(
        info.expected in directions,
        f"info().expected is '{info.expected}', expected one of {', '.join(directions)}.",
    )


@check
def offers_definitions_that_work(subject: OutcomeSubject) -> None:
    """Every other definition is made of settings that exist, and gives cases."""
    values = subject.settings.model_dump()
    for name, changes in subject.plugin.definitions.items():
        settings = validate(
            subject.plugin.Settings, {**values, **changes}, where=f"definition '{name}'"
        )
        if subject.problem is None:
            demand(
                len(subject.derive(subject.records, settings).frame) > 0,
                f"The definition '{name}' gives no cases.",
            )


@check
def names_a_missing_table(subject: OutcomeSubject) -> None:
    """Without a table that it needs, the error names the table."""
    demand(bool(subject.plugin.needs), "The attribute needs names no table.")
    settings = subject.settings
    for name in subject.plugin.reads(settings):
        rest = {k: v for k, v in subject.records.tables.items() if k != name}
        without = replace(subject.records, tables=rest)
        error = demand_error(
            lambda less=without: subject.derive(less, settings),  # type: ignore[misc]
            DataError,
            f"records that lack the table '{name}'",
        )
        demand(name in str(error), f"The error does not name the table '{name}': {error}")


@check
def refuses_empty_records(subject: OutcomeSubject) -> None:
    """Tables without rows are an error in a sentence, not an empty result."""
    empty = {name: table.limit(0) for name, table in subject.records.tables.items()}
    records = replace(subject.records, tables=empty)
    settings = subject.settings
    demand_error(lambda: subject.derive(records, settings).frame, DataError, "empty tables")


@check
def gives_the_columns_of_cases(subject: OutcomeSubject) -> None:
    """Cases have the contract's columns, in their types, and at least one row."""
    frame = subject.frame
    demand(len(frame) > 0, "There are no cases; raise DataError that says at which step.")
    absent = [c for c in CASE_COLUMNS if c not in frame]
    demand(not absent, f"The cases lack the columns {', '.join(absent)}.")
    text = frame["unit"].map(lambda v: isinstance(v, str) and bool(v)).all()
    demand(bool(text), "Column 'unit' must be text, never missing or empty.")
    whole = pd.api.types.is_integer_dtype(frame["period"])
    demand(whole, f"Column 'period' must be whole numbers, and is {frame['period'].dtype}.")


@check
def gives_finite_values(subject: OutcomeSubject) -> None:
    """Every case has a value, a finite number."""
    values = subject.frame["value"]
    demand(pd.api.types.is_numeric_dtype(values), f"Column 'value' is {values.dtype}.")
    bad = int((~np.isfinite(values.astype(float))).sum())
    demand(
        bad == 0,
        f"{bad} of {len(values)} cases have no finite value; drop them in a step of their own.",
    )


@check
def gives_zero_or_one_if_binary(subject: OutcomeSubject) -> None:
    """A binary outcome has the values 0 and 1 only."""
    if not subject.cases.info.binary:
        raise NotApplicableError("The outcome is not binary.")
    other = sorted(set(subject.frame["value"]) - {0.0, 1.0})
    demand(not other, f"info().binary is true, but there are the values {other[:5]}.")


@check
def dates_cases_in_order(subject: OutcomeSubject) -> None:
    """A case enters before its follow-up ends; either both dates are known or none."""
    frame = subject.frame
    odd = int((frame["date"].isna() != frame["follow_up_end"].isna()).sum())
    demand(odd == 0, f"{odd} cases have only one of date and follow_up_end.")
    late = int((frame["follow_up_end"] < frame["date"]).sum())
    demand(late == 0, f"{late} cases have a follow_up_end before their date.")


@check
def counts_periods_from_april(subject: OutcomeSubject) -> None:
    """The period of a dated case is its April-year: 2010 for April 2010 to March 2011."""
    dated = subject.frame.dropna(subset=["date"])
    if dated.empty:
        raise NotApplicableError("Its cases have no dates.")
    years = dated["date"].dt.year - (dated["date"].dt.month < 4)
    wrong = dated[years != dated["period"]]
    if len(wrong):
        row, year = wrong.iloc[0], int(years[wrong.index[0]])
        raise CheckFailedError(
            f"A case of {row['date'].date()} has the period {row['period']}, expected {year}: "
            "derive.april_year(date)."
        )


@check
def stays_within_the_records(subject: OutcomeSubject) -> None:
    """No case is followed up beyond the last day of the records: its value is not known yet."""
    end = subject.records.end
    if end is None or subject.frame["follow_up_end"].isna().all():
        raise NotApplicableError("The records have no last day, or the cases no dates.")
    late = int((subject.frame["follow_up_end"] > pd.Timestamp(end)).sum())
    demand(late == 0, f"{late} cases are followed up beyond {end}, where the records end.")


@check
def knows_its_values_when_follow_up_ends(subject: OutcomeSubject) -> None:
    """Records cut at follow_up_end hold the case already, with the same value."""
    frame = subject.frame
    ends = frame["follow_up_end"].dropna().sort_values(ignore_index=True)
    if ends.empty:
        raise NotApplicableError("Its cases have no dates.")
    for share in CUT_AT:
        day = ends.iloc[int(share * (len(ends) - 1))]
        then = _values_then(subject, day)
        known = frame[frame["follow_up_end"] <= day]
        now = known.groupby(CASE_KEY, dropna=False)["value"].agg(sorted)
        for key, values in now.items():
            known_then = then.get(key, [])
            demand(
                not set(values) - set(known_then) and len(known_then) == len(values),
                f"A case of {pd.Timestamp(key[2]).date()} has the value {values[0]:g} and is "
                f"followed up until {day.date()} at the latest, but from records that end then its "
                f"value is {', '.join(f'{v:g}' for v in known_then) or 'unknown: it is no case'}. "
                "follow_up_end must be the day from which the value cannot change any more.",
            )


def _values_then(subject: OutcomeSubject, day: pd.Timestamp) -> dict[Any, list[float]]:
    """Return the values of cases by their key, from records as known on a day."""
    cut = records_as_known(subject.records, day.date())
    settings = subject.settings
    if getattr(settings, "data_end", None) is not None:
        settings = settings.model_copy(update={"data_end": day.date()})
    try:
        frame = subject.derive(cut, settings).frame
    except DataError:
        return {}
    return dict(frame.groupby(CASE_KEY, dropna=False)["value"].agg(sorted))


@check
def counts_what_it_drops(subject: OutcomeSubject) -> None:
    """The attrition adds up, step by step, from the candidates to the cases."""
    steps = subject.cases.attrition
    absent = [c for c in ATTRITION if c not in steps]
    demand(not absent, f"The attrition lacks the columns {', '.join(absent)}.")
    demand(len(steps) > 0, "The attrition has no step; see derive.Attrition.")
    off = steps[steps["n_before"] - steps["n_dropped"] != steps["n_after"]]
    demand(off.empty, f"n_before - n_dropped is not n_after at the steps {list(off['step'])}.")
    demand(bool((steps["n_dropped"] >= 0).all()), "A step drops a negative number of records.")
    chained = (steps["n_before"].iloc[1:].to_numpy() == steps["n_after"].iloc[:-1].to_numpy()).all()
    demand(bool(chained), "A step does not start with what the step before it left.")
    last = int(steps["n_after"].iloc[-1])
    demand(
        last == len(subject.frame),
        f"The last step leaves {last} records, but there are {len(subject.frame)} cases.",
    )
    silent = steps[steps["reason"].astype(str).str.strip() == ""]
    demand(silent.empty, f"The steps {list(silent['step'])} give no reason.")


@check
def counts_what_it_can_judge(subject: OutcomeSubject) -> None:
    """Completeness has a row for every authority and period with cases, none counted twice."""
    complete = subject.cases.completeness
    absent = [c for c in COMPLETENESS if c not in complete]
    demand(not absent, f"The completeness lacks the columns {', '.join(absent)}.")
    demand(not complete.duplicated(["unit", "period"]).any(), "A unit and period stand twice.")
    wrong = (complete["n_usable"] > complete["n_candidates"]) | (complete["n_usable"] < 0)
    demand(not wrong.any(), "n_usable must lie between 0 and n_candidates.")
    usable = int(complete["n_usable"].sum())
    demand(
        usable >= len(subject.frame),
        f"There are {len(subject.frame)} cases, but n_usable adds up to {usable} only.",
    )
    known = set(zip(complete["unit"], complete["period"], strict=True))
    cases = set(zip(subject.frame["unit"], subject.frame["period"], strict=True))
    demand(
        cases <= known,
        f"Cases of {sorted(cases - known)[:3]} have no row in the completeness.",
    )


@check
def gives_complete_covariates(subject: OutcomeSubject) -> None:
    """Covariates are numbers, text or true/false without gaps; text has the level 'Missing'."""
    for name in subject.cases.covariates:
        values = subject.frame[name]
        gaps = int(values.isna().sum())
        demand(
            gaps == 0,
            f"The covariate '{name}' is missing in {gaps} cases; give text the level 'Missing'.",
        )
        kinds = (pd.api.types.is_numeric_dtype, pd.api.types.is_string_dtype)
        demand(
            any(kind(values) for kind in kinds),
            f"The covariate '{name}' is {values.dtype}, expected numbers, text or true/false.",
        )


@check
def keeps_its_settings(subject: OutcomeSubject) -> None:
    """The cases say with which settings they were derived."""
    expected = subject.settings.model_dump()
    demand(
        dict(subject.cases.settings) == expected,
        "Give Cases(settings=settings.model_dump()).",
    )


@check
def repeats_itself(subject: OutcomeSubject) -> None:
    """The same records and settings give the same cases."""
    _demand_same(subject.frame, subject.derive(subject.records).frame, "a second derivation")


@check
def ignores_the_order_of_rows(subject: OutcomeSubject) -> None:
    """Records in another order give the same cases."""
    rng = np.random.default_rng(1)

    def shuffle(table: pa.Table) -> pa.Table:
        return table.take(rng.permutation(table.num_rows))

    other = subject.derive(_rebuilt(subject, shuffle))
    _demand_same(subject.frame, other.frame, "records in another order")


@check
def takes_codes_as_names(subject: OutcomeSubject) -> None:
    """An authority's code and a child's identifier are names: others give the same cases."""

    def rename(table: pa.Table) -> pa.Table:
        for column, letter in (("unit", "U"), ("neighbour", "U"), ("child", "K"), ("id", "U")):
            if column in table.column_names and pa.types.is_string(table[column].type):
                named = [None if v is None else f"{letter}{v}" for v in table[column].to_pylist()]
                place = table.column_names.index(column)
                table = table.set_column(place, column, pa.array(named, pa.string()))
        return table

    other = subject.derive(_rebuilt(subject, rename)).frame
    columns = [c for c in subject.frame.columns if c not in ("child", "unit", "id", "cluster")]
    mine = subject.frame.assign(unit="U" + subject.frame["unit"])
    _demand_same(
        mine[["unit", *columns]].sort_values(["unit", *columns], ignore_index=True),
        other[["unit", *columns]].sort_values(["unit", *columns], ignore_index=True),
        "other codes and identifiers",
    )


@check
def leaves_the_records_alone(subject: OutcomeSubject) -> None:
    """Deriving cases changes no record."""
    _ = subject.frame
    after = {name: _content(table) for name, table in subject.records.tables.items()}
    changed = [name for name, content in subject.before.items() if content != after.get(name)]
    demand(not changed and set(subject.before) == set(after), f"The tables {changed} changed.")


def _content(table: Any) -> tuple[tuple[str, ...], int]:
    rows = table.to_pandas()
    hashed = pd.util.hash_pandas_object(rows.astype(str), index=False).to_numpy()
    return tuple(rows.columns), int(hashed.sum())


def _rebuilt(subject: OutcomeSubject, change: Callable[[pa.Table], pa.Table]) -> Records:
    _ = subject.cases
    tables: Mapping[str, Any] = {
        name: subject.session.table(change(table.to_pyarrow()), name)
        for name, table in subject.records.tables.items()
    }
    return replace(subject.records, tables=tables)


def _demand_same(mine: pd.DataFrame, other: pd.DataFrame, situation: str) -> None:
    demand(
        len(mine) == len(other),
        f"There are {len(mine)} cases, but {len(other)} with {situation}.",
    )
    for column in mine.columns:
        same = (mine[column] == other[column]) | (mine[column].isna() & other[column].isna())
        demand(
            bool(same.all()),
            f"Column '{column}' differs in {int((~same).sum())} of {len(mine)} cases with "
            f"{situation}. Where several records fit, choose by their content.",
        )


CHECKS: tuple[Callable[[Any], None], ...] = (
    describes_itself,
    offers_definitions_that_work,
    names_a_missing_table,
    refuses_empty_records,
    gives_the_columns_of_cases,
    gives_finite_values,
    gives_zero_or_one_if_binary,
    dates_cases_in_order,
    counts_periods_from_april,
    stays_within_the_records,
    knows_its_values_when_follow_up_ends,
    counts_what_it_drops,
    counts_what_it_can_judge,
    gives_complete_covariates,
    keeps_its_settings,
    repeats_itself,
    ignores_the_order_of_rows,
    takes_codes_as_names,
    leaves_the_records_alone,
)
