"""Matchers of authorities by nearest neighbours: on the propensity score and on earlier outcomes.

Greedy nearest-neighbour matching as in Stuart (2010) and MatchIt (Ho, Imai, King and Stuart 2011).
The engine ``r-matchit`` computes scores or distances with R's own functions and leaves the matching
to ``MatchIt::matchit()``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from sos_matchers import features, r_engines
from sos_matchers.classifiers import ScoreModel, ScoreSettings, only_logistic
from sos_matchers.features import Candidates, candidates
from sos_matchers.listed_groups import GivenGroups, StatisticalNeighbours, WholePool
from sos_matchers.nearest import Order, match_on_distances, turns
from sos_matchers.propensity import Scores
from sos_matchers.summaries import Matches, plural, unit_match
from sos_plugins import Engine, Matcher, Settings, UnitMatch, UnitTask, hookimpl
from sos_plugins.contract.interfaces import R_BASE, R_MATCHIT, distribution_version
from sos_plugins.errors import DesignError


class NearestSettings(Settings):
    """What both matchers take."""

    ratio: int = Field(2, ge=1, description="comparators for each pilot, at most")
    replacement: bool = Field(
        True,
        description="whether a comparator may serve several pilots, as in the 2021 analysis",
    )


class PropensitySettings(NearestSettings, ScoreSettings):
    """Settings of ``propensity-units``."""

    features: tuple[str, ...] | None = Field(
        None,
        description=(
            "names of features, or beginnings that end in * (such as x_*); unless given: "
            "outcome_pre_mean, n_cases and x_*, as far as they exist"
        ),
    )
    distance: Literal["logit", "probability"] = Field(
        "logit", description="scale on which scores are compared"
    )
    caliper: float | None = Field(
        None, gt=0, description="largest distance between a pilot and a comparator"
    )
    std_caliper: bool = Field(
        True, description="whether the caliper counts in SDs of the score (pilots and pool)"
    )
    order: Order = Field(
        "largest",
        description=(
            "who chooses first without replacement: the pilot with the largest or the smallest "
            "score, or the order of the codes (data)"
        ),
    )


class PreOutcomesSettings(NearestSettings):
    """Settings of ``pre-outcomes-units``."""

    features: tuple[str, ...] | None = Field(
        None,
        description=(
            "names of features, or beginnings that end in *; unless given: the outcome of every "
            "pre-period"
        ),
    )
    distance: Literal["euclidean", "mahalanobis"] = Field(
        "euclidean", description="distance between features standardised within pilots and pool"
    )
    caliper: float | None = Field(
        None, gt=0, description="largest distance allowed (features are in SDs)"
    )
    order: Order = Field(
        "largest",
        description=(
            "who chooses first without replacement: the pilot that is farthest from its nearest "
            "comparator (largest) or closest to it (smallest), or the order of the codes (data)"
        ),
    )


SCORE_DEFAULTS = ("outcome_pre_mean", "n_cases", "x_*")


@dataclass(frozen=True)
class Caliper:
    """A caliper in the units of the distance, and how to write it."""

    value: float | None
    words: str

    @property
    def reason(self) -> str:
        """Why a pilot has no comparator."""
        if self.value is None:
            return "no comparator was left"
        return f"no comparator within the {self.words}"


def _score_candidates(task: UnitTask, settings: PropensitySettings) -> Candidates:
    name = PropensityUnits.name
    if settings.features is not None:
        return candidates(task, settings.features, matcher=name)
    columns = [str(c) for c in task.features.columns]
    wanted = [c for c in columns if c in SCORE_DEFAULTS or c.startswith("x_")]
    return candidates(task, _some(wanted, "outcome_pre_mean, n_cases or x_...", name), matcher=name)


def _outcome_candidates(task: UnitTask, settings: PreOutcomesSettings) -> Candidates:
    name = PreOutcomesUnits.name
    if settings.features is not None:
        return candidates(task, settings.features, matcher=name)
    wanted = [str(c) for c in task.features.columns if features.PER_PERIOD.fullmatch(str(c))]
    return candidates(task, _some(wanted, "outcome_pre_<period>", name), matcher=name)


def _some(wanted: list[str], missing: str, matcher: str) -> list[str]:
    if not wanted:
        raise DesignError(
            f"Matcher '{matcher}': the authorities have no feature {missing} to be matched on. "
            "Name others in the setting 'features', or check that there are pre-period cases."
        )
    return wanted


def _score_caliper(settings: PropensitySettings, scores: np.ndarray) -> Caliper:
    """The caliper in units of the score; MatchIt's SD is that of all scores, with n - 1."""
    if settings.caliper is None:
        return Caliper(None, "")
    if not settings.std_caliper:
        return Caliper(settings.caliper, f"caliper of {settings.caliper:g}")
    sd = float(np.std(scores, ddof=1))
    return Caliper(settings.caliper * sd, f"caliper of {settings.caliper:g} SD")


def match_propensity(task: UnitTask, settings: PropensitySettings) -> UnitMatch:
    """Match pilots on the propensity score with scikit-learn and numpy.

    Raises:
        DesignError: If there is no pilot, no pool, or no feature that varies.
        SettingsError: If a feature is unknown.
        DataError: If a feature has gaps.
        EstimationError: If no propensity score exists (separation without a penalty).
    """
    given = _score_candidates(task, settings)
    scores = _fit(given, settings)
    score = scores.on(settings.distance)
    n = len(given.pilots)
    distance = np.abs(score[:n, None] - score[None, n:])
    pairs = match_on_distances(
        distance,
        ratio=settings.ratio,
        caliper=_score_caliper(settings, score).value,
        replacement=settings.replacement,
        turn=turns(score[:n], settings.order),
    )
    software = ScoreModel(settings).software
    matches = Matches(pairs, distance[pairs.treated, pairs.control], software, scores.probability)
    return _report_propensity(task, given, matches, settings)


def _fit(given: Candidates, settings: PropensitySettings) -> Scores:
    return ScoreModel(settings).fit(features.standardised(given.values), given.treated)


def match_propensity_r(task: UnitTask, settings: PropensitySettings) -> UnitMatch:
    """Match pilots on the propensity score with R's ``glm`` (or its ridge) and MatchIt.

    Raises:
        EngineError: If R fails; otherwise as :func:`match_propensity`.
    """
    given = _score_candidates(task, settings)
    if settings.penalty == "none":
        _fit(given, settings)  # says in a sentence when no score exists
    matches = r_engines.units_on_score(given, settings)
    return _report_propensity(task, given, matches, settings)


def _report_propensity(
    task: UnitTask, given: Candidates, matches: Matches, settings: PropensitySettings
) -> UnitMatch:
    scale = "logit of the propensity score" if settings.distance == "logit" else "propensity score"
    model = ScoreModel(settings).words(", ".join(given.names), of=" of being a pilot")
    caliper = _score_caliper(settings, np.zeros(2))
    method = (
        f"{_head(given, settings)} by nearest-neighbour matching on the {scale} "
        f"({model}){_tail(settings, caliper)}"
    )
    return unit_match(
        task, given, matches, method=method, ratio=settings.ratio, reason=caliper.reason
    )


def match_pre_outcomes(task: UnitTask, settings: PreOutcomesSettings) -> UnitMatch:
    """Match pilots on standardised pre-period outcomes with numpy.

    The Euclidean distance divides every feature by its SD within pilots and pool (pooled, with
    n - 2); the Mahalanobis distance uses the covariance pooled in the same way (Rubin 1980).

    Raises:
        DesignError: If there is no pilot, no pool, or no feature that varies.
        SettingsError: If a feature is unknown.
        DataError: If a feature has gaps.
    """
    given = _outcome_candidates(task, settings)
    distance = outcome_distances(given, settings.distance)
    pairs = match_on_distances(
        distance,
        ratio=settings.ratio,
        caliper=settings.caliper,
        replacement=settings.replacement,
        turn=turns(distance.min(axis=1), settings.order),
    )
    software = f"numpy {distribution_version('numpy')}"
    matches = Matches(pairs, distance[pairs.treated, pairs.control], software)
    return _report_outcomes(task, given, matches, settings)


def match_pre_outcomes_r(task: UnitTask, settings: PreOutcomesSettings) -> UnitMatch:
    """Match pilots on pre-period outcomes with MatchIt's distances and matching.

    Raises:
        EngineError: If R fails; otherwise as :func:`match_pre_outcomes`.
    """
    given = _outcome_candidates(task, settings)
    matches = r_engines.units_on_outcomes(given, settings)
    return _report_outcomes(task, given, matches, settings)


def outcome_distances(given: Candidates, kind: Literal["euclidean", "mahalanobis"]) -> np.ndarray:
    """Return the array (pilots, pool) of standardised Euclidean or Mahalanobis distances."""
    residuals = features.within_group_residuals(given.values, given.treated)
    degrees = max(len(residuals) - 2, 1)
    sd = np.sqrt((residuals**2).sum(axis=0) / degrees)
    scaled = given.values / sd
    n = len(given.pilots)
    gaps = scaled[:n, None, :] - scaled[None, n:, :]
    if kind == "euclidean":
        return np.asarray(np.sqrt((gaps**2).sum(axis=2)))
    correlation = (residuals / sd).T @ (residuals / sd) / degrees
    inverse = np.linalg.pinv(correlation, rcond=SINGULAR, hermitian=True)
    squared = np.einsum("ijk,kl,ijl->ij", gaps, inverse, gaps)
    return np.asarray(np.sqrt(np.maximum(squared, 0)))


SINGULAR = 1e-8
"""Eigenvalues of the pooled correlation below this share of the largest count as zero: more
pre-periods than authorities can tell apart leave directions without variance."""


def _report_outcomes(
    task: UnitTask, given: Candidates, matches: Matches, settings: PreOutcomesSettings
) -> UnitMatch:
    words = "standardised Euclidean" if settings.distance == "euclidean" else "Mahalanobis"
    number = settings.caliper
    caliper = Caliper(number, "" if number is None else f"caliper of {number:g}")
    method = (
        f"{_head(given, settings)} by nearest-neighbour matching on the {words} distance between "
        f"{', '.join(given.names)}{_tail(settings, caliper)}"
    )
    return unit_match(
        task, given, matches, method=method, ratio=settings.ratio, reason=caliper.reason
    )


def _head(given: Candidates, settings: NearestSettings) -> str:
    return (
        f"Each pilot was given up to {plural(settings.ratio, 'comparator')} out of "
        f"{len(given.pool)} authorities"
    )


def _tail(settings: PropensitySettings | PreOutcomesSettings, caliper: Caliper) -> str:
    firsts = {"largest": "largest first", "smallest": "smallest first", "data": "by code"}
    reuse = (
        "with replacement"
        if settings.replacement
        else f"without replacement, pilots in turn ({firsts[settings.order]})"
    )
    return f", {reuse}{f' and within a {caliper.words}' if caliper.words else ''}"


def score_limits(task: UnitTask, settings: PropensitySettings) -> str | None:  # noqa: ARG001
    """Say what the engine of R cannot do."""
    return only_logistic(settings, "r-matchit")


class PropensityUnits(Matcher):
    """Nearest neighbours on the propensity score."""

    name: ClassVar[str] = "propensity-units"
    label: ClassVar[str] = "Authorities: nearest neighbours on the propensity score"
    level: ClassVar[Literal["units", "cases"]] = "units"
    Settings: ClassVar[type[Settings]] = PropensitySettings
    citation: ClassVar[str] = (
        "Rosenbaum and Rubin (1983), Biometrika 70, 41-55; "
        "Ho, Imai, King and Stuart (2011), Journal of Statistical Software 42(8)"
    )
    engines: ClassVar[tuple[Engine, ...]] = (
        Engine("python", match_propensity, packages=("scikit-learn", "numpy")),
        Engine(
            "r-matchit",
            match_propensity_r,
            requires=(R_BASE, R_MATCHIT),
            limits=score_limits,
            packages=("MatchIt",),
        ),
    )


class PreOutcomesUnits(Matcher):
    """Nearest neighbours on the outcome of the pre-periods."""

    name: ClassVar[str] = "pre-outcomes-units"
    label: ClassVar[str] = "Authorities: nearest neighbours on pre-period outcomes"
    level: ClassVar[Literal["units", "cases"]] = "units"
    Settings: ClassVar[type[Settings]] = PreOutcomesSettings
    citation: ClassVar[str] = (
        "Stuart (2010), Statistical Science 25(1), 1-21; Rubin (1980), Biometrics 36, 293-298"
    )
    engines: ClassVar[tuple[Engine, ...]] = (
        Engine("python", match_pre_outcomes, packages=("numpy",)),
        Engine(
            "r-matchit", match_pre_outcomes_r, requires=(R_BASE, R_MATCHIT), packages=("MatchIt",)
        ),
    )


@hookimpl
def register_matchers(register: Any) -> None:
    """Offer the matchers of authorities."""
    register(PropensityUnits())
    register(PreOutcomesUnits())
    register(StatisticalNeighbours())
    register(GivenGroups())
    register(WholePool())
