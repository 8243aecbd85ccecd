"""What matchers of authorities on a distance share: settings, calipers, pairing, words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from sos_matchers.features import Candidates, expand_names, numeric
from sos_matchers.nearest import Order, Pairs, in_steps, match_on_distances, turns
from sos_matchers.optimal import match_optimally
from sos_matchers.summaries import (
    Matches,
    Sentences,
    assemble,
    pair_rows,
    plural,
    scores_frame,
)
from sos_plugins import Settings, UnitMatch, UnitTask
from sos_plugins.groundwork.installed import distribution_version

FIRSTS = {"largest": "largest first", "smallest": "smallest first", "data": "by code"}


class NearestSettings(Settings):
    """What matchers on a distance take."""

    ratio: int = Field(2, ge=1, description="comparators for each pilot, at most")
    replacement: bool = Field(
        True,
        description="whether a comparator may serve several pilots, as in the 2021 analysis",
    )
    method: Literal["nearest", "optimal"] = Field(
        "nearest",
        description=(
            "nearest: each pilot takes its nearest comparators; optimal: the pairing without "
            "replacement that has the least sum of distances"
        ),
    )
    calipers: dict[str, float] = Field(
        {},
        description=(
            "largest differences in single features, in their SDs over pilots and pool: "
            "{ x_density = 0.5 }"
        ),
    )
    caliper: float | None = Field(
        None, gt=0, description="largest distance between a pilot and a comparator"
    )
    order: Order = Field(
        "largest",
        description=(
            "who chooses first without replacement: the pilot that is farthest from its nearest "
            "comparator (largest) or closest to it (smallest), or the order of the codes (data)"
        ),
    )

    @model_validator(mode="after")
    def _optimal_is_without_replacement(self) -> NearestSettings:
        if self.method == "optimal" and self.replacement:
            raise ValueError(
                "method 'optimal' gives a comparator to one pilot only: set replacement = false, "
                "or method = 'nearest' (which is optimal with replacement)"
            )
        if wrong := [name for name, most in self.calipers.items() if not most > 0]:
            raise ValueError(f"calipers must be above 0; {', '.join(wrong)} is not")
        return self


class FeatureDistanceSettings(NearestSettings):
    """What matchers on a distance between features take."""

    distance: Literal["euclidean", "mahalanobis"] = Field(
        "euclidean", description="distance between features standardised within pilots and pool"
    )


DISTANCES = {"euclidean": "standardised Euclidean", "mahalanobis": "Mahalanobis"}
"""Distances between features, in words."""


@dataclass(frozen=True)
class Caliper:
    """A caliper in the units of the distance, and how to write it."""

    value: float | None
    words: str

    @classmethod
    def of(cls, value: float | None) -> Caliper:
        """Make a caliper of the number that was asked for, if one was."""
        return cls(value, "" if value is None else f"caliper of {value:g}")


def forbidden_pairs(task: UnitTask, given: Candidates, settings: NearestSettings) -> np.ndarray:
    """Whether single features of a pilot and of an authority differ too much, (pilots, pool).

    Raises:
        SettingsError: If a feature with a caliper is unknown.
        DataError: If it has gaps.
    """
    n = len(given.pilots)
    forbidden = np.zeros((n, len(given.pool)), dtype=bool)
    if not settings.calipers:
        return forbidden
    names = [str(c) for c in task.features.columns]
    for entry, most in settings.calipers.items():
        columns = expand_names([entry], names, matcher="calipers")
        values = numeric(task.features.loc[list(given.units), columns], matcher="calipers")
        for name in columns:
            value = values[name].to_numpy()
            gap = np.abs(value[:n, None] - value[None, n:])
            forbidden |= in_steps(gap) > in_steps(most * np.std(value, ddof=1))
    return forbidden


def paired(
    task: UnitTask,
    given: Candidates,
    distance: np.ndarray,
    settings: NearestSettings,
    *,
    caliper: float | None,
    keys: np.ndarray,
) -> Pairs:
    """Pair pilots with authorities of the pool, within the calipers of single features.

    Args:
        task: What the matcher was given.
        given: Pilots and pool.
        distance: Array (pilots, pool).
        settings: How.
        caliper: Largest distance allowed, or None.
        keys: Array (pilots,), by which pilots take turns without replacement.

    Raises:
        SettingsError: If a feature with a caliper is unknown.
        DataError: If it has gaps.
    """
    allowed = np.where(forbidden_pairs(task, given, settings), np.inf, distance)
    if settings.method == "optimal":
        return match_optimally(allowed, ratio=settings.ratio, caliper=caliper)
    return match_on_distances(
        allowed,
        ratio=settings.ratio,
        caliper=caliper,
        replacement=settings.replacement,
        turn=turns(keys, settings.order),
    )


def matched_on_features(
    task: UnitTask, given: Candidates, distance: np.ndarray, settings: FeatureDistanceSettings
) -> Matches:
    """Match pilots on a distance between features, (pilots, pool), with numpy.

    Raises:
        SettingsError: If a feature with a caliper is unknown.
        DataError: If it has gaps.
    """
    nearest = distance.min(axis=1)
    pairs = paired(task, given, distance, settings, caliper=settings.caliper, keys=nearest)
    software = f"numpy {distribution_version('numpy')}"
    return Matches(pairs, distance[pairs.treated, pairs.control], software)


def unit_match(
    task: UnitTask,
    given: Candidates,
    matches: Matches,
    settings: NearestSettings,
    *,
    on: str,
    caliper: Caliper,
) -> UnitMatch:
    """Put the result of matching on a distance together.

    Args:
        task: What the matcher was given.
        given: The candidates that were compared.
        matches: The pairs.
        settings: What was asked for.
        on: The distance, in words.
        caliper: The largest distance allowed.
    """
    rows = pair_rows(given, matches)
    reason = _unmatched_reason(settings, caliper)
    alone = {code: reason for code in given.pilots if code not in set(rows["pilot"])}
    ties = (TIES,) if settings.method == "nearest" else ()
    words = Sentences(
        f"{_method(given, settings, on, caliper)}; {matches.software}.",
        settings.ratio,
        (*ties, *given.notes),
    )
    return assemble(
        task,
        rows,
        {**given.unmatched, **alone},
        words,
        scores=scores_frame(given, matches),
        compared=given.names,
    )


TIES = "Ties in distance went to the lower authority code."


def _unmatched_reason(settings: NearestSettings, caliper: Caliper) -> str:
    """Why a pilot has no comparator."""
    within = [f"the {caliper.words}"] if caliper.value is not None else []
    if settings.calipers:
        within.append("the calipers of single features")
    return f"no comparator within {' and '.join(within)}" if within else "no comparator was left"


def _method(given: Candidates, settings: NearestSettings, on: str, caliper: Caliper) -> str:
    """The first sentence of a description, without the software and its full stop."""
    optimal = settings.method == "optimal"
    if optimal:
        reuse = ", the least sum of distances without replacement"
    elif settings.replacement:
        reuse = ", with replacement"
    else:
        reuse = f", without replacement, pilots in turn ({FIRSTS[settings.order]})"
    within = f" and within a {caliper.words}" if caliper.words else ""
    of = ", ".join(f"{most:g} SD of {name}" for name, most in settings.calipers.items())
    return (
        f"Each pilot was given up to {plural(settings.ratio, 'comparator')} out of "
        f"{len(given.pool)} authorities by "
        f"{'optimal pairing' if optimal else 'nearest-neighbour matching'} on {on}{reuse}{within}"
        f"{f'; calipers of {of}' if of else ''}"
    )


def greedy_limits(task: UnitTask, settings: NearestSettings) -> str | None:  # noqa: ARG001
    """Say that the engine of R pairs otherwise than optimally."""
    if settings.method == "nearest":
        return None
    return (
        "the engine 'r-matchit' matches nearest neighbours; for method = 'optimal' MatchIt would "
        "need the package optmatch. Use the engine 'python'."
    )
