"""``mixed-units``: comparators by a mix of distances with chosen weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from sos_matchers import r_engines
from sos_matchers.earlier_outcomes import outcome_distances
from sos_matchers.features import PER_PERIOD, Candidates, candidates, is_kind, sides
from sos_matchers.pairing import (
    DISTANCES,
    Caliper,
    FeatureDistanceSettings,
    forbidden_pairs,
    greedy_limits,
    matched_on_features,
    unit_match,
)
from sos_matchers.paths import Compare, as_compared
from sos_matchers.summaries import Matches
from sos_plugins import Engine, Matcher, Settings, UnitMatch, UnitTask
from sos_plugins.errors import DesignError, did_you_mean, listing

PARTS = {
    "levels": "the levels of earlier outcomes",
    "shape": "the shape of earlier outcomes",
    "trend": "the trend of earlier outcomes",
    "characteristics": "the characteristics",
    "case-mix": "the case mix",
    "size": "the number of cases",
    "neighbours": "the place among statistical neighbours",
}
"""What a mix may be made of, in words."""


class MixedSettings(FeatureDistanceSettings):
    """Settings of ``mixed-units``."""

    weights: dict[str, float] = Field(
        {"shape": 1.0, "characteristics": 1.0},
        description=(
            f"what counts how much: {', '.join(PARTS)}. Each distance is first divided by its "
            "median over all pairs, so that equal weights count alike"
        ),
    )
    caliper: float | None = Field(
        None, gt=0, description="largest distance allowed; 1 is that of a typical pair"
    )

    @model_validator(mode="after")
    def _known_parts(self) -> MixedSettings:
        for name, weight in self.weights.items():
            if name not in PARTS:
                raise ValueError(
                    f"weights name '{name}'.{did_you_mean(name, list(PARTS))} Known: "
                    f"{listing(PARTS)}"
                )
            if weight < 0:
                raise ValueError(f"the weight of {name} is {weight:g}; expected 0 or more")
        if not any(self.weights.values()):
            raise ValueError(
                "weights are all 0; give at least one part of the mix a weight above 0"
            )
        return self


NO_CASE_MIX = ("x_", "outcome_pre_")
"""What the names of features begin with that are no means of covariates."""


@dataclass(frozen=True)
class Mix:
    """Distances of a mix.

    Attributes:
        given: Pilots and pool, with the features that any part compares.
        parts: By name of the part its candidates; of neighbours the array (pilots, pool) of places.
    """

    given: Candidates
    parts: Mapping[str, Candidates | np.ndarray]


def match_mixed(task: UnitTask, settings: MixedSettings) -> UnitMatch:
    """Match pilots on a mix of distances, with numpy.

    Raises:
        DesignError: If there is no pilot, no pool, or nothing that varies in some part.
        DataError: If a feature has gaps.
    """
    mix = mix_of(task, settings)
    distance = mixed_distance(mix, settings)
    matches = matched_on_features(task, mix.given, distance, settings)
    return _report(task, mix, matches, settings)


def match_mixed_r(task: UnitTask, settings: MixedSettings) -> UnitMatch:
    """Match pilots on a mix of MatchIt's distances, by MatchIt.

    Raises:
        EngineError: If R fails; otherwise as :func:`match_mixed`.
    """
    mix = mix_of(task, settings)
    forbidden = forbidden_pairs(task, mix.given, settings)
    weights = {name: settings.weights[name] for name in mix.parts}
    matches = r_engines.units_on_mix(mix.given, mix.parts, weights, settings, forbidden)
    return _report(task, mix, matches, settings)


def mix_of(task: UnitTask, settings: MixedSettings) -> Mix:
    """Collect what every part of the mix with a weight compares."""
    wanted = [name for name in PARTS if settings.weights.get(name, 0) > 0]
    parts: dict[str, Candidates | np.ndarray] = {}
    names: list[str] = []
    for name in wanted:
        if name == "neighbours":
            parts[name] = _places(task)
            continue
        part = _compared(task, name)
        parts[name] = part
        names += [n for n in part.names if n not in names]
    pilots, pool, unmatched = sides(task, matcher=MixedUnits.name)
    notes = [note for p in parts.values() if isinstance(p, Candidates) for note in p.notes]
    empty = np.zeros((len(pilots) + len(pool), 0))
    given = Candidates(
        pilots, pool, empty, tuple(names), unmatched, notes=tuple(dict.fromkeys(notes))
    )
    return Mix(given, parts)


def _compared(task: UnitTask, part: str) -> Candidates:
    """The candidates of a part, with the features that it compares."""
    known = [str(c) for c in task.features.columns]
    earlier = [c for c in known if PER_PERIOD.fullmatch(c)]
    features = {
        "characteristics": [c for c in known if c.startswith("x_")],
        "size": [c for c in known if is_kind(c, ("n_cases",))],
        "case-mix": [
            c for c in known if not (c.startswith(NO_CASE_MIX) or is_kind(c, ("n_cases",)))
        ],
    }.get(part, earlier)
    if not features:
        raise DesignError(
            f"Matcher '{MixedUnits.name}': weights name {part}, but nothing tells {PARTS[part]} of "
            f"the authorities. Features there are: {listing(known)}."
        )
    given = candidates(task, features, matcher=MixedUnits.name)
    compare: Compare = "shape" if part == "shape" else "trend" if part == "trend" else "levels"
    return as_compared(given, compare, MixedUnits.name)


def _places(task: UnitTask) -> np.ndarray:
    """Places of the pool in each pilot's list of neighbours, (pilots, pool); one after the last."""
    if not task.neighbours:
        raise DesignError(
            f"Matcher '{MixedUnits.name}': weights name neighbours, but no source of the study "
            "knows statistical neighbours. Add the source 'published' with a file of neighbours, "
            "or leave neighbours out."
        )
    pilots, pool, _ = sides(task, matcher=MixedUnits.name)
    lists = [task.neighbours.get(pilot, ()) for pilot in pilots]
    last = max(map(len, lists)) + 1
    return np.array(
        [[own.index(code) + 1 if code in own else last for code in pool] for own in lists], float
    )


def mixed_distance(mix: Mix, settings: MixedSettings) -> np.ndarray:
    """Return the array (pilots, pool) of mixed distances: 1 is that of a typical pair."""
    total = np.zeros((len(mix.given.pilots), len(mix.given.pool)))
    for name, part in mix.parts.items():
        own = outcome_distances(part, settings.distance) if isinstance(part, Candidates) else part
        typical = float(np.median(own))
        total += settings.weights[name] * own / (typical if typical > 0 else 1.0)
    return total / sum(settings.weights[name] for name in mix.parts)


def _report(task: UnitTask, mix: Mix, matches: Matches, settings: MixedSettings) -> UnitMatch:
    shares = ", ".join(f"{settings.weights[name]:g} for {PARTS[name]}" for name in mix.parts)
    on = (
        f"a weighted mean of {DISTANCES[settings.distance]} distances, each in units of its median "
        f"({shares})"
    )
    caliper = Caliper.of(settings.caliper)
    return unit_match(task, mix.given, matches, settings, on=on, caliper=caliper)


class MixedUnits(Matcher):
    """Nearest neighbours on a mix of distances with chosen weights."""

    name: ClassVar[str] = "mixed-units"
    label: ClassVar[str] = "Authorities: a mix of earlier outcomes, characteristics and neighbours"
    short_label: ClassVar[str] = "several distances"
    level: ClassVar[Literal["units", "cases"]] = "units"
    Settings: ClassVar[type[Settings]] = MixedSettings
    citation: ClassVar[str] = "Stuart (2010), Statistical Science 25(1), 1-21"
    engines: ClassVar[tuple[Engine, ...]] = (
        Engine("python", match_mixed, packages=("numpy", "scipy")),
        r_engines.matchit_engine(match_mixed_r, greedy_limits),
    )
