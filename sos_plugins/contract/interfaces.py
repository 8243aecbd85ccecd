"""The kinds of plugin: source, linker, outcome, matcher, estimator ... rules; and engines.

A plugin object is an instance of one of these classes (or of a class of the same shape) with the
class attributes filled in. No work happens in ``__init__``; everything a call needs comes in as
arguments, everything it found goes out as one of the types of :mod:`sos_plugins.contract.types`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd

from sos_plugins.contract.reference import Reference
from sos_plugins.contract.rules import RecordRule
from sos_plugins.contract.session import Session
from sos_plugins.contract.settings import Settings
from sos_plugins.contract.types import (
    AssignmentDraws,
    Cases,
    DrawnStatistics,
    Evidence,
    FileDescription,
    Link,
    MatchedGroup,
    OutcomeInfo,
    Pilot,
    Rating,
    Records,
    Sample,
    Tolerance,
)
from sos_plugins.errors import EstimationError
from sos_plugins.groundwork.installed import missing_python
from sos_plugins.groundwork.own_names import hiding_own_names

EXACT = Tolerance(
    1e-8, 1e-10, "the same least squares in double precision, other order of summation"
)


class Plugin(ABC):
    """What every plugin object has.

    Attributes:
        name: Lower case words joined by hyphens; what users type.
        label: One line for lists.
        short_label: What charts and the names of runs call it: ``"Callaway and Sant'Anna"``; empty
            for the name.
        Settings: The settings it takes.
        citation: Paper, specification or source of the method, in short.
        references: The publications in full, which a report lists; the citation stands in for them
            where there are none.
        decides: Packages that decide what it gives, besides those that its own distribution
            requires: with another version everything that rests on the plugin is made again.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    short_label: ClassVar[str] = ""
    Settings: ClassVar[type[Settings]] = Settings
    citation: ClassVar[str] = ""
    references: ClassVar[tuple[Reference, ...]] = ()
    decides: ClassVar[tuple[Requirement, ...]] = ()


class Source(Plugin):
    """Reads (or makes) records."""

    gives: ClassVar[tuple[str, ...]]
    """Names of the record tables that it can give."""

    @abstractmethod
    def read(self, settings: Any, session: Session) -> Records:
        """Read the records.

        Args:
            settings: The validated settings, of the type ``Settings``.
            session: Where tables are put and paths are resolved.

        Raises:
            DataError: If a file is missing or nothing in it can be read. Single faults do not
                raise: they are counted in ``Records.quality``.
        """

    def inputs(self, settings: Any, session: Session) -> Sequence[Path] | None:  # noqa: ARG002
        """Return the files that reading rests on, or None when that is not a matter of files.

        A study does not read the same files again: the same by what they hold and by what they and
        their folders are called. None suits sources that are quick to read as well.

        Args:
            settings: The validated settings, of the type ``Settings``.
            session: Resolves paths.

        Raises:
            DataError: If a file is missing.
        """
        return None

    def units(self, settings: Any, session: Session) -> Collection[str] | None:  # noqa: ARG002
        """Return the authorities that the records will have, or None where that takes long to tell.

        A study looks whether it knows its pilots before it reads. None suits sources that are
        quick to read, and those that know names of authorities (``Records.unit_names``).

        Args:
            settings: The validated settings, of the type ``Settings``.
            session: Resolves paths.
        """
        return None

    def describe_files(
        self,
        folder: Path,  # noqa: ARG002
        session: Session,  # noqa: ARG002
    ) -> Sequence[FileDescription] | None:
        """Tell what each file of a folder is, or None where the source cannot tell.

        For people who look at a folder before they write a study; a file that is not known stands
        here too, with the reason.

        Args:
            folder: The folder, searched through.
            session: Resolves paths.

        Raises:
            DataError: If the folder or a file in it cannot be read.
        """
        return None


class Simulator(Source):
    """A source that can also write what it simulates, in the formats that other sources read."""

    @abstractmethod
    def write(self, settings: Any, folder: Path, session: Session) -> Mapping[str, Any]:
        """Write the simulated records and the truth, and return the truth by name.

        Args:
            settings: The validated settings, of the type ``Settings``.
            folder: Where the files go.
            session: Shows progress.
        """

    @abstractmethod
    def study(self, settings: Any) -> str:
        """Return the text of a study file that fits what ``write`` writes, paths in its folder.

        Args:
            settings: The validated settings, of the type ``Settings``.
        """


class Linker(Plugin):
    """Says which identifiers in the records are one child.

    A study gives these children one identifier in every table; what stands twice then is one row.
    """

    requires: ClassVar[tuple[Requirement, ...]] = ()
    """What must be installed."""

    @abstractmethod
    def link(self, records: Records, settings: Any, session: Session) -> Link:
        """Find the children that are one.

        The same records and seed give the same links, whatever the order of rows.

        Args:
            records: The records of all sources, with the table ``children``; they are left as they
                are.
            settings: The validated settings, of the type ``Settings``.
            session: Where tables are put; the records live on its backend.

        Raises:
            DataError: If the records do not hold enough to link by.
        """


class Outcome(Plugin):
    """Derives cases from records."""

    needs: ClassVar[tuple[str, ...]]
    """Names of the record tables that it reads."""

    definitions: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Other definitions by name: settings that replace the chosen ones in sensitivity analysis."""

    def reads(self, settings: Any) -> tuple[str, ...]:  # noqa: ARG002
        """Return the record tables that it needs under these settings: ``needs`` by default.

        Args:
            settings: The validated settings, of the type ``Settings``.
        """
        return self.needs

    @abstractmethod
    def info(self, settings: Any) -> OutcomeInfo:
        """Describe the outcome under these settings.

        Args:
            settings: The validated settings, of the type ``Settings``.
        """

    @abstractmethod
    def derive(self, records: Records, settings: Any, session: Session) -> Cases:
        """Derive the cases.

        Args:
            records: The records, with at least the tables of ``needs``; they are left as they are.
            settings: The validated settings, of the type ``Settings``.
            session: Where tables are put; the records live on its backend.

        Raises:
            DataError: If a table is missing, or no case is left (the message says at which step).
        """


@dataclass(frozen=True)
class Requirement:
    """What an engine needs installed.

    Attributes:
        language: Whether it is for Python or for R.
        name: A Python module, an R package, or ``base`` for R itself.
        mend: The line that installs it.
        version: The oldest that serves, of a Python package that has the name of its module.
    """

    language: Literal["python", "r"]
    name: str
    mend: str
    version: str = ""

    def missing(self) -> str | None:
        """Return a sentence that says what is missing, or None when it is there."""
        if self.language == "python":
            return missing_python(self.name, self.mend, self.version)
        from sos_plugins.r import client as r

        return r.missing(self.name, self.mend)


R_BASE = Requirement("r", "base", "Debian: sudo apt-get install r-base-core r-base-dev")
R_SANDWICH = Requirement("r", "sandwich", "Debian: sudo apt-get install r-cran-sandwich")


def no_limits(sample: Sample, options: Any) -> str | None:  # noqa: ARG001
    """Accept every sample and options.

    Args:
        sample: Not looked at.
        options: Not looked at.
    """
    return None


@dataclass(frozen=True)
class Engine:
    """One implementation of an estimator, a matcher, a pooling or an imputer.

    ``fit`` and ``limits`` get the covariates of a sample under names that nothing else has
    (:mod:`sos_plugins.groundwork.own_names`); ``sample.covariates`` and settings that name
    columns say which, and what they return or raise has the users' names again.

    Attributes:
        name: ``python``, ``r``, ``r-did``, ``differences``, ...
        fit: ``fit(sample, options) -> Estimate`` for an estimator;
            ``fit(task, settings) -> UnitMatch`` or ``CaseMatch`` for a matcher;
            ``fit(effects, settings) -> PooledEffects`` for a pooling;
            ``fit(task, settings) -> Imputed`` for an imputer.
        requires: What must be installed.
        limits: Returns a sentence when this engine cannot do what is asked (its cross-check is
            then "not run"), None when it can.
        tolerance_estimate: Against the reference engine, for estimates.
        tolerance_std_error: Against the reference engine, for standard errors.
        packages: Names of Python distributions whose versions go to provenance.
        decides: Further packages that decide its figures without having to be there: those that
            what it requires hands the work to, or that it calls only for some settings.
        takes_cells: Whether an engine of an estimator or of a matcher of cases takes compressed
            samples of :class:`sos_plugins.cells.build.Cells`, whose rows stand for many cases.
    """

    name: str
    fit: Callable[[Any, Any], Any]
    requires: tuple[Requirement, ...] = ()
    limits: Callable[[Any, Any], str | None] = no_limits
    tolerance_estimate: Tolerance = EXACT
    tolerance_std_error: Tolerance = EXACT
    packages: tuple[str, ...] = ()
    takes_cells: bool = False
    decides: tuple[Requirement, ...] = ()

    def __post_init__(self) -> None:
        for name in ("fit", "limits"):
            function = getattr(self, name)
            if callable(function) and function is not no_limits:
                object.__setattr__(self, name, hiding_own_names(function))

    def missing(self) -> tuple[str, ...]:
        """Return a sentence for each requirement that is not met, each once."""
        sentences = (need.missing() for need in self.requires)
        return tuple(dict.fromkeys(sentence for sentence in sentences if sentence))

    @property
    def language(self) -> str:
        """``"R"`` when the engine needs R, else ``"Python"``."""
        return "R" if any(need.language == "r" for need in self.requires) else "Python"


@dataclass(frozen=True)
class Variant:
    """Another way to run the same estimator, offered to every sensitivity analysis.

    Attributes:
        family: Name of the family of runs, such as ``"logit"``.
        label: In words, such as "logit instead of a linear model".
        changes: Settings that differ from those of the main run.
        binary_only: True when it makes sense for binary outcomes only.
    """

    family: str
    label: str
    changes: Mapping[str, Any]
    binary_only: bool = False


class Estimator(Plugin):
    """A method with harmonised, keyword-only arguments (its Settings) and one or more engines.

    The first engine is the reference of cross-checks and the default. ``headline`` names the term
    that answers "what was the effect".
    """

    engines: ClassVar[tuple[Engine, ...]]

    sample: ClassVar[Literal["stacked", "calendar"]] = "stacked"
    """Which sample a study gives it: ``stacked`` has a comparator's cases once per matched group
    and periods counted from the group's embedding window; ``calendar`` has every case once, in
    calendar periods, with the cohort of its authority."""

    family: ClassVar[str] = "classic"
    """Family of its run when another estimator is the main one, such as ``"staggered"``."""

    tests_leads: ClassVar[bool] = False
    """True when ``glance`` has ``leads_statistic``, ``leads_df_num``, ``leads_df_den``,
    ``leads_p_value`` (the joint test that all leads are zero), ``leads_tested`` and ``reference``,
    and ``tidy`` a term ``event=...`` for each lead."""

    baseline: ClassVar[Literal["all", "last"]] = "all"
    """What effects are measured from: ``all`` periods before adoption, or the ``last`` of them. A
    study takes the error of a single pilot from placebo pilots that are measured in the same
    way."""

    figures: ClassVar[tuple[str, ...]] = ()
    """Numbers in ``glance`` that a rating rule may weigh: when a study runs the estimator they
    stand, under their names, in ``Evidence.quality``."""

    event_study: ClassVar[bool] = False
    """True when effects by event time are what it is for: a report draws its chart of them before
    those of others."""

    diagnostic: ClassVar[bool] = False
    """True when it looks into the main estimate and is no other way to estimate the effect: a study
    shows it, and counts it neither as a sensitivity run nor in the rating."""

    estimates_effect: ClassVar[bool] = True
    """False when the headline term is no effect of the programme, such as the autocorrelation of
    shocks: the checks of authors do not look for a known effect then."""

    variants: ClassVar[tuple[Variant, ...]] = ()
    """Specifications that a sensitivity analysis should also show."""

    averages: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Estimands that its headline term can have, as ``glance`` says them, each with the settings
    that make it so: a rating compares it with a main run of that estimand."""

    @abstractmethod
    def headline(self, options: Any) -> str:
        """Return the term of ``tidy`` that estimates the average effect.

        Args:
            options: The validated settings, of the type ``Settings``.
        """

    def reassigned(self, sample: Any, options: Any, draws: AssignmentDraws) -> DrawnStatistics:  # noqa: ARG002
        """Return the t statistic of the headline term, and those under assignments by lot.

        With them a study adjusts the p values of several outcomes together, by Romano and Wolf. An
        estimator that does not offer them leaves this as it is.

        Args:
            sample: The cases; of an engine that takes cells, compressed.
            options: The validated settings, of the type ``Settings``.
            draws: The lots, common to all outcomes.

        Raises:
            EstimationError: If adoption cannot be assigned anew; the message is a clause.
        """
        raise EstimationError(f"'{self.name}' assigns no adoption anew")


@dataclass(frozen=True)
class UnitTask:
    """What a matcher of authorities gets.

    Attributes:
        pilots: The treated authorities.
        features: Frame indexed by ``unit`` (pilots and pool), numeric columns without gaps:
            ``outcome_pre_<period>`` and ``outcome_pre_mean`` of the outcome, means of the
            covariates over pre-period cases, ``n_cases`` per year, and ``x_<name>`` from a table
            of authority characteristics where the study gives one. Pre-period means before the
            earliest embedding start of any pilot, so it is the same for all.
        neighbours: For a source that knows statistical neighbours: unit to codes, nearest first.
        seed: For random tie-breaks (none of ours uses one).
        outcome: Name of the outcome, for groups that are given by outcome; empty if none.
        left_out: Authorities of the design that have no features, with the reason.
        sampling: Frame indexed like ``features``, with its columns ``outcome_pre_<period>``: the
            variance of each from sampling cases; missing, or empty, where cases do not tell it.
    """

    pilots: tuple[Pilot, ...]
    features: pd.DataFrame
    neighbours: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seed: int = 0
    outcome: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)
    sampling: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def pool(self) -> tuple[str, ...]:
        """Codes of the units in ``features`` that are no pilots."""
        treated = {p.unit for p in self.pilots}
        return tuple(u for u in self.features.index if u not in treated)


@dataclass(frozen=True)
class UnitMatch:
    """What a matcher of authorities returns.

    Attributes:
        groups: One group for every pilot that got at least one comparator.
        distances: Frame ``pilot, comparator, distance, rank``.
        scores: Frame ``unit, treated, score`` (propensity), or empty.
        balance: Frame of :data:`BALANCE_COLUMNS`.
        unmatched: Pilots without a comparator, with the reason.
        sentence: What was done, as a manuscript would say it.
        warnings: Sentences that a reader must see.
        compared: Names of the features that decided who is matched, none where groups come from
            elsewhere. None where the matcher does not say: each may have decided then, and leads
            that may have been matched on are no evidence of parallel trends.
    """

    groups: tuple[MatchedGroup, ...]
    distances: pd.DataFrame
    scores: pd.DataFrame
    balance: pd.DataFrame
    unmatched: Mapping[str, str] = field(default_factory=dict)
    sentence: str = ""
    warnings: tuple[str, ...] = ()
    compared: tuple[str, ...] | None = None


@dataclass(frozen=True)
class CaseMatch:
    """What a matcher of cases returns.

    Attributes:
        sample: The sample with new weights; rows without weight are gone.
        balance: Frame of :data:`BALANCE_COLUMNS`.
        n_dropped: How many rows are gone.
        sentence: What was done, as a manuscript would say it.
        warnings: Sentences that a reader must see.
        overlap: Frame of :data:`OVERLAP_COLUMNS`: where the propensity scores of both sides lie;
            empty where there are none.
        tables: Further tables by name, such as who was matched in which stratum.
    """

    sample: Sample
    balance: pd.DataFrame
    n_dropped: int = 0
    sentence: str = ""
    warnings: tuple[str, ...] = ()
    overlap: pd.DataFrame = field(default_factory=pd.DataFrame)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


OVERLAP_COLUMNS: dict[str, str] = {
    "low": "lower end of a bin of the propensity score",
    "high": "its upper end",
    "treated": "1 for pilots' cases, 0 for comparators'",
    "n_cases": "cases with a score in the bin",
    "weight_before": "their weight before matching or weighting",
    "weight_after": "their weight after",
}


BALANCE_COLUMNS: dict[str, str] = {
    "covariate": "covariate, or covariate=level for a category",
    "mean_treated": "weighted mean among the treated before matching",
    "mean_treated_after": "the same among the treated that were matched",
    "mean_control_before": "mean among all controls before matching",
    "mean_control_after": "weighted mean among matched controls",
    "smd_before": "standardised mean difference before, by the SD of the treated before matching",
    "smd_after": "standardised mean difference of the matched, by the same SD",
    "variance_ratio_before": "variance of the treated / variance of controls; missing if binary",
    "variance_ratio_after": "the same after matching, weighted",
    "ks_before": "Kolmogorov and Smirnov's distance before: largest difference of the cumulative "
    "shares",
    "ks_after": "the same after matching, weighted",
    "l1_before": "imbalance L1 before: half the sum of differences of shares over bins (Sturges), "
    "or over the two values if binary",
    "l1_after": "the same after matching, weighted, over the same bins",
}


class Matcher(Plugin):
    """Chooses comparators (``level = "units"``) or weights cases (``level = "cases"``).

    ``engines`` as for estimators: ``fit(UnitTask, settings) -> UnitMatch`` or
    ``fit(Sample, settings) -> CaseMatch``. The first is the default.
    """

    level: ClassVar[Literal["units", "cases"]]
    engines: ClassVar[tuple[Engine, ...]]

    def refuse_contradictions(self, settings: Any, pilots: Sequence[str]) -> None:  # noqa: ARG002
        """Refuse settings that cannot be right, whatever the records hold.

        Args:
            settings: The validated settings, of the type ``Settings``.
            pilots: The pilots, as the study calls them.

        Raises:
            SosError: With what is wrong.
        """
        return


class Pooling(Plugin):
    """Says what the effects of the pilots, each estimated alone, have in common.

    ``engines`` as for estimators: ``fit(PilotEffects, settings) -> PooledEffects``. The first is
    the reference of cross-checks.
    """

    engines: ClassVar[tuple[Engine, ...]]


class Imputer(Plugin):
    """Fills gaps in the covariates of cases several times over.

    ``engines`` as for estimators: ``fit(ImputationTask, settings) -> Imputed``. The first is the
    default. The draws rest on the seed of the task, not on the order of its rows.
    """

    engines: ClassVar[tuple[Engine, ...]]


class RatingRule(Plugin):
    """Turns evidence into a verdict."""

    levels: ClassVar[tuple[str, ...]]
    """Levels from weakest to strongest."""

    @abstractmethod
    def rate(self, evidence: Evidence, settings: Any) -> Rating:
        """Rate one outcome, whatever evidence there is.

        Args:
            evidence: All that may be looked at.
            settings: The validated settings, of the type ``Settings``.
        """


class RuleSet(Plugin):
    """Rules that records of some format must keep: what the data-quality profile counts."""

    needs: ClassVar[tuple[str, ...]]
    """Names of the record tables on which it has rules; a profile asks those it has."""

    @abstractmethod
    def rules(self, settings: Any) -> Sequence[RecordRule]:
        """Return the rules, no two of the same name, table and columns.

        Args:
            settings: The validated settings, of the type ``Settings``.
        """
