"""``pre-outcomes-units``: comparators by the outcomes of earlier periods."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from sos_matchers import r_engines
from sos_matchers.features import PER_PERIOD, Candidates, candidates
from sos_matchers.pairing import (
    DISTANCES,
    Caliper,
    FeatureDistanceSettings,
    forbidden_pairs,
    greedy_limits,
    matched_on_features,
    unit_match,
)
from sos_matchers.paths import Compare, Shrink, as_compared, composition, shrunk, spread_within
from sos_matchers.summaries import Matches
from sos_plugins import Engine, Matcher, Settings, UnitMatch, UnitTask
from sos_plugins.errors import DesignError


class PreOutcomesSettings(FeatureDistanceSettings):
    """Settings of ``pre-outcomes-units``."""

    features: tuple[str, ...] | None = Field(
        None,
        description=(
            "names of features, or beginnings that end in *; unless given: the outcome of every "
            "pre-period"
        ),
    )
    compare: Compare = Field(
        "levels",
        description=(
            "what of the earlier outcomes: levels; shape: each less the authority's own mean; "
            "trend: the slope of a straight line"
        ),
    )
    shrink: Shrink = Field(
        "none",
        description=(
            "features drawn to their mean by their reliability, the share of variance that is "
            "no noise; noise is that of sampling cases (sampling), or all that "
            "passes from period to period (transient)"
        ),
    )
    caliper: float | None = Field(
        None, gt=0, description="largest distance allowed (features are in SDs)"
    )

    @model_validator(mode="after")
    def _shapes_pass(self) -> PreOutcomesSettings:
        if self.compare == "shape" and self.shrink == "transient":
            raise ValueError(
                "compare = 'shape' goes with shrink = 'none' or 'sampling': what passes from "
                "period to period is all that shapes differ by"
            )
        return self


def match_pre_outcomes(task: UnitTask, settings: PreOutcomesSettings) -> UnitMatch:
    """Match pilots on standardised pre-period outcomes with numpy.

    The Euclidean distance divides every feature by its SD within pilots and pool (pooled, with
    n - 2); the Mahalanobis distance uses the covariance pooled in the same way (Rubin 1980).

    Raises:
        DesignError: If there is no pilot, no pool, or no feature that varies.
        SettingsError: If a feature is unknown.
        DataError: If a feature has gaps, or nothing tells how reliable it is.
    """
    name, compare = PreOutcomesUnits.name, settings.compare
    before = _candidates(task, settings)
    given = as_compared(before, compare, name)
    drawn = shrunk(task, given, composition(before.names, compare, name), settings.shrink, name)
    distance = outcome_distances(given, settings.distance, drawn)
    matches = matched_on_features(task, given, distance, settings)
    return _report(task, given, matches, settings)


def match_pre_outcomes_r(task: UnitTask, settings: PreOutcomesSettings) -> UnitMatch:
    """Match pilots on pre-period outcomes with MatchIt's distances and matching.

    Raises:
        EngineError: If R fails; otherwise as :func:`match_pre_outcomes`.
    """
    given = as_compared(_candidates(task, settings), settings.compare, PreOutcomesUnits.name)
    forbidden = forbidden_pairs(task, given, settings)
    matches = r_engines.units_on_outcomes(given, settings, forbidden)
    return _report(task, given, matches, settings)


def r_limits(task: UnitTask, settings: PreOutcomesSettings) -> str | None:
    """Say what the engine of R cannot do."""
    if settings.shrink != "none":
        return "the engine 'r-matchit' does not shrink features. Use the engine 'python'."
    return greedy_limits(task, settings)


def _candidates(task: UnitTask, settings: PreOutcomesSettings) -> Candidates:
    name = PreOutcomesUnits.name
    if settings.features is not None:
        return candidates(task, settings.features, matcher=name)
    wanted = [str(c) for c in task.features.columns if PER_PERIOD.fullmatch(str(c))]
    if not wanted:
        raise DesignError(
            f"Matcher '{name}': the authorities have no feature outcome_pre_<period> to be matched "
            "on. Name others in the setting 'features', or check that there are pre-period cases."
        )
    return candidates(task, wanted, matcher=name)


SINGULAR = 1e-8
"""Eigenvalues of the pooled correlation below this share of the largest count as zero: more
pre-periods than authorities can tell apart leave directions without variance."""


def outcome_distances(
    given: Candidates,
    kind: Literal["euclidean", "mahalanobis"],
    drawn: np.ndarray | None = None,
) -> np.ndarray:
    """Return the array (pilots, pool) of standardised Euclidean or Mahalanobis distances.

    Args:
        given: The candidates, whose features set the scale.
        kind: The distance.
        drawn: Array like ``given.values`` of the features that are compared in their place, such
            as shrunk ones.
    """
    sd, residuals = spread_within(given)
    scaled = (given.values if drawn is None else drawn) / sd
    n = len(given.pilots)
    gaps = scaled[:n, None, :] - scaled[None, n:, :]
    if kind == "euclidean":
        return np.asarray(np.sqrt((gaps**2).sum(axis=2)))
    standard = residuals / sd
    correlation = standard.T @ standard / max(len(standard) - 2, 1)
    inverse = np.linalg.pinv(correlation, rcond=SINGULAR, hermitian=True)
    squared = np.einsum("ijk,kl,ijl->ij", gaps, inverse, gaps)
    return np.asarray(np.sqrt(np.maximum(squared, 0)))


def _report(
    task: UnitTask, given: Candidates, matches: Matches, settings: PreOutcomesSettings
) -> UnitMatch:
    drawn = "" if settings.shrink == "none" else f", {SHRUNK[settings.shrink]}"
    on = (
        f"the {DISTANCES[settings.distance]} distance between {', '.join(given.names)}"
        f"{COMPARED[settings.compare]}{drawn}"
    )
    caliper = Caliper.of(settings.caliper)
    return unit_match(task, given, matches, settings, on=on, caliper=caliper)


COMPARED = {
    "levels": "",
    "shape": " (outcomes less the authority's own mean)",
    "trend": " (slopes)",
}
SHRUNK = {
    "sampling": "drawn to their means by their reliability against sampling",
    "transient": "drawn to their means by their reliability against what passes from period to "
    "period",
}


class PreOutcomesUnits(Matcher):
    """Nearest neighbours on the outcome of the pre-periods."""

    name: ClassVar[str] = "pre-outcomes-units"
    label: ClassVar[str] = "Authorities: nearest neighbours on pre-period outcomes"
    short_label: ClassVar[str] = "earlier outcomes"
    level: ClassVar[Literal["units", "cases"]] = "units"
    Settings: ClassVar[type[Settings]] = PreOutcomesSettings
    citation: ClassVar[str] = (
        "Stuart (2010), Statistical Science 25(1), 1-21; Rubin (1980), Biometrics 36, 293-298; "
        "Rosenbaum (1989), Journal of the American Statistical Association 84, 1024-1032"
    )
    engines: ClassVar[tuple[Engine, ...]] = (
        Engine("python", match_pre_outcomes, packages=("numpy", "scipy")),
        r_engines.matchit_engine(match_pre_outcomes_r, r_limits),
    )
