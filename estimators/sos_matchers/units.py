"""``propensity-units``: comparators by the propensity score. Offers all matchers of authorities.

Greedy nearest-neighbour matching as in Stuart (2010) and MatchIt (Ho, Imai, King and Stuart 2011).
The engine ``r-matchit`` computes scores or distances with R's own functions and leaves the matching
to ``MatchIt::matchit()``.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from sos_matchers import features, r_engines
from sos_matchers.classifiers import ScoreModel, ScoreSettings, only_logistic
from sos_matchers.earlier_outcomes import PreOutcomesUnits
from sos_matchers.features import Candidates, candidates, is_kind
from sos_matchers.listed_groups import GivenGroups, StatisticalNeighbours, WholePool
from sos_matchers.mixed import MixedUnits
from sos_matchers.nearest import Order
from sos_matchers.pairing import (
    Caliper,
    NearestSettings,
    forbidden_pairs,
    greedy_limits,
    paired,
    unit_match,
)
from sos_matchers.propensity import Scores
from sos_matchers.summaries import Matches
from sos_plugins import Engine, Matcher, Settings, UnitMatch, UnitTask, hookimpl
from sos_plugins.errors import DesignError


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


SCORE_DEFAULTS = ("outcome_pre_mean", "n_cases")
"""Features of the score unless told otherwise, beside all characteristics."""


def _score_candidates(task: UnitTask, settings: PropensitySettings) -> Candidates:
    name = PropensityUnits.name
    if settings.features is not None:
        return candidates(task, settings.features, matcher=name)
    columns = [str(c) for c in task.features.columns]
    wanted = [c for c in columns if is_kind(c, SCORE_DEFAULTS) or c.startswith("x_")]
    if not wanted:
        raise DesignError(
            f"Matcher '{name}': the authorities have no feature outcome_pre_mean, n_cases or x_... "
            "to be matched on. Name others in the setting 'features', or check that there are "
            "pre-period cases."
        )
    return candidates(task, wanted, matcher=name)


def _score_caliper(settings: PropensitySettings, scores: np.ndarray) -> Caliper:
    """The caliper in units of the score; MatchIt's SD is that of all scores, with n - 1."""
    if settings.caliper is None or not settings.std_caliper:
        return Caliper.of(settings.caliper)
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
    caliper = _score_caliper(settings, score).value
    pairs = paired(task, given, distance, settings, caliper=caliper, keys=score[:n])
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
    matches = r_engines.units_on_score(given, settings, forbidden_pairs(task, given, settings))
    return _report_propensity(task, given, matches, settings)


def _report_propensity(
    task: UnitTask, given: Candidates, matches: Matches, settings: PropensitySettings
) -> UnitMatch:
    scale = "logit of the propensity score" if settings.distance == "logit" else "propensity score"
    model = ScoreModel(settings).words(", ".join(given.names), of=" of being a pilot")
    caliper = _score_caliper(settings, np.zeros(2))
    return unit_match(task, given, matches, settings, on=f"the {scale} ({model})", caliper=caliper)


def score_limits(task: UnitTask, settings: PropensitySettings) -> str | None:
    """Say what the engine of R cannot do."""
    return only_logistic(settings, "r-matchit") or greedy_limits(task, settings)


class PropensityUnits(Matcher):
    """Nearest neighbours on the propensity score."""

    name: ClassVar[str] = "propensity-units"
    label: ClassVar[str] = "Authorities: nearest neighbours on the propensity score"
    short_label: ClassVar[str] = "the propensity score"
    level: ClassVar[Literal["units", "cases"]] = "units"
    Settings: ClassVar[type[Settings]] = PropensitySettings
    citation: ClassVar[str] = (
        "Rosenbaum and Rubin (1983), Biometrika 70, 41-55; "
        "Ho, Imai, King and Stuart (2011), Journal of Statistical Software 42(8)"
    )
    engines: ClassVar[tuple[Engine, ...]] = (
        Engine("python", match_propensity, packages=("scikit-learn", "numpy")),
        r_engines.matchit_engine(match_propensity_r, score_limits),
    )


@hookimpl
def register_matchers(register: Any) -> None:
    """Offer the matchers of authorities."""
    register(PropensityUnits())
    register(PreOutcomesUnits())
    register(MixedUnits())
    register(StatisticalNeighbours())
    register(GivenGroups())
    register(WholePool())
