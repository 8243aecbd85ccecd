"""Matcher new-matcher: the authorities nearest to a pilot in a few features.

A working example to change: features are put on one scale, and each pilot takes the nearest of the
pool. Of two that are equally near the one with the lower code is taken.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from pydantic import Field

from sos_plugins import Engine, MatchedGroup, Matcher, Settings, UnitMatch, UnitTask, hookimpl
from sos_plugins.authors.results import balance_table
from sos_plugins.errors import DesignError, did_you_mean, listing

STILL_THE_EXAMPLE = "the nearest authorities in two features"  # take this line out when it is yours


class NewMatcherSettings(Settings):
    """Settings of the matcher."""

    features: tuple[str, ...] = Field(
        ("outcome_pre_mean", "n_cases"), min_length=1, description="features to be near in"
    )
    ratio: int = Field(2, ge=1, description="comparators for each pilot")


def distances(task: UnitTask, settings: NewMatcherSettings) -> pd.DataFrame:
    """Return the distance of each pilot (row) to each authority of the pool (column).

    Raises:
        DesignError: If a feature is unknown or the pool is empty.
    """
    for name in settings.features:
        if name not in task.features:
            raise DesignError(
                f"new-matcher: there is no feature '{name}'."
                f"{did_you_mean(name, task.features.columns)} "
                f"Features: {listing(task.features.columns)}."
            )
    if not task.pool:
        raise DesignError("new-matcher: the pool has no authority.")
    values = task.features[list(settings.features)]
    scaled = (values - values.mean()) / values.std(ddof=1).replace(0.0, 1.0)
    pilots, pool = sorted(p.unit for p in task.pilots), sorted(task.pool)
    gaps = scaled.loc[pilots].to_numpy()[:, None, :] - scaled.loc[pool].to_numpy()[None, :, :]
    return pd.DataFrame(np.sqrt((gaps**2).sum(axis=2)), index=pilots, columns=pool)


def match(task: UnitTask, settings: NewMatcherSettings) -> UnitMatch:
    """Give each pilot its nearest comparators; one comparator may serve several pilots."""
    rows, groups = [], []
    for pilot, row in distances(task, settings).iterrows():
        nearest = row.sort_values(kind="stable").head(settings.ratio)
        groups.append(MatchedGroup(str(pilot), tuple(nearest.index)))
        rows += [
            {"pilot": pilot, "comparator": unit, "distance": distance, "rank": rank}
            for rank, (unit, distance) in enumerate(nearest.items(), 1)
        ]
    pairs = pd.DataFrame(rows)
    uses = pairs["comparator"].value_counts().reindex(task.features.index, fill_value=0)
    treated = task.features.index.isin([p.unit for p in task.pilots])
    balance = balance_table(
        task.features,
        treated.astype(int),
        weight_after=np.where(treated, 1.0, uses.to_numpy(float)),
    )
    sentence = (
        f"Each pilot was given the {settings.ratio} authorities nearest to it in "
        f"{', '.join(settings.features)}, each in units of its standard deviation."
    )
    return UnitMatch(
        tuple(groups),
        pairs,
        pd.DataFrame(),
        balance,
        sentence=sentence,
        compared=tuple(settings.features),
    )


class NewMatcher(Matcher):
    """Nearest authorities in chosen features, with replacement."""

    name = "new-matcher"
    label = "New matcher"
    level = "units"
    Settings = NewMatcherSettings
    citation = "Stuart (2010), Statistical Science 25(1)"
    engines = (Engine(name="python", fit=match, packages=("numpy", "pandas")),)


@hookimpl
def register_matchers(register: Callable[[Matcher], None]) -> None:
    """Register the matcher."""
    register(NewMatcher())
