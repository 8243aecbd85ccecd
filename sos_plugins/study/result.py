"""The result of a study: everything the report shows, and its JSON form.

``StudyResult.to_json`` writes all of it and ``StudyResult.from_json`` reads it back, so a report
can be made again from the JSON alone.
"""

from __future__ import annotations

import dataclasses
import html
import json
import math
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from sos_plugins.cache.codec import travels
from sos_plugins.contract.types import (
    AdjustedP,
    Agreement,
    DrawnStatistics,
    Estimate,
    LeadTest,
    OutcomeInfo,
    PooledEffects,
    Rating,
    Run,
    SmallestEffect,
)
from sos_plugins.errors import DataError, listing
from sos_plugins.groundwork.plain import plain
from sos_plugins.profile.record_profile import RecordProfile
from sos_plugins.study.linking import LinkResult
from sos_plugins.system.secrets import cleaned, cleaned_toml

FORMAT = "sos-plugins result 1"

LONGEST_MATCH_TABLE = 5_000
"""Rows of a table of a matcher of cases that a result holds: one with a row a case is no result."""


@travels
@dataclass(frozen=True)
class NamedEstimate:
    """An estimate with what made it.

    Attributes:
        estimator: Name of the estimator.
        engine: Name of the engine.
        estimate: What the engine gave.
        headline: The term that answers what the effect was, under the options of the estimate.
        event_study: Whether effects by event time are what the estimator is for.
    """

    estimator: str
    engine: str
    estimate: Estimate
    headline: str = ""
    event_study: bool = False


@travels
@dataclass(frozen=True)
class MatchingStep:
    """One matching station: the plugin, its engine, its level and the sentence for a manuscript."""

    plugin: str
    engine: str
    level: str
    sentence: str


@dataclass(frozen=True, repr=False)
class OutcomeResult:
    """All that was found for one outcome.

    Attributes:
        info: The outcome.
        settings: Its settings, defaults filled in.
        error: Why the outcome could not be analysed; empty when it could.
        warnings: Sentences recorded on the way, none of them fatal.
        rating: The verdict; None when there is no estimate to rate.
        main: The headline run.
        runs: The sensitivity runs, the main run first.
        leads: Joint tests of the leads, overall first, then per pilot.
        pooled: What the effects of the pilots have in common; None where they are not pooled.
        not_pooled: Why they are not; empty where they are.
        estimates: Full estimates of the main specification by estimator and engine.
        agreements: Cross-checks between engines.
        trends: Frame ``series, period, mean, n_cases``; series is ``pilots`` or ``comparators``.
        groups: Frame ``pilot, pilot_name, comparator, comparator_name, distance``.
        matching: The matching stations in order.
        scores: Frame ``unit, treated, score`` of the matching of authorities, or empty.
        balance: Frame ``level`` and :data:`sos_plugins.contract.interfaces.BALANCE_COLUMNS`.
        overlap: Frame of :data:`sos_plugins.contract.interfaces.OVERLAP_COLUMNS`: where the scores
            of cases lie on both sides, or empty.
        match_tables: Further tables of the matcher of cases by name, such as who was matched in
            which stratum; what has more than :data:`LONGEST_MATCH_TABLE` rows stays out.
        composition: Frame of :data:`sos_plugins.study.composition.COLUMNS`: whether the programme
            changed the mix of cases; empty where cases are not matched.
        attrition: Frame ``step, reason, n_before, n_dropped, n_after``.
        completeness: Frame ``unit, period, n_candidates, n_usable``.
        quality: Data-quality figures by name.
        spans: Frame ``pilot, first_event, last_event``: the event times at which a pilot has cases.
        sample: Frame ``group, role, unit, n_pre, n_post, mean_pre, mean_post``.
        smallest_effect: The smallest effect that matters; None when the study does not say.
        adjusted: The main run's p value among those of the confirmatory outcomes; None for an
            outcome that is explored.
        further_ratings: The verdicts of other rules, in the order of the study.
        drawn: Statistics of the main run under assignments of adoption by lot, while p values are
            yet to be adjusted by them; None in the result of a study.
        not_drawn: Why there are none, though they were asked for.
    """

    info: OutcomeInfo
    settings: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    warnings: tuple[str, ...] = ()
    rating: Rating | None = None
    main: Run | None = None
    runs: tuple[Run, ...] = ()
    leads: tuple[LeadTest, ...] = ()
    pooled: PooledEffects | None = None
    not_pooled: str = ""
    estimates: tuple[NamedEstimate, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    trends: pd.DataFrame = field(default_factory=pd.DataFrame)
    groups: pd.DataFrame = field(default_factory=pd.DataFrame)
    matching: tuple[MatchingStep, ...] = ()
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    balance: pd.DataFrame = field(default_factory=pd.DataFrame)
    overlap: pd.DataFrame = field(default_factory=pd.DataFrame)
    match_tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    composition: pd.DataFrame = field(default_factory=pd.DataFrame)
    attrition: pd.DataFrame = field(default_factory=pd.DataFrame)
    completeness: pd.DataFrame = field(default_factory=pd.DataFrame)
    quality: Mapping[str, float] = field(default_factory=dict)
    spans: pd.DataFrame = field(default_factory=pd.DataFrame)
    sample: pd.DataFrame = field(default_factory=pd.DataFrame)
    smallest_effect: SmallestEffect | None = None
    adjusted: AdjustedP | None = None
    further_ratings: tuple[Rating, ...] = ()
    drawn: DrawnStatistics | None = None
    not_drawn: str = ""

    @property
    def plugins_used(self) -> tuple[str, ...]:
        """Names of the plugins that the result rests on."""
        ratings = (self.rating, *self.further_ratings)
        names = [
            *(step.plugin for step in self.matching),
            *(named.estimator for named in self.estimates),
            *([self.pooled.plugin] if self.pooled else []),
            *(rating.rule for rating in ratings if rating is not None),
        ]
        return tuple(dict.fromkeys(names))

    def __repr__(self) -> str:
        return f"<{self.info.name}: {' '.join(filter(None, self._said()))}>"

    def _said(self) -> Iterator[str]:
        """Say the verdict, and the figures that it rests on."""
        if self.error:
            yield f"not analysed: {self.error}"
        if self.rating:
            yield f"{self.rating.sentence.rstrip('.')} ({self.rating.level})."
        if self.main and self.main.estimate is not None:
            shown = [self.main.estimate, self.main.conf_low, self.main.conf_high]
            effect, low, high = ("?" if v is None else f"{v:.4g}" for v in shown)
            yield f"Effect {effect}, interval {low} to {high}, in units of the value"

    def _repr_html_(self) -> str:
        said = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in self._said())
        return f"<p><b>{html.escape(self.info.label)}</b></p>{said}"


@dataclass(frozen=True, repr=False)
class StudyResult:
    """The result of a whole study.

    Attributes:
        name: Short name, used for files.
        title: Title of the report.
        programme: What was evaluated, as in a sentence.
        simulated: True when the records are made up.
        outcomes: One result an outcome, in the order of the study.
        pilots: Frame ``unit, name, start, end, cohort`` and the design's own columns.
        record_quality: The sources' checks, columns
            :data:`sos_plugins.contract.types.QUALITY_COLUMNS`.
        profile: What is wrong with the records by authority and year; None where it was not asked.
            Completeness by cell stands there for columns that are sometimes filled.
        coverage: Whether the records cover the pilots, one row a pilot:
            :data:`sos_plugins.profile.coverage.COVERAGE_COLUMNS`.
        warnings: Sentences about the study as a whole, such as engines that cannot run here.
        missing_checks: What was not checked and why (no R, a package missing).
        truth: What a simulator knows, or None.
        unit_names: Authority code to name.
        manifest: ``created``, ``seed``, ``data_hash``, ``files``, ``study_hash``, ``versions``
            (Python, R and packages), ``plugins`` (name, version, distribution), ``platform``.
        study_toml: The study file as it was.
        settings: The whole study with defaults filled in.
        called: What plugins are called on charts, by their names, where they say it.
        link: Which children are one and what that changes; None where the study links none.
        references: The publications that the plugins that were used rest on, by their names.
    """

    name: str
    title: str
    programme: str
    simulated: bool
    outcomes: tuple[OutcomeResult, ...]
    pilots: pd.DataFrame
    record_quality: pd.DataFrame
    profile: RecordProfile | None = None
    coverage: pd.DataFrame = field(default_factory=pd.DataFrame)
    warnings: tuple[str, ...] = ()
    missing_checks: tuple[str, ...] = ()
    truth: Mapping[str, Any] | None = None
    unit_names: Mapping[str, str] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    study_toml: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    called: Mapping[str, str] = field(default_factory=dict)
    link: LinkResult | None = None
    references: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __repr__(self) -> str:
        outcomes = "".join(f"\n  {result!r}" for result in self.outcomes)
        made_up = ", simulated records" * self.simulated
        return f"<study {self.name}: {len(self.pilots)} pilots{made_up}{outcomes}>"

    def _repr_html_(self) -> str:
        made_up = " (simulated records)" * self.simulated
        head = f"<h3>{html.escape(self.title)}{made_up}</h3>"
        return head + "".join(result._repr_html_() for result in self.outcomes)

    def outcome(self, name: str) -> OutcomeResult:
        """Return the result of one outcome by its name."""
        for result in self.outcomes:
            if result.info.name == name:
                return result
        raise DataError(f"The result has no outcome '{name}'.")

    def to_json(self) -> str:
        """Write the whole result as JSON, a line a field.

        Missing numbers are null, infinite ones ``"inf"``.

        Passwords and the homes of people are masked: the result is handed on.
        """
        data = {"format": FORMAT, **cleaned({**_encode(self), "study_toml": ""})}
        data["study_toml"] = cleaned_toml(self.study_toml)
        fields = (f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in data.items())
        return "{\n" + ",\n".join(fields) + "\n}"

    @classmethod
    def from_json(cls, text: str) -> StudyResult:
        """Read a result back.

        Raises:
            DataError: If the text is not a result of this format.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(
                f"The result is not JSON: line {error.lineno}, column {error.colno}: {error.msg}."
            ) from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"The result is damaged: {error}. Run the study again.") from None
        said = data.pop("format", None) if isinstance(data, dict) else None
        if said != FORMAT:
            raise DataError(
                f"This is no result of a study: its format is {said!r}, expected '{FORMAT}'. "
                "Give the result.json that 'sos-plugins run' wrote."
            )
        try:
            return typing.cast(StudyResult, _decode(cls, data, "the result"))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"The result file is damaged: {error}. Run the study again.") from None

    @classmethod
    def read(cls, path: Path) -> StudyResult:
        """Read a result file, or the result.json of a folder."""
        file = path / "result.json" if path.is_dir() else path
        if not file.is_file():
            raise DataError(f"There is no result at {file}. Run 'sos-plugins run STUDY' first.")
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"The result {file} cannot be read: {error}.") from None
        return cls.from_json(text)


def _encode(value: Any) -> Any:
    if isinstance(value, pd.DataFrame):
        rows = [[plain(v) for v in row] for row in value.itertuples(index=False, name=None)]
        return {"columns": [str(c) for c in value.columns], "rows": rows}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _encode(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(v) for v in value]
    return plain(value)


def _decode(hint: Any, value: Any, place: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        return _decode(next(a for a in args if a is not type(None)), value, place)
    if hint is pd.DataFrame:
        return _frame(value, place)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _instance(hint, value, place)
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{place} is no list")
        return tuple(_decode(args[0], v, f"{place} {i}") for i, v in enumerate(value, start=1))
    if origin is Mapping:
        _demand(value, [], place)
        return {name: _decode(args[1], v, f"{place} {name!r}") for name, v in value.items()}
    return _scalar(hint, value, place)


def _scalar(hint: Any, value: Any, place: str) -> Any:
    """Return a single value as its type; ``Any`` and choices of values are left as they are."""
    if hint is Any:
        return value
    if isinstance(value, (list, Mapping)):
        raise ValueError(f"{place} is no single value")
    if hint is float and value in ("inf", "-inf"):
        return math.inf if value == "inf" else -math.inf
    if hint in (int, float) and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ValueError(f"{place} is {value!r}, no number")
    if hint is bool and not isinstance(value, bool):
        raise ValueError(f"{place} is {value!r}, neither true nor false")
    if hint is str and value is None:
        raise ValueError(f"{place} is no text")
    return str(value) if hint is str else value


def _instance(hint: type, value: Any, place: str) -> Any:
    fields = dataclasses.fields(hint)
    nothing = dataclasses.MISSING
    demanded = [f.name for f in fields if f.default is nothing and f.default_factory is nothing]
    _demand(value, demanded, place)
    hints = typing.get_type_hints(hint)
    known = [f.name for f in fields if f.name in value]
    return hint(**{name: _decode(hints[name], value[name], f"'{name}'") for name in known})


def _demand(value: Any, names: Sequence[str], place: str) -> None:
    if not isinstance(value, Mapping):
        raise ValueError(f"{place} is no table of names and values")
    if absent := [name for name in names if name not in value]:
        raise ValueError(f"{place} lacks {listing(absent)}")


def _frame(value: Any, place: str) -> pd.DataFrame:
    _demand(value, ["columns", "rows"], place)
    columns, rows = value["columns"], value["rows"]
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise ValueError(f"{place}: 'columns' is no list of names")
    if not isinstance(rows, list) or not all(
        isinstance(row, list) and len(row) == len(columns) for row in rows
    ):
        raise ValueError(f"{place}: 'rows' is no list of rows of {len(columns)} cells")
    frame = pd.DataFrame(value["rows"], columns=value["columns"])
    for column in frame:
        if frame[column].isin(["inf", "-inf"]).any():
            frame[column] = pd.to_numeric(frame[column])
        elif frame[column].isna().all():
            frame[column] = frame[column].astype(float)
    for index, column in enumerate(frame):
        if frame[column].dtype == float and _whole(row[index] for row in value["rows"]):
            frame[column] = frame[column].astype("Int64")
    return frame


def _whole(values: Iterable[Any]) -> bool:
    """Return whether some values are whole numbers and all others missing."""
    present = [value for value in values if value is not None]
    return bool(present) and all(type(value) is int for value in present)
