"""What travels down the line: source -> records -> cases -> sample -> estimates -> rating.

All are frozen dataclasses. Frames inside them are treated as immutable: a station returns a new
object, it never writes into the one it was given.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import PurePath
from typing import Any, Literal

import ibis
import numpy as np
import pandas as pd

from sos_plugins.contract.columns import (
    CASE_COLUMNS,
    RESERVED_COLUMNS,
    ROLE_COLUMNS,
    TABLES,
    TIDY_COLUMNS,
)
from sos_plugins.contract.factorize import categories
from sos_plugins.errors import DataError, DesignError, listing

Expected = Literal["increase", "decrease", "unclear"]

QUALITY_COLUMNS = (
    "source",
    "table",
    "column",
    "check",
    "unit",
    "period",
    "n",
    "n_flagged",
    "action",
)
EXAMPLE_COLUMNS = ("source", "table", "column", "check", "unit", "file", "line", "text")


@dataclass(frozen=True)
class QualityProfile:
    """What is wrong with a source, counted.

    ``checks`` has one row a check with the columns of :data:`QUALITY_COLUMNS`: ``check`` is one of
    ``missing``, ``duplicate``, ``impossible-date``, ``out-of-order``, ``unknown-code``,
    ``unreadable``, ``conflict``, ``unknown-element``, ``missing-return`` (an authority has no
    return for a year that others cover), ``suppressed`` (a published figure is a symbol) or, no
    faults but counted all the same, ``recurrence`` (the row stands in a later return too) and
    ``out-of-scope`` (totals of regions, reorganised authorities, files that are not the source's),
    ``line-break`` (rows of a CSV file that have cells with line breaks), ``rows-read`` and
    ``rows-given`` (see :mod:`sos_plugins.tables.row_accounts`); ``unit`` and ``period`` may be null
    (all); ``n`` rows were looked at, ``n_flagged`` of them failed; ``action`` says what was done:
    ``kept``, ``set to missing``, ``merged``, ``mended`` or ``dropped``. A row that is dropped is
    always here. A check that found nothing may stand as one row for all units and periods.

    ``examples`` says where some of the faults are, a few a check, with the columns of
    :data:`EXAMPLE_COLUMNS`. ``text`` discloses nothing about a child: an unknown code, the name of
    an element, or the form of a value with every digit shown as 9.
    """

    checks: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=list(QUALITY_COLUMNS))
    )
    examples: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=list(EXAMPLE_COLUMNS))
    )

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> QualityProfile:
        """Build a profile from rows; columns that a row lacks are null."""
        return cls(pd.DataFrame(list(rows), columns=list(QUALITY_COLUMNS)))

    def __add__(self, other: QualityProfile) -> QualityProfile:
        return QualityProfile(
            checks=_stack(self.checks, other.checks),
            examples=_stack(self.examples, other.examples),
        )


def _stack(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    frames = [frame for frame in (first, second) if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else first


@dataclass(frozen=True)
class Records:
    """Relational tables of records, their quality, and where they came from.

    Attributes:
        tables: Ibis tables by name; columns as in :data:`sos_plugins.contract.columns.TABLES`.
        quality: Faults found and what was done about them.
        start: First day that the records cover, or None (published panels, tidy tables).
        end: Last day that the records cover: follow-up beyond it cannot be observed.
        files: The files read, in order.
        data_hash: SHA-256 over the content of the files.
        unit_names: Authority code to name, as far as the source knows.
        simulated: True when the records are made up; every page then says so.
        truth: What a simulator knows (true effects by outcome), or None.
        notes: Sentences on how the records were read that the result has among its warnings.
    """

    tables: Mapping[str, ibis.Table]
    quality: QualityProfile = field(default_factory=QualityProfile)
    start: dt.date | None = None
    end: dt.date | None = None
    files: tuple[str, ...] = ()
    data_hash: str = ""
    unit_names: Mapping[str, str] = field(default_factory=dict)
    simulated: bool = False
    truth: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def table(self, name: str) -> ibis.Table:
        """Return one table.

        Raises:
            DataError: If the source has no such table; the message lists those it has.
        """
        if name not in self.tables:
            raise DataError(
                f"The records have no table '{name}'. Tables: {listing(self.tables)}. "
                "Add a source that gives it."
            )
        return self.tables[name]

    def merge(self, other: Records) -> Records:
        """Join the records of two sources: tables of the same name are stacked.

        ``children`` of both are kept once per unit and child: the first source with a value wins.
        A column that only one of two tables has is empty in the rows of the other. Coverage is
        what both sources cover.

        Raises:
            DataError: If a column is of different types in two tables.
        """
        tables = dict(self.tables)
        for name, table in other.tables.items():
            if name not in tables:
                tables[name] = table
            elif name == "children":
                tables[name] = _merge_children(tables[name], table)
            else:
                tables[name] = _stacked(name, tables[name], table)
        starts = [d for d in (self.start, other.start) if d]
        ends = [d for d in (self.end, other.end) if d]
        digest = hashlib.sha256((self.data_hash + other.data_hash).encode()).hexdigest()
        return Records(
            tables=tables,
            quality=self.quality + other.quality,
            start=max(starts) if starts else None,
            end=min(ends) if ends else None,
            files=self.files + other.files,
            data_hash=digest,
            unit_names={**other.unit_names, **self.unit_names},
            simulated=self.simulated or other.simulated,
            truth=self.truth if self.truth is not None else other.truth,
            notes=tuple(dict.fromkeys(self.notes + other.notes)),
        )


def _stacked(name: str, first: ibis.Table, second: ibis.Table) -> ibis.Table:
    """Put one table below another, by the names of their columns."""
    types: dict[str, Any] = {}
    for column in dict.fromkeys((*first.columns, *second.columns)):
        found = [t[column].type() for t in (first, second) if column in t.columns]
        same = all(kind.copy(nullable=True) == found[0].copy(nullable=True) for kind in found)
        if not same and not all(kind.is_numeric() for kind in found):
            raise DataError(
                f"Two sources give the table '{name}', and its column '{column}' holds {found[0]} "
                f"in one and {found[1]} in the other. Make them the same, or name other columns."
            )
        types[column] = found[0] if same else "float64"
    made = [
        table.select(
            **{
                column: (table[column] if column in table.columns else ibis.null()).cast(kind)
                for column, kind in types.items()
            }
        )
        for table in (first, second)
    ]
    return ibis.union(*made)


def _merge_children(first: ibis.Table, second: ibis.Table) -> ibis.Table:
    columns = TABLES["children"].names
    both = ibis.union(
        first.select(columns).mutate(_order=ibis.literal(0)),
        second.select(columns).mutate(_order=ibis.literal(1)),
    )
    values = {
        column: both[column].first(where=both[column].notnull(), order_by=both["_order"])
        for column in columns[2:]
    }
    return both.group_by(["unit", "child"]).aggregate(**values)


@dataclass(frozen=True)
class OutcomeInfo:
    """How an outcome is named and read.

    Attributes:
        name: The plugin's name, such as ``"kinship-care"``.
        label: As in a table, such as ``"Kinship rather than other care"``.
        phrase: As in a sentence after an adjective: ``"kinship care"`` gives
            "Moderate strength evidence of decreased kinship care".
        question: The research question.
        binary: True when the value is 0 or 1; effects are then shown in percentage points.
        measure: Unit of the value: ``"proportion"``, ``"working days"``, ...
        expected: Direction expected by the theory of change.
        expected_note: Words beside the direction, such as "shorter is better if quality holds".
        measured_after: Covariates that may be recorded, or come about, after the case began or a
            programme did: adjusting for them may take away part of an effect, and reports mark
            them.
        cautions: Sentences about these settings that a reader must see beside every figure.
    """

    name: str
    label: str
    phrase: str
    question: str
    binary: bool
    measure: str
    expected: Expected = "unclear"
    expected_note: str = ""
    measured_after: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cases:
    """One row a case.

    Attributes:
        table: Ibis table with :data:`sos_plugins.contract.columns.CASE_COLUMNS` and the covariates,
            and any of :data:`sos_plugins.contract.columns.ROLE_COLUMNS`.
        info: The outcome.
        covariates: Names of the covariate columns, numeric or text.
        attrition: Frame ``step, reason, n_before, n_dropped, n_after``, from the first candidate
            record to the cases.
        completeness: Frame ``unit, period, n_candidates, n_usable``: how many records of the
            population could be judged at all.
        settings: The settings the cases were derived with.
        warnings: Sentences for the result, such as a covariate that was left out.
    """

    table: ibis.Table
    info: OutcomeInfo
    covariates: tuple[str, ...] = ()
    attrition: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(
            columns=["step", "reason", "n_before", "n_dropped", "n_after"]
        )
    )
    completeness: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=["unit", "period", "n_candidates", "n_usable"])
    )
    settings: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        absent = [c for c in (*CASE_COLUMNS, *self.covariates) if c not in self.table.columns]
        if absent:
            raise DataError(
                f"The cases of outcome '{self.info.name}' lack the columns {listing(absent)}; "
                f"an outcome must give {', '.join(CASE_COLUMNS)} and its covariates."
            )
        roles = [c for c in ROLE_COLUMNS if c in self.table.columns]
        where = f"Outcome '{self.info.name}'"
        refuse_alike(self.covariates, [*CASE_COLUMNS, *roles], where=where)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The cases in memory, in a fixed order whatever the backend."""
        roles = [c for c in ROLE_COLUMNS if c in self.table.columns]
        columns = [*CASE_COLUMNS, *self.covariates, *roles]
        frame: pd.DataFrame = self.table.select(columns).to_pandas()
        for column in ("date", "follow_up_end"):
            frame[column] = pd.to_datetime(frame[column])
        order = ["unit", "period", "date", "child", "value", *self.covariates, *roles]
        return frame.sort_values(order, kind="stable", ignore_index=True)


@dataclass(frozen=True)
class CollectedCases:
    """Cases in memory, away from the backend: what the analysis of an outcome works on.

    Attributes are those of :class:`Cases`, with ``frame`` in place of ``table``.
    """

    frame: pd.DataFrame
    info: OutcomeInfo
    covariates: tuple[str, ...]
    attrition: pd.DataFrame
    completeness: pd.DataFrame
    settings: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, cases: Cases, info: OutcomeInfo | None = None, frame: pd.DataFrame | None = None
    ) -> CollectedCases:
        """Collect cases, perhaps under another name of the outcome.

        Args:
            cases: The cases.
            info: The outcome under its other name.
            frame: Rows that stand for them, made and checked by the caller
                (:mod:`sos_plugins.study.collect`); the cases themselves unless given.

        Raises:
            DataError: If a covariate has a reserved name, or dates contradict each other.
        """
        _refuse_reserved_names(cases)
        if frame is None:
            _refuse_contradictions(cases)
        return cls(
            frame=cases.frame if frame is None else frame,
            info=info or cases.info,
            covariates=cases.covariates,
            attrition=cases.attrition,
            completeness=cases.completeness,
            settings=plain(dict(cases.settings)),
            warnings=cases.warnings,
        )


def refuse_alike(names: Iterable[str], taken: Iterable[str], *, where: str) -> None:
    """Refuse a user's columns that a database cannot tell from others: it has no capitals.

    Args:
        names: Columns of a user.
        taken: Columns that are there beside them.
        where: What the sentence starts with.

    Raises:
        DataError: With the two names and what to do.
    """
    known = {name.lower(): name for name in taken}
    for name in names:
        other = known.setdefault(name.lower(), name)
        if other != name:
            raise DataError(
                f"{where}: the columns '{other}' and '{name}' differ in capitals only, which a "
                f"database does not tell apart; rename the column '{name}', or leave it out of the "
                "covariates."
            )


def _refuse_reserved_names(cases: Cases) -> None:
    taken = [c for c in cases.covariates if c in RESERVED_COLUMNS]
    if taken:
        raise DataError(
            f"Outcome '{cases.info.name}': a covariate may not be named {listing(taken)}, since "
            "the analysis makes a column of that name. Rename the column, or leave it out."
        )


def _refuse_contradictions(cases: Cases) -> None:
    frame = cases.frame
    backwards = frame[frame["follow_up_end"] < frame["date"]]
    if len(backwards):
        row = backwards.iloc[0]
        raise DataError(
            f"Outcome '{cases.info.name}': {len(backwards)} cases have a follow_up_end before "
            f"their date, such as one of unit {row['unit']} on {row['date']:%Y-%m-%d}."
        )


@dataclass(frozen=True)
class Pilot:
    """A treated authority.

    Attributes:
        unit: Authority code.
        start: First day of the embedding window: cases followed up before it are "pre".
        end: Last day of the embedding window: cases that enter after it are "post".
        cohort: First treated period: unless given, the April-year of the day after the window.
        name: The authority's name.
        attributes: Further columns of the design, such as ``external_support``.
    """

    unit: str
    start: dt.date | None
    end: dt.date | None
    cohort: int
    name: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MatchedGroup:
    """A pilot and its comparators; comparators share the pilot's embedding window."""

    pilot: str
    comparators: tuple[str, ...]


@dataclass(frozen=True)
class Design:
    """Who is treated, when, and who may be compared with them.

    Attributes:
        pilots: The treated authorities.
        pool: Codes of authorities that may serve as comparators.
        groups: Matched groups, once matching has been done or given; empty before.
        adopted: First treated period of authorities that the records say are treated though they
            are no pilots: they are in no pool.
    """

    pilots: tuple[Pilot, ...]
    pool: tuple[str, ...]
    groups: tuple[MatchedGroup, ...] = ()
    adopted: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        codes = [pilot.unit for pilot in self.pilots]
        twice = sorted({code for code in codes if codes.count(code) > 1})
        if twice:
            raise DesignError(f"The design names the pilots {listing(twice)} more than once.")
        both = sorted({*codes, *self.adopted} & set(self.pool))
        if both:
            raise DesignError(
                f"The authorities {listing(both)} are both treated and in the pool of comparators."
            )
        for pilot in self.pilots:
            if pilot.start and pilot.end and pilot.end < pilot.start:
                raise DesignError(
                    f"Pilot {pilot.unit}: the embedding window ends ({pilot.end}) before it "
                    f"starts ({pilot.start})."
                )

    def pilot(self, unit: str) -> Pilot:
        """Return the pilot with this code."""
        for pilot in self.pilots:
            if pilot.unit == unit:
                return pilot
        raise DesignError(f"'{unit}' is no pilot. Pilots: {listing(p.unit for p in self.pilots)}.")

    def keep(self, units: Sequence[str]) -> Design:
        """Return the design with these pilots only; groups of the others go, the pool stays."""
        wanted = set(units)
        return replace(
            self,
            pilots=tuple(p for p in self.pilots if p.unit in wanted),
            groups=tuple(g for g in self.groups if g.pilot in wanted),
        )


def _categorised(frame: pd.DataFrame) -> pd.DataFrame:
    """Text as categories, whose hashes are those of the texts; equal columns are made once."""
    made: dict[str, pd.Series] = {}
    texts = [str(name) for name in frame if isinstance(frame[name].dtype, pd.StringDtype)]
    for name in texts:
        twin = next((other for other in made if frame[other].equals(frame[name])), None)
        made[name] = categories(frame[name]) if twin is None else made[twin]
    hashed = frame.copy(deep=False)
    for name, values in made.items():
        hashed[name] = values
    return hashed


@dataclass(frozen=True)
class Sample:
    """What estimators take: labelled, matched, weighted cases.

    Attributes:
        frame: Columns of :data:`sos_plugins.contract.columns.SAMPLE_COLUMNS` and the covariates.
            ``id`` is absent in a repeated cross-section, ``group`` without matched groups. With
            matched groups a comparator that serves several of them has its cases once per group,
            and its ``cluster`` stays the one authority. No column has missing values.
        covariates: Covariate columns: numbers enter linearly, text and booleans as dummies with
            the first level (in sorted order) left out.
        binary: True when the value is 0 or 1.
        window_gap: True when cases inside embedding windows were dropped, so that ``post`` is not
            simply ``period >= cohort``.
        notes: Sentences on how the cases were read that every estimate has among its warnings.
    """

    frame: pd.DataFrame
    covariates: tuple[str, ...] = ()
    binary: bool = False
    window_gap: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        needed = ["unit", "period", "cohort", "value", "weight", "cluster", "treated", "post"]
        absent = [c for c in (*needed, *self.covariates) if c not in self.frame]
        if absent:
            raise DataError(f"The sample lacks the columns {listing(absent)}.")
        if (self.frame["period"] <= 0).any():
            ambiguous = int(((self.frame["treated"] == 1) & (self.frame["cohort"] <= 0)).sum())
            if ambiguous:
                raise DataError(
                    f"The sample has {ambiguous} treated cases whose first treated period is 0 or "
                    "less, which means never, and periods of 0 or less. Add a number to the "
                    "periods and the first treated periods so that all are above 0."
                )
        taken = [c for c in self.covariates if c in RESERVED_COLUMNS]
        if taken:
            raise DataError(
                f"A covariate may not be named {listing(taken)}: the analysis makes a column of "
                "that name. Rename the column, or leave it out of the covariates."
            )

    @property
    def is_panel(self) -> bool:
        """Whether cases are repeated observations of the same ``id``."""
        return "id" in self.frame

    @property
    def has_groups(self) -> bool:
        """Whether cases belong to matched groups."""
        return "group" in self.frame

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 over the values, in row order."""
        hashed = pd.util.hash_pandas_object(_categorised(self.frame), index=False).to_numpy()
        return hashlib.sha256(np.ascontiguousarray(hashed).tobytes()).hexdigest()

    def where(self, mask: pd.Series[bool] | np.ndarray) -> Sample:
        """Return the sample of the rows for which ``mask`` is true."""
        return replace(self, frame=self.frame[np.asarray(mask)].reset_index(drop=True))


@dataclass(frozen=True)
class Estimate:
    """The result of one engine: one row a term, one row a fit, and where it came from.

    Attributes:
        tidy: Frame with the columns of :data:`sos_plugins.contract.columns.TIDY_COLUMNS`.
        glance: The keys of :data:`sos_plugins.contract.columns.GLANCE_COLUMNS`, and an estimator's
        own. provenance: The keys of :data:`sos_plugins.contract.columns.PROVENANCE_COLUMNS`; an
        engine may leave
            it empty, the host fills it.
        warnings: Sentences that a reader must see beside the figures.
        covariance: Covariance matrix of terms, rows and columns named like them, where an engine
            hands it out; None otherwise.
    """

    tidy: pd.DataFrame
    glance: Mapping[str, Any]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    covariance: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        absent = [c for c in TIDY_COLUMNS if c not in self.tidy]
        if absent:
            raise DataError(f"An estimate lacks the columns {listing(absent)}.")
        if self.covariance is not None:
            object.__setattr__(self, "covariance", self._with_terms(self.covariance))

    def _with_terms(self, covariance: pd.DataFrame) -> pd.DataFrame:
        """Name the rows like the columns: a stored result keeps the names of columns only."""
        unknown = set(covariance.columns) - set(self.tidy["term"])
        named = list(covariance.index) in (list(covariance.columns), list(range(len(covariance))))
        if unknown or not named or len(covariance) != len(covariance.columns):
            raise DataError(
                "The covariance of an estimate must have the same terms as rows and columns, all "
                f"of them in tidy. Not in tidy: {listing(unknown)}."
            )
        return covariance.set_axis(covariance.columns, axis=0)

    def term(self, name: str) -> Mapping[str, Any]:
        """Return the row of one term."""
        rows = self.tidy[self.tidy["term"] == name]
        if rows.empty:
            raise DataError(
                f"The estimate has no term '{name}'. Terms: {listing(self.tidy['term'])}."
            )
        return dict(rows.iloc[0])

    def without_std_errors(self, reason: str) -> Estimate:
        """Return the estimates alone, where an engine cannot give the errors that are asked for.

        Whatever rests on standard errors is missing, a warning and ``no_std_error`` in ``glance``
        say why, and a cross-check compares estimates only.

        Args:
            reason: Why, as a clause: "pyfixest has no CR2".
        """
        gone = [c for c in TIDY_COLUMNS if c not in ("term", "estimate")]
        return Estimate(
            tidy=self.tidy[list(TIDY_COLUMNS)].assign(**dict.fromkeys(gone, float("nan"))),
            glance={**self.glance, "no_std_error": reason},
            provenance=self.provenance,
            warnings=(*self.warnings, f"Standard errors are left missing: {reason}."),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: missing and infinite numbers become null and ``"inf"``."""
        values = {
            "tidy": [plain(row) for row in self.tidy.to_dict("records")],
            "glance": plain(dict(self.glance)),
            "provenance": plain(dict(self.provenance)),
            "warnings": list(self.warnings),
        }
        if self.covariance is not None:
            values["covariance"] = {
                "terms": [str(term) for term in self.covariance.index],
                "values": plain(self.covariance.to_numpy()),
            }
        return values


@dataclass(frozen=True)
class Tolerance:
    """How far two engines may differ, and why.

    Two numbers agree when ``|a - b| <= absolute + relative * max(|a|, |b|)``.
    """

    relative: float
    absolute: float
    reason: str


@dataclass(frozen=True)
class Agreement:
    """One cross-check: an estimator, its reference engine and another engine, on the same cases.

    ``verdict`` is ``agree``, ``disagree`` or ``not run``; ``reason`` says why when not run, or
    which term differs most.
    """

    outcome: str
    estimator: str
    engine: str
    reference: str
    verdict: Literal["agree", "disagree", "not run"]
    max_difference_estimate: float | None
    max_difference_std_error: float | None
    worst_term: str
    tolerance_estimate: Tolerance
    tolerance_std_error: Tolerance
    reason: str = ""
    terms: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class Run:
    """One specification of the sensitivity analysis.

    Attributes:
        family: ``main``, ``drop-one-pilot``, ``single-pilot``, ``no-external-support``,
            ``no-covariates``, ``logit``, ``other-engine``, ``other-definition``, ``staggered`` ...
        label: In words, such as "without Bristol".
        estimate: In the units of the value; None when the run failed or does not apply.
        status: ``ok``, ``failed`` or ``not applicable``; ``reason`` says why.
        warnings: Sentences on how its cases came about (matching, derivation) that the outcome's
            own warnings do not have.
    """

    family: str
    label: str
    estimator: str = ""
    engine: str = ""
    estimate: float | None = None
    std_error: float | None = None
    p_value: float | None = None
    conf_low: float | None = None
    conf_high: float | None = None
    n_cases: int | None = None
    n_units: int | None = None
    n_treated_units: int | None = None
    status: Literal["ok", "failed", "not applicable"] = "ok"
    reason: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeadTest:
    """Joint test that all leads are zero: for all pilots together (``pilot`` = "") or for one."""

    pilot: str
    statistic: float | None
    df_num: int | None
    df_den: float | None
    p_value: float | None
    status: Literal["ok", "failed", "not applicable"] = "ok"
    reason: str = ""


@dataclass(frozen=True)
class Evidence:
    """All that a rating rule may look at for one outcome.

    Attributes:
        info: The outcome.
        main: The main run, the headline of the outcome.
        runs: The sensitivity runs.
        leads: Lead tests, overall first and then per pilot.
        quality: Data-quality figures by name, as shares 0 to 1 unless the name says otherwise; see
            :func:`sos_plugins.study.quality.figures`.
        agreements: The cross-checks.
        warnings: What went wrong on the way.
    """

    info: OutcomeInfo
    main: Run
    runs: tuple[Run, ...] = ()
    leads: tuple[LeadTest, ...] = ()
    quality: Mapping[str, float] = field(default_factory=dict)
    agreements: tuple[Agreement, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reason:
    """Why a rating is what it is: a sentence, and the figure and threshold it rests on.

    ``metric`` is ``data quality``, ``robustness``, ``assumptions``, ``precision`` or a rule's own.
    """

    metric: str
    sentence: str
    figure: float | None = None
    threshold: float | None = None
    met: bool = True


@dataclass(frozen=True)
class Rating:
    """The verdict on one outcome.

    Attributes:
        rule: The plugin that gave it.
        level: ``"low"``, ``"moderate"``, ``"high"``, or the levels of another scheme.
        direction: ``"increase"``, ``"decrease"`` or ``"no clear impact"``.
        sentence: In the seed's manner: "Moderate strength evidence of decreased kinship care".
        reasons: Each with its figure.
        thresholds: The thresholds used, by name.
    """

    rule: str
    level: str
    direction: str
    sentence: str
    reasons: tuple[Reason, ...] = ()
    thresholds: Mapping[str, Any] = field(default_factory=dict)


def plain(value: Any) -> Any:
    """Make a value fit for JSON: dates as ISO text, missing as null, infinity as text."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, pd.DataFrame):
        return [plain(row) for row in value.to_dict("records")]
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray, pd.Series)):
        return [plain(v) for v in value]
    if isinstance(value, (np.bool_, bool)):
        return bool(value)
    if isinstance(value, (dt.date, pd.Timestamp)):
        return None if pd.isna(value) else (value.isoformat()[:10])
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        if np.isnan(number):
            return None
        return number if np.isfinite(number) else ("inf" if number > 0 else "-inf")
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    return str(value) if isinstance(value, PurePath) else value
