"""Entropy balancing of a million cases and ten moments, against the package ebal of PyPI.

    pip install ebal==1.0.0
    python benchmarks/bench_entropy_balancing.py --cases 1000000 --repeats 3

A tenth of the cases are pilots', with means that lie a fifth of a standard deviation off. Every job
balances ten means to 1e-8 and runs in a process of its own; data are made before the clock starts.

- matcher: ``entropy-balancing`` on a ``Sample``, in two strata or one, with its table of balance.
- weights: the weights alone, from an array of moments.
- ebal: ``ebal_bin(PCA=False, constraint_tolerance=1e-8)``; it estimates an effect as well, which it
  cannot be asked to leave out. By default (``PCA=True``) it balances principal components without
  those of small variance, so that single covariates stay unequal.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import bench_did

MOMENTS = 10
SHARE = 0.1
SHIFT = 0.2


def _arrays(path: Path) -> tuple[Any, Any, Any]:
    import numpy as np
    import pyarrow.parquet as pq

    n = pq.ParquetFile(path).metadata.num_rows
    rng = np.random.default_rng(2)
    treated = (rng.random(n) < SHARE).astype(int)
    x = rng.normal(SHIFT * treated[:, None], 1.0, (n, MOMENTS))
    return treated, x, rng.normal(size=n)


def _gap(x: Any, treated: Any, weight: Any) -> float:
    import numpy as np

    own = treated == 1
    gaps = np.average(x[~own], axis=0, weights=weight) - x[own].mean(axis=0)
    return float(np.abs(gaps).max())


def job_matcher(strata: int, path: Path) -> dict[str, float]:
    import pandas as pd
    from sos_matchers.cases.entropy import EntropySettings, balance_cases

    from sos_plugins import Sample

    treated, x, value = _arrays(path)
    names = tuple(f"x{j}" for j in range(MOMENTS))
    frame = pd.DataFrame(x, columns=list(names)).assign(
        unit="a",
        period=2010,
        cohort=2011 * treated,
        value=value,
        weight=1.0,
        cluster="a",
        treated=treated,
        post=pd.Series(range(len(x))) % strata,
    )
    sample = Sample(frame, names)
    clock = bench_did.Clock()
    match = balance_cases(sample, EntropySettings())
    took = clock.read()
    return {**took, "smd": float(match.balance["smd_after"].abs().max())}


def job_weights(path: Path) -> dict[str, float]:
    import numpy as np
    from sos_matchers.cases.tilting import Problem, tilt

    treated, x, _ = _arrays(path)
    own = treated == 1
    clock = bench_did.Clock()
    other = x[~own]
    other -= x[own].mean(axis=0)
    problem = Problem(
        other,
        np.ones(len(other)),
        np.zeros(len(other), dtype=int),
        np.ones(1),
    )
    found = tilt(problem, 1e-8)
    took = clock.read()
    return {**took, "gap": _gap(x, treated, found.weights)}


def job_ebal(path: Path) -> dict[str, float]:
    from ebal import ebal_bin

    treated, x, value = _arrays(path)
    model = ebal_bin(PCA=False, constraint_tolerance=1e-8, print_level=-1)
    clock = bench_did.Clock()
    found = model.ebalance(treated, x, value)
    took = clock.read()
    return {**took, "gap": _gap(x, treated, found["w"][treated == 0])}


JOBS = {
    "entropy-balancing, one stratum": partial(job_matcher, 1),
    "entropy-balancing, two strata": partial(job_matcher, 2),
    "weights alone": job_weights,
    "ebal": job_ebal,
}


if __name__ == "__main__":
    bench_did.main(JOBS, __file__)
