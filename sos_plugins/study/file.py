"""The study file: one TOML file that says what to read, compare, estimate and rate."""

from __future__ import annotations

import datetime as dt
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sos_plugins.authors.scaffold import NAME, STUDY_NAME
from sos_plugins.contract.settings import Settings
from sos_plugins.contract.types import OutcomeInfo, SmallestEffect
from sos_plugins.errors import StudyError
from sos_plugins.groundwork.values import possible_days
from sos_plugins.host.settings import validate
from sos_plugins.host.settings_errors import NAME_PATTERN
from sos_plugins.profile.settings import ProfileSettings
from sos_plugins.study.threshold import Threshold
from sos_plugins.system.memory import SIZE
from sos_plugins.tables.csv_text import decoded
from sos_plugins.tables.period_codes import whole_period
from sos_plugins.tables.written_dates import DATE_ORDERS, DateOrder, UnclearDatesError, read_dates

NO_SIZE = 'must be a size of memory such as "4GB" or "500 MiB"'
NO_FIRST_PERIOD = (
    "but a first treated period is above 0, since 0 means never treated. Take an authority that is "
    "never treated out of the pilots; where the records have periods of 0 or less, add a number to "
    "their periods and to the cohorts, first and last periods of the study so that all are above 0"
)
EngineChoice = Literal["all"] | Annotated[tuple[str, ...], Field(min_length=1)]


class Choice(BaseModel):
    """A plugin with its settings: ``plugin = "..."`` and the settings beside it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    plugin: str = Field(description="name of the plugin")

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings that were given."""
        return dict(self.model_extra or {})


class MatcherChoice(Choice):
    """A matcher, and which of its engines."""

    engine: str | None = Field(None, description="engine; the first that runs here by default")


class EstimatorChoice(Choice):
    """An estimator, and which of its engines are run and compared."""

    engines: EngineChoice = Field("all", description='"all", or a list of engines')
    covariates: Literal["all", "none"] | tuple[str, ...] = Field(
        "all", description='"all" that the outcome is adjusted for, "none", or a list of them'
    )
    sample: Literal["stacked", "calendar"] | None = Field(
        None,
        description="stacked: comparators once per matched group, years from the window; "
        "calendar: every case once, calendar years; by default what suits the estimator",
    )


class PoolingChoice(Choice):
    """What pools the effects of the pilots, and which of its engines are run and compared."""

    engines: EngineChoice = Field("all", description='"all", or a list of engines')


class ImputationChoice(Choice):
    """What fills gaps in covariates, by which engine, and of which covariates."""

    engine: str | None = Field(None, description="engine; the first that runs here by default")
    covariates: Literal["all"] | tuple[str, ...] = Field(
        "all",
        description='"all" with gaps, or a list; of others a missing category stays the level '
        '"Missing", and a case without a number is dropped and counted',
    )


class OutcomeChoice(Choice):
    """An outcome; ``name`` tells two settings of one plugin apart."""

    name: str | None = Field(
        None,
        pattern=NAME_PATTERN,
        description="name in the result, the plugin's by default",
    )
    covariates: Literal["all", "none"] | tuple[str, ...] = Field(
        "all", description='"all" of the outcome\'s, "none", or a list'
    )
    smallest_effect: float | None = Field(
        None,
        gt=0,
        description="smallest effect that matters, in percentage points for shares and outcomes "
        "of yes and no, else in the units of the value",
    )
    smallest_effect_reason: str = Field("", description="why no smaller effect matters")
    threshold: Threshold | None = Field(
        None,
        description="a bound that makes yes or no of a number: { above = 45 }, or at_least, "
        "below, at_most",
    )

    @model_validator(mode="after")
    def _with_its_reason(self) -> OutcomeChoice:
        if (self.smallest_effect is None) != (not self.smallest_effect_reason.strip()):
            raise ValueError(
                "smallest_effect and smallest_effect_reason go together: give the size and say "
                "why nothing smaller matters"
            )
        return self

    def smallest(self, info: OutcomeInfo) -> SmallestEffect | None:
        """Return the smallest effect that matters, in the units of the value.

        Args:
            info: The outcome, which says whether effects are in percentage points.
        """
        if self.smallest_effect is None:
            return None
        points = 100.0 if info.in_points else 1.0
        return SmallestEffect(self.smallest_effect / points, self.smallest_effect_reason.strip())


class StudyTable(Settings):
    """The table ``[study]``."""

    name: str = Field(pattern=NAME_PATTERN, description="short name, used for files")
    title: str = Field(description="title of the report")
    programme: str = Field("the programme", description="what is evaluated, as in a sentence")
    seed: int = Field(0, ge=0, description="seed of everything random")
    memory: str | None = Field(
        None,
        description='most memory that the run may take, such as "4GB"; records beyond what is left '
        "of it are kept on disk, and the report says so if the run takes more all the same",
    )

    backend: Literal["duckdb", "spark"] = Field(
        "duckdb",
        description='where cases are derived: "duckdb" on this machine, or "spark" (a Spark that '
        "is at hand, else one on this machine)",
    )
    collect: Literal["auto", "cells", "cases"] = Field(
        "auto",
        description='what is brought from the records to the analysis: "cases", "cells" (cases '
        'that it cannot tell apart, added up), or "auto": from Spark cells, where every estimator '
        "and matcher takes them, else cases",
    )

    @field_validator("memory")
    @classmethod
    def _size(cls, given: str | None) -> str | None:
        if given is not None and not SIZE.fullmatch(given):
            raise ValueError(NO_SIZE)
        return given


class PilotRow(BaseModel):
    """A treated authority; further keys become columns of the design."""

    model_config = ConfigDict(extra="allow", frozen=True)

    unit: str = Field(min_length=1, description="authority code")
    name: str = Field("", description="the authority's name")
    start: dt.date | None = Field(None, description="first day of the embedding window")
    end: dt.date | None = Field(None, description="last day of the embedding window")
    cohort: int | None = Field(
        None, description="first treated period; the April-year of the day after the window"
    )

    @field_validator("start", "end")
    @classmethod
    def _possible(cls, given: dt.date | None) -> Any:
        return possible_days(given, "")

    @field_validator("cohort")
    @classmethod
    def _above_0(cls, given: int | None) -> int | None:
        if given is not None and given <= 0:
            raise ValueError(f"is {given}, {NO_FIRST_PERIOD}")
        return given

    _as_records = field_validator("cohort", mode="before")(whole_period)


def dated(
    rows: Sequence[Mapping[str, Any]], places: Sequence[str], order: DateOrder
) -> list[dict[str, Any]]:
    """Return rows of pilots with the texts of their windows as dates, read in one form for all.

    Args:
        rows: Pilots, with ``start`` and ``end`` as far as they have them.
        places: What each row is called in an error.
        order: How dates are written.

    Raises:
        ValueError: If a text is no date, or they can be read in more than one way; with the place
            of each that is at fault.
    """
    keys = ("start", "end")
    texts = {str(row[k]).strip() for row in rows for k in keys if isinstance(row.get(k), str)}
    try:
        days = read_dates(sorted(texts - {""}), order).days
    except UnclearDatesError as error:
        at_fault = [
            f"'{row[key]}' ({place}, column '{key}')"
            for place, row in zip(places, rows, strict=True)
            for key in keys
            if str(row.get(key)).strip() in error.texts
        ]
        raise ValueError(f"{error.expected}; found {', '.join(at_fault)}") from None
    return [
        {
            key: days.get(value.strip(), value) if key in keys and isinstance(value, str) else value
            for key, value in row.items()
        }
        for row in rows
    ]


class DesignTable(Settings):
    """The table ``[design]``."""

    pilots: str | tuple[PilotRow, ...] = Field(
        description="file with columns unit, start, end [, name, cohort, ...], or a list"
    )
    pilot_columns: dict[str, str] = Field(
        {},
        description="columns of the file of pilots that are called otherwise: "
        '{ unit = "LA code", start = "From", end = "To" }',
    )
    pilot_sheet: str | None = Field(
        None, description="sheet of a workbook of pilots; the only one with cells if none is named"
    )
    dates: DateOrder = Field(
        "auto",
        description="how start and end of the pilots are written where they are text and do not "
        'show it: "day-first" (31/12/2019), "month-first", or "excel", a number of days',
    )
    pool: Literal["all"] | tuple[str, ...] = Field(
        "all", description="authorities that may be comparators"
    )
    exclude: tuple[str, ...] = Field((), description="authorities that may not be comparators")
    authorities: str | None = Field(
        None,
        description="file with column unit, optionally period or year, and characteristics of "
        "authorities",
    )
    authority_columns: dict[str, str] = Field(
        {},
        description="columns of that file that are called otherwise: "
        '{ unit = "LA code", period = "Year" }',
    )
    authority_sheet: str | None = Field(
        None,
        description="sheet of a workbook of authorities; the only one with cells if none is named",
    )
    authority_covariates: tuple[str, ...] = Field(
        (),
        description="columns of that file that regressions adjust for, by year where it has years",
    )
    standardise: bool = Field(
        False,
        description="whether those that are numbers are divided by their standard deviation, less "
        "their mean",
    )
    contaminated: dict[str, str] = Field(
        {},
        description="authorities that used the approach in some form without being pilots, each "
        'with the reason: { "331" = "trained its staff in 2013" }',
    )
    contaminated_column: str | None = Field(
        None,
        description="column of the file of authorities that says the same: a reason, or yes and no",
    )
    if_contaminated: Literal["trim", "refuse"] = Field(
        "trim",
        description='"trim": they are no comparators, and the report says so; "refuse": a pool '
        "with one of them is an error",
    )
    support: str = Field(
        "external_support",
        description="true/false column of the pilots: those with outside support, left out once",
    )
    first_period: int | None = Field(None, description="earliest period used")
    last_period: int | None = Field(None, description="latest period used")
    max_missing: float = Field(
        0.3,
        gt=0,
        le=1,
        description="a covariate that is missing in this share of the cases or more is left out, "
        "and named",
    )

    _as_records = field_validator("first_period", "last_period", mode="before")(whole_period)

    @model_validator(mode="before")
    @classmethod
    def _windows_in_one_form(cls, data: Any) -> Any:
        """Read dates that are text in the list of pilots, all in one form."""
        rows = data.get("pilots") if isinstance(data, Mapping) else None
        order = data.get("dates", "auto") if isinstance(data, Mapping) else "auto"
        if not isinstance(rows, (list, tuple)) or order not in DATE_ORDERS:
            return data
        if not all(isinstance(row, Mapping) for row in rows):
            return data
        places = [f"pilots {n}" for n in range(1, len(rows) + 1)]
        return {**data, "pilots": dated(rows, places, order)}

    @model_validator(mode="after")
    def _covariates_have_a_file(self) -> DesignTable:
        if self.authority_covariates and self.authorities is None:
            raise ValueError(
                "authority_covariates are columns of the file of authorities, and none is named: "
                'add authorities = "FILE.csv"'
            )
        if self.standardise and not self.authority_covariates:
            raise ValueError(
                "standardise is of authority_covariates, and none are named: name some, or leave "
                "it out"
            )
        return self


class MatchingTable(Settings):
    """The table ``[matching]``."""

    units: MatcherChoice = Field(description="matcher of authorities")
    cases: MatcherChoice | None = Field(None, description="matcher of cases, none by default")
    comparators: Literal["per-outcome", "common"] = Field(
        "per-outcome",
        description='"per-outcome": authorities are matched for each outcome by itself; "common": '
        "once, on the features of all outcomes",
    )


class SensitivityTable(Settings):
    """The table ``[sensitivity]``."""

    families: Literal["all"] | tuple[str, ...] = Field("all", description="families of runs")
    units: tuple[MatcherChoice, ...] = Field(
        (), description="other matchers of authorities, each one run"
    )


class MultiplicityTable(Settings):
    """The table ``[multiplicity]``."""

    confirmatory: Literal["all"] | tuple[str, ...] = Field(
        "all",
        description="names of the outcomes that the study is to decide on; their p values are "
        "adjusted together, the others are explored",
    )
    method: Literal["holm", "romano-wolf", "none"] = Field(
        "holm",
        description='how: "holm"; "romano-wolf", which allows for outcomes that move together, by '
        'adoption assigned anew; or "none" to take every p value by itself',
    )
    draws: int = Field(999, ge=99, description="assignments of adoption for romano-wolf")


class StudyFile(Settings):
    """A study file."""

    study: StudyTable
    sources: tuple[Choice, ...] = Field(min_length=1)
    link: Choice | None = Field(
        None,
        description="what tells which identifiers are one child, across sources and authorities; "
        "without it an authority's identifier is a child",
    )
    design: DesignTable
    matching: MatchingTable
    imputation: ImputationChoice | None = Field(
        None,
        description="what fills gaps in covariates, several times over; without it a missing "
        'category is the level "Missing", and cases without a number are dropped',
    )
    outcomes: tuple[OutcomeChoice, ...] = Field(min_length=1)
    estimators: tuple[EstimatorChoice, ...] = Field(
        min_length=1, description="the first is the main one"
    )
    sensitivity: SensitivityTable = SensitivityTable()
    pooling: PoolingChoice | None = Field(
        None,
        description="what pools the effects of the pilots; the one that is installed by default",
    )
    multiplicity: MultiplicityTable = MultiplicityTable()
    rating: Choice
    further_ratings: tuple[Choice, ...] = Field(
        (), description="other rules that the report shows beside the rating"
    )
    profile: ProfileSettings = ProfileSettings()


def read_study(path: Path) -> tuple[StudyFile, str]:
    """Read a study file; return it with its text.

    Raises:
        StudyError: If there is no such file or it is not TOML (with line and column).
        SettingsError: One sentence for each wrong key or value.
    """
    try:
        text = decoded(path.read_bytes())
    except FileNotFoundError:
        raise StudyError(
            f"There is no study file at {path}. Start one with: {_start(path)}"
        ) from None
    except UnicodeDecodeError as error:
        raise StudyError(
            f"The study file {path} is no text in UTF-8 or UTF-16: {error}. Save it as UTF-8."
        ) from None
    except OSError as error:
        raise StudyError(f"The study file {path} cannot be read: {error.strerror}.") from None
    return parse_study(text, where=str(path)), text


def _start(path: Path) -> str:
    """Return the command that writes a study where none was found."""
    fits = path.suffix == ".toml" and NAME.fullmatch(path.stem)
    words = ["sos-plugins", "new", "study", path.name if fits else STUDY_NAME]
    folder = [] if path.parent == Path() else ["--out", str(path.parent)]
    return shlex.join([*words, *folder])


def parse_study(text: str, *, where: str) -> StudyFile:
    """Parse the text of a study file; errors as in :func:`read_study`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{where} is not valid TOML: {error}.") from None
    except RecursionError:
        raise StudyError(f"{where} nests tables or lists too deeply to be read.") from None
    return validate(StudyFile, data, where=where)
