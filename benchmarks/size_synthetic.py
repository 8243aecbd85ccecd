"""How often weights on the pool find an effect that is not there, by each method of inference.

    OPENBLAS_NUM_THREADS=1 python benchmarks/size_synthetic.py --repeats 300

Authorities of unequal size (lognormal, standard deviation 0.6 of the log), 10 years. What befalls
an authority in a year has a standard deviation of 5 points and passes by a factor of 0.6 a year, as
published re-referral percentages do; a case adds 10 points of noise over the root of its number.
Nine are treated, at three dates: drawn from all, the largest or the smallest. Nobody has an effect:
the share of samples with p < 0.05 is the size, which should be 5%. One standard error of chance
beside each share. The default of both estimators is own-effects.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
from sos_estimators.synthetic.plugins import AUGMENTED, SYNTHETIC_DID

from sos_plugins import Sample

YEARS, SHOCK, PERSISTENCE, NOISE, LEVEL = 10, 5.0, 0.6, 10.0, 0.05
DATES = (5, 6, 7)
DESIGNS = ("9/40/alike", "9/40/small", "9/40/large", "9/150/alike", "4/40/alike")
ESTIMATORS = {plugin.name: plugin for plugin in (SYNTHETIC_DID, AUGMENTED)}


def simulate(rng: np.random.Generator, design: str) -> Sample:
    """Make the means of authorities by year."""
    treated, units, who = design.split("/")
    n = int(units)
    size = rng.lognormal(np.log(100) - 0.18, 0.6, n)
    order = {"alike": rng.permutation(n), "small": np.argsort(size), "large": np.argsort(-size)}
    cohort = np.zeros(n, dtype=np.int64)
    cohort[order[who][: int(treated)]] = [DATES[i % 3] for i in range(int(treated))]
    shocks = [rng.normal(0, SHOCK, n)]
    for _ in range(YEARS - 1):
        step = rng.normal(0, SHOCK * np.sqrt(1 - PERSISTENCE**2), n)
        shocks.append(PERSISTENCE * shocks[-1] + step)
    weight = 2 + rng.poisson(size[:, None], (n, YEARS)).astype(float)
    value = np.column_stack(shocks) + rng.normal(0, NOISE, (n, YEARS)) / np.sqrt(weight)
    unit = np.repeat([f"E{u:03}" for u in range(n)], YEARS)
    period, starts = np.tile(np.arange(1, YEARS + 1), n), np.repeat(cohort, YEARS)
    frame = pd.DataFrame({"unit": unit, "cluster": unit, "period": period, "cohort": starts})
    frame["treated"] = (starts > 0).astype(int)
    frame["post"] = frame["treated"] * (period >= starts)
    return Sample(frame.assign(value=value.ravel(), weight=weight.ravel()))


def one(seed: np.random.SeedSequence, design: str, estimator: str, shape: str) -> dict[str, float]:
    """Judge one sample by every method: 1 for an effect found."""
    plugin = ESTIMATORS[estimator]
    options = plugin.Settings(aggregate="simple", draws=99, poor_fit="tell", shape=shape)
    glance: Mapping[str, list[dict[str, float]]] = (
        plugin.engines[0].fit(simulate(np.random.default_rng(seed), design), options).glance
    )
    return {str(row["method"]): float(row["p_value"] < LEVEL) for row in glance["inference"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS), help="treated/units/who")
    parser.add_argument("--estimators", nargs="+", default=list(ESTIMATORS), choices=ESTIMATORS)
    parser.add_argument("--shape", default="level", choices=("level", "trend"))
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    for name in given.estimators:
        for design in given.designs:
            start = time.perf_counter()
            job = partial(one, design=design, estimator=name, shape=given.shape)
            seeds = np.random.SeedSequence((given.seed, DESIGNS.index(design))).spawn(given.repeats)
            with ProcessPoolExecutor(given.processes) as pool:
                found = pd.DataFrame(list(pool.map(job, seeds, chunksize=5))).mean()
            chance = np.sqrt(LEVEL * (1 - LEVEL) / given.repeats)
            shares = "   ".join(f"{method} {share:5.1%}" for method, share in found.items())
            seconds = time.perf_counter() - start
            print(f"{name:28} {design:12} {shares}   +- {chance:.1%} ({seconds:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
