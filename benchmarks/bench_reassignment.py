"""Randomisation of dates of adoption against refitting, for the estimators of staggered adoption.

    OPENBLAS_NUM_THREADS=1 python benchmarks/bench_reassignment.py
    OPENBLAS_NUM_THREADS=1 python benchmarks/bench_reassignment.py --units 40 --draws 999
    OPENBLAS_NUM_THREADS=1 python benchmarks/bench_reassignment.py --statspai ENVIRONMENT/bin/python

Authorities by years with cells of cases, nine treated at six dates, two numeric covariates for the
estimators that allow for them in a new assignment. Each estimator's overall effect and effects by
event time are studentised under every assignment, with p values and confidence sets; a refit is the
estimator itself on the sample with the dates of one assignment. Both in one run; the ratio is what
counts. Peak memory is of the process.

With ``--statspai`` a Python that has StatsPAI (not among the requirements) draws placebos for the
same authorities, years and treatment by ``did_few_treated``, without covariates and for the overall
effect alone. Each call is ended after two minutes.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sos_estimators.callaway_santanna import CallawaySantAnna
from sos_estimators.extended_twfe import ExtendedTwfe
from sos_estimators.imputed import Imputation, TwoStage
from sos_estimators.stacked import Stacked
from sos_estimators.sun_abraham import SunAbraham

from sos_plugins import Estimator, Sample

YEARS, DATES = 10, (3, 4, 5, 6, 7, 8)
REFITS = 10
COVARIATES = ("share_under_5", "deprivation")


def cells(n_units: int, seed: int) -> pd.DataFrame:
    """Cells of authorities and years, unlike in size, with shocks that carry over."""
    rng = np.random.default_rng(seed)
    cohort = np.zeros(n_units, dtype=np.int64)
    cohort[:9] = [DATES[i % len(DATES)] for i in range(9)]
    unit = np.repeat([f"E{u:03}" for u in range(n_units)], YEARS)
    frame = pd.DataFrame({"unit": unit, "cluster": unit})
    frame["period"] = np.tile(np.arange(1, YEARS + 1), n_units)
    frame["value"] = rng.normal(size=(n_units, YEARS)).cumsum(axis=1).ravel()
    frame["weight"] = rng.uniform(50, 500, len(frame))
    for name in COVARIATES:
        frame[name] = rng.normal(size=len(frame))
    return adopted(frame, cohort)


def adopted(frame: pd.DataFrame, cohort: np.ndarray) -> pd.DataFrame:
    """The same cells with other dates of adoption."""
    starts = np.repeat(cohort, YEARS)
    post = (starts > 0) & (frame["period"].to_numpy() >= starts)
    return frame.assign(cohort=starts, treated=(starts > 0).astype(int), post=post.astype(int))


def timed(work: Callable[[], Any]) -> float:
    """Seconds of the processor that some work takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def one(
    plugin: Estimator, frame: pd.DataFrame, draws: int, settings: dict[str, Any]
) -> tuple[float, float]:
    """Print, and return, what a refit and a draw take."""
    with_covariates = plugin.name not in ("callaway-santanna", "stacked")
    covariates = COVARIATES if with_covariates else ()
    fit = plugin.engines[0].fit
    plain = plugin.Settings(aggregate="event", errors="own-effects", **settings)
    dealt = plugin.Settings(
        aggregate="event",
        errors="own-effects",
        inference=("RI-t",),
        draws=draws,
        **settings,
    )
    cohort = frame["cohort"].to_numpy()[::YEARS]
    rng = np.random.default_rng(1)
    samples = [Sample(adopted(frame, rng.permutation(cohort)), covariates) for _ in range(REFITS)]
    fit(samples[0], plain)
    refit = timed(lambda: [fit(sample, plain) for sample in samples]) / REFITS
    all_draws = timed(lambda: fit(Sample(frame, covariates), dealt)) - refit
    draw = all_draws / draws
    print(
        f"{plugin.name:18} {'with' if covariates else 'no  '} covariates   refit "
        f"{1000 * refit:6.1f} ms   draw {1000 * draw:6.2f} ms   {refit / draw:5.0f} times   "
        f"all {all_draws:5.1f} s",
        flush=True,
    )
    return refit, draw


THEIRS = """
import sys, time
import pandas as pd, statspai
frame, draws = pd.read_csv(sys.argv[1]), int(sys.argv[2])
frame["on"] = frame["post"] * frame["treated"]
start = time.process_time()
statspai.did_few_treated(frame, y="value", id="unit", time="period", treat="on", max_draws=draws)
print(time.process_time() - start)
"""
LIMIT = 120  # seconds
THEIR_DRAWS = (1, 6, 26)


def statspai(python: Path, frame: pd.DataFrame, ours: float) -> None:
    """Print what a draw of StatsPAI takes, and how many of ours that are.

    Args:
        python: Interpreter that has it.
        frame: The cells.
        ours: Seconds of a draw of the slowest estimator.
    """
    known: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cells.csv"
        frame.to_csv(file, index=False)
        for draws in THEIR_DRAWS:
            command = [str(python), "-W", "ignore", "-c", THEIRS, str(file), str(draws)]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=LIMIT, check=True
                )
            except subprocess.TimeoutExpired:
                print(f"StatsPAI: {draws} draws were not done after {LIMIT} s")
                break
            known[draws] = float(done.stdout.split()[-1])
            print(f"StatsPAI: {draws} draws take {known[draws]:.2f} s", flush=True)
    if len(known) > 1:
        (few, least), (many, most) = (min(known.items()), max(known.items()))
        draw = (most - least) / (many - few)
        print(f"StatsPAI: a draw {1000 * draw:.0f} ms, {draw / ours:.0f} times the slowest of ours")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=150)
    parser.add_argument("--draws", type=int, default=999)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--statspai", type=Path, help="a Python that has StatsPAI")
    given = parser.parse_args()
    frame = cells(given.units, given.seed)
    print(f"{given.units} authorities, {YEARS} years, 9 treated, {given.draws} assignments")
    each = [
        one(SunAbraham(), frame, given.draws, {}),
        one(Imputation(), frame, given.draws, {"leads": False}),
        one(TwoStage(), frame, given.draws, {}),
        one(ExtendedTwfe(), frame, given.draws, {"adjustment": "additive"}),
        one(CallawaySantAnna(), frame, given.draws, {}),
        one(Stacked(), frame, given.draws, {}),
    ]
    refits, draws = (sum(price) for price in zip(*each, strict=True))
    print(f"all together {given.draws * draws:.1f} s, {refits / draws:.0f} times as fast as refits")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MB")
    if given.statspai:
        statspai(given.statspai, frame, max(draw for _, draw in each))


if __name__ == "__main__":
    main()
