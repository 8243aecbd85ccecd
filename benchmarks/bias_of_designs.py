"""How far designs are off where pilots are unlike the pool: nobody has an effect.

    OPENBLAS_NUM_THREADS=1 python benchmarks/bias_of_designs.py --repeats 200

60 authorities, 9 pilots, 7 years, adoption in year 4 or 5, values in points. Levels have a
standard deviation of 5 between authorities; what befalls an authority in a year has one of 5 and
passes by a factor of 0.6 a year, and sampling adds 0.8: published re-referral percentages look like
this. Pilots are like the pool; or their levels are one or two standard deviations higher; or they
were chosen for a high value, the highest of all in year 3; or a shock of 10 points befell them in
the last year before adoption and was gone in the next; or they drift by -2 a year.

The mean of a design's estimates is its bias, here with one Monte Carlo error, and the standard
deviation of its estimates, which is what a smaller bias costs.

A further design is a line in ``DESIGNS``: a function of a sample and its pilots.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sos_estimators.did import Did
from sos_estimators.imputed import Imputation
from sos_estimators.synthetic.followed import averages, cell_weights, list_terms
from sos_estimators.synthetic.measured import Weigh, weigh_augmented, weigh_did
from sos_estimators.synthetic.panel import Panel, make_panel
from sos_estimators.synthetic.settings import (
    AugmentedSettings,
    SyntheticDidSettings,
    SyntheticSettings,
)
from sos_matchers.units import PreOutcomesUnits

from sos_plugins import Estimator, Sample, UnitTask
from sos_plugins.contract.types import Pilot

UNITS, PILOTS, YEARS, DATES = 60, 9, 7, (4, 5)
LEVEL, SHOCK, PERSISTENCE, SAMPLING = 5.0, 5.0, 0.6, 0.8
PASSING, DRIFT = 10.0, -2.0


@dataclass(frozen=True)
class Drawn:
    """A sample, and its panels by how many years before adoption are left out."""

    frame: pd.DataFrame
    panels: Mapping[int, Panel]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Drawn:
        settings = (SyntheticDidSettings(anticipation=n) for n in (0, 1))
        return cls(frame, {s.anticipation: make_panel(Sample(frame), s) for s in settings})


Design = Callable[[Drawn], float]


def simulate(rng: np.random.Generator, who: str) -> pd.DataFrame:
    """Make the means of authorities by year, pilots first."""
    cohort = np.zeros(UNITS, dtype=np.int64)
    cohort[:PILOTS] = [DATES[i % len(DATES)] for i in range(PILOTS)]
    level = rng.normal(0, LEVEL, UNITS)
    shocks = [rng.normal(0, SHOCK, UNITS)]
    for _ in range(YEARS - 1):
        step = rng.normal(0, SHOCK * np.sqrt(1 - PERSISTENCE**2), UNITS)
        shocks.append(PERSISTENCE * shocks[-1] + step)
    value = level[:, None] + np.column_stack(shocks) + rng.normal(0, SAMPLING, (UNITS, YEARS))
    if who == "chosen for a high year":
        value = value[np.argsort(-value[:, min(DATES) - 2])]
    year, pilot = np.arange(1, YEARS + 1), (cohort > 0)[:, None]
    value += {
        "like the pool": 0 * pilot,
        "1 SD above": LEVEL * pilot,
        "2 SD above": 2 * LEVEL * pilot,
        "chosen for a high year": 0 * pilot,
        "after a passing shock": PASSING * pilot * (year == cohort[:, None] - 1),
        "drift -2 a year": DRIFT * pilot * (year - 1),
    }[who]
    frame = pd.DataFrame(
        {
            "unit": np.repeat([f"E{u:02}" for u in range(UNITS)], YEARS),
            "period": np.tile(year, UNITS),
            "cohort": np.repeat(cohort, YEARS),
            "value": value.ravel(),
            "weight": 1.0,
        }
    )
    treated = (frame["cohort"] > 0).astype(int)
    post = treated * (frame["period"] >= frame["cohort"])
    return frame.assign(cluster=frame["unit"], treated=treated, post=post)


ROWS = (
    "like the pool",
    "1 SD above",
    "2 SD above",
    "chosen for a high year",
    "after a passing shock",
    "drift -2 a year",
)


def estimated(plugin: Estimator, frame: pd.DataFrame, **settings: Any) -> float:
    """Estimate by the first engine of an estimator."""
    options = plugin.Settings(**settings)
    estimate = plugin.engines[0].fit(Sample(frame), options)
    return float(estimate.term(plugin.headline(options))["estimate"])


def matched(drawn: Drawn, *, shape: bool) -> float:
    """Estimate on two comparators a pilot, nearest on earlier values or on their shape."""
    frame = drawn.frame
    wide = frame.pivot_table(index="unit", columns="period", values="value")
    dates = frame.groupby("unit")["cohort"].first()
    cohort = {str(unit): int(date) for unit, date in dates.items()}
    early = wide[list(range(1, min(DATES)))]
    early = early.sub(early.mean(axis=1), axis=0) if shape else early
    features = early.set_axis([f"outcome_pre_{year}" for year in early], axis=1)
    pilots = tuple(Pilot(u, None, None, g) for u, g in cohort.items() if g)
    matcher = PreOutcomesUnits()
    match = matcher.engines[0].fit(UnitTask(pilots, features), matcher.Settings())
    groups = []
    for group in match.groups:
        date = cohort[group.pilot]
        rows = frame[frame["unit"].isin([group.pilot, *group.comparators])]
        groups.append(
            rows.assign(
                group=group.pilot,
                cohort=rows["treated"],
                period=rows["period"] - date + 1,
                post=(rows["period"] >= date).astype(int),
            )
        )
    return estimated(Did(), pd.concat(groups, ignore_index=True), form="stacked")


def weighted(weigh: Weigh, settings: type[SyntheticSettings], **given: Any) -> Design:
    """Make a design of weights on the pool; without placebo pilots, which say nothing of bias."""
    options = settings(aggregate="simple", **given)

    def design(drawn: Drawn) -> float:
        panel = drawn.panels[options.anticipation]
        pilots = panel.pilots[None]
        gaps = weigh(panel, pilots, options).followed.gaps
        weight = cell_weights(panel, pilots, options)
        return float(averages(list_terms(panel, options), gaps, weight)[0, 0])

    return design


def pool(**given: Any) -> Design:
    """Make a design of imputation from the whole pool."""
    return lambda drawn: estimated(Imputation(), drawn.frame, aggregate="simple", **given)


of_did = partial(weighted, weigh_did, SyntheticDidSettings)
augmented = partial(weighted, weigh_augmented, AugmentedSettings)
DESIGNS: Mapping[str, Design] = {
    "2 nearest on levels": partial(matched, shape=False),
    "2 nearest on shape": partial(matched, shape=True),
    "whole pool": pool(),
    "whole pool, last year left out": pool(anticipation=1),
    "synthetic DiD": of_did(),
    "synthetic DiD, last year left out": of_did(anticipation=1),
    "synthetic DiD, own trends": of_did(shape="trend"),
    "augmented SC": augmented(),
    "augmented SC, on levels": augmented(shape="none"),
    "augmented SC, own trends": augmented(shape="trend"),
}


def one(seed: np.random.SeedSequence, who: str) -> dict[str, float]:
    """Estimate one sample by every design."""
    drawn = Drawn.of(simulate(np.random.default_rng(seed), who))
    return {name: design(drawn) for name, design in DESIGNS.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, help="file of JSON lines to add to")
    given = parser.parse_args()
    for who in given.rows:
        start = time.perf_counter()
        seeds = np.random.SeedSequence((given.seed, ROWS.index(who))).spawn(given.repeats)
        with ProcessPoolExecutor(given.processes) as pool:
            answers = pd.DataFrame(list(pool.map(partial(one, who=who), seeds, chunksize=5)))
        print(f"pilots {who} ({given.repeats} samples, {time.perf_counter() - start:.0f} s)")
        spread = answers.std()
        for name in DESIGNS:
            bias, sd = float(answers[name].mean()), float(spread.loc[name])
            error = sd / np.sqrt(given.repeats)
            print(f"    {name:36} bias {bias:6.2f} +- {error:.2f}   SD {sd:.2f}", flush=True)
        if given.out:
            row = {"row": who, "repeats": given.repeats, "bias": answers.mean().to_dict()}
            with given.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**row, "sd": spread.to_dict()}) + "\n")


if __name__ == "__main__":
    main()
