"""What matchers of authorities on a distance share: settings, calipers, pairing, words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from sos_matchers.features import Candidates, expand_names, numeric
from sos_matchers.nearest import Order, Pairs, in_steps, match_on_distances, turns
from sos_matchers.optimal import match_optimally
from sos_matchers.summaries import plural
from sos_plugins import Settings, UnitTask

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
    order: Order = Field("data", description="who chooses first without replacement")

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


@dataclass(frozen=True)
class Caliper:
    """A caliper in the units of the distance, and how to write it."""

    value: float | None
    words: str


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
    distance: np.ndarray,
    settings: NearestSettings,
    caliper: float | None,
    keys: np.ndarray,
) -> Pairs:
    """Pair pilots with authorities of the pool.

    Args:
        distance: Array (pilots, pool); infinite where a pair is forbidden.
        settings: How.
        caliper: Largest distance allowed, or None.
        keys: Array (pilots,), by which pilots take turns without replacement.
    """
    if settings.method == "optimal":
        return match_optimally(distance, ratio=settings.ratio, caliper=caliper)
    return match_on_distances(
        distance,
        ratio=settings.ratio,
        caliper=caliper,
        replacement=settings.replacement,
        turn=turns(keys, settings.order),
    )


def unmatched_reason(settings: NearestSettings, caliper: Caliper) -> str:
    """Why a pilot has no comparator."""
    within = [f"the {caliper.words}"] if caliper.value is not None else []
    if settings.calipers:
        within.append("the calipers of single features")
    return f"no comparator within {' and '.join(within)}" if within else "no comparator was left"


def head_words(given: Candidates, settings: NearestSettings) -> str:
    """Begin a description."""
    return (
        f"Each pilot was given up to {plural(settings.ratio, 'comparator')} out of "
        f"{len(given.pool)} authorities"
    )


def method_words(settings: NearestSettings) -> str:
    """Name the way of pairing."""
    return "optimal pairing" if settings.method == "optimal" else "nearest-neighbour matching"


def tail_words(settings: NearestSettings, caliper: Caliper) -> str:
    """End the first sentence of a description."""
    if settings.method == "optimal":
        reuse = ", the least sum of distances without replacement"
    elif settings.replacement:
        reuse = ", with replacement"
    else:
        reuse = f", without replacement, pilots in turn ({FIRSTS[settings.order]})"
    within = f" and within a {caliper.words}" if caliper.words else ""
    of = ", ".join(f"{most:g} SD of {name}" for name, most in settings.calipers.items())
    return f"{reuse}{within}{f'; calipers of {of}' if of else ''}"


def matchit_is_greedy(settings: NearestSettings) -> str | None:
    """Say that the engine of R pairs otherwise than optimally."""
    if settings.method == "nearest":
        return None
    return (
        "the engine 'r-matchit' matches nearest neighbours; for method = 'optimal' MatchIt would "
        "need the package optmatch. Use the engine 'python'."
    )
