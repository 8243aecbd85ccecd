"""How often methods of inference find an effect that is not there, with few treated authorities.

    OPENBLAS_NUM_THREADS=1 python benchmarks/size_did.py --units 40 --treated 9 --repeats 300

Authorities of unequal size (lognormal, standard deviation 0.6 of the log, mean 100 cases a year),
10 years, adoption at three dates, no effect. What a case has in common with its authority and year
is an autoregressive shock (0.6 from year to year, variance 0.25 as far as it does not die out) and
there is noise of variance 1 a case. Shown is the share of samples in which each method rejects at
5% that the effect is zero, and how far chance may have moved it (two standard errors).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
from sos_estimators.did.classic import DidSettings
from sos_estimators.did.several import Method, inference

from sos_plugins import Sample
from sos_plugins.cells import COMPRESSED

METHODS: tuple[Method, ...] = ("CR1", "CR2", "CR3", "CR3J", "WCR", "WCU", "RI-beta", "RI-t")
YEARS, PERSISTENCE, SHOCK = 10, 0.6, 0.5
LEVEL = 0.05


def simulate(rng: np.random.Generator, n_units: int, n_treated: int) -> Sample:
    """Make the cells of one sample without an effect, compressed."""
    size = rng.lognormal(np.log(100) - 0.18, 0.6, n_units)
    n = 2 + rng.poisson(np.repeat(size, YEARS)).astype(float)
    shock = rng.normal(0, SHOCK, n_units)
    shocks = [shock]
    for _ in range(YEARS - 1):
        step = rng.normal(0, SHOCK * np.sqrt(1 - PERSISTENCE**2), n_units)
        shocks.append(PERSISTENCE * shocks[-1] + step)
    value = np.column_stack(shocks).ravel() + rng.normal(size=len(n)) / np.sqrt(n)
    cohort = np.zeros(n_units, dtype=np.int64)
    cohort[rng.choice(n_units, n_treated, replace=False)] = 4 + np.arange(n_treated) % 3
    unit = np.repeat([f"E{u:03}" for u in range(n_units)], YEARS)
    period = np.tile(np.arange(YEARS), n_units)
    starts = np.repeat(cohort, YEARS)
    frame = pd.DataFrame({"unit": unit, "cluster": unit, "period": period, "cohort": starts})
    frame["treated"] = (starts > 0).astype(int)
    frame["post"] = ((starts > 0) & (period >= starts)).astype(int)
    frame = frame.assign(value=value, weight=n)
    return Sample(frame.assign(**dict(zip(COMPRESSED, (n, n, n * value), strict=True))))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--units", type=int, default=40)
    parser.add_argument("--treated", type=int, default=9)
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--draws", type=int, default=399)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    start = time.perf_counter()
    rejected, covered = [], []
    for number in range(given.repeats):
        sample = simulate(rng, given.units, given.treated)
        table = inference(sample, DidSettings(), METHODS, seed=number, draws=given.draws).table
        rejected.append((table["p_value"] < LEVEL).to_numpy())
        inside = (table["conf_low"] <= 0) & (table["conf_high"] >= 0)
        covered.append(np.where(table["conf_low"].isna(), np.nan, inside))
    share, cover = np.mean(rejected, axis=0), np.mean(covered, axis=0)
    print(
        f"{given.treated} treated of {given.units}, {given.repeats} samples, "
        f"{given.draws} draws, {time.perf_counter() - start:.0f} s"
    )
    for method, rate, holds in zip(METHODS, share, cover, strict=True):
        chance = 2 * np.sqrt(rate * (1 - rate) / given.repeats)
        print(
            f"{method:8} size {rate:6.1%} +- {chance:4.1%}"
            + ("" if np.isnan(holds) else f"   coverage {holds:6.1%}")
        )


if __name__ == "__main__":
    main()
