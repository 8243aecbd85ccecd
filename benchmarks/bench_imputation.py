"""Multiple imputation by chained equations against R's mice, and the coverage of pooled intervals.

    OPENBLAS_NUM_THREADS=1 python benchmarks/bench_imputation.py --cases 10000 100000 1000000
    OPENBLAS_NUM_THREADS=1 python benchmarks/bench_imputation.py --coverage 200

Cases of 150 authorities in ten years with eight covariates (two numbers, four flags, two
categories), an eighth of the cells of each missing, five completed data sets of five rounds. Both
engines get the same cases and have the same models; each job runs in a process of its own, which
reports seconds of the processor and the growth of its peak memory while it imputes. mice has a
dummy for every authority and takes hours for a million cases: it is run up to ``--r-most`` cases,
and the growth shown.

With ``--coverage`` a planted effect is estimated on samples in which an age is missing completely
at random, or at random given the outcome, the authority and the year; the share of pooled 95%
intervals that hold the effect is told with its Monte Carlo error.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sos_estimators.did import Did, DidSettings
from sos_estimators.multiple_imputation import engine_r, plugin
from sos_estimators.multiple_imputation.settings import ChainedEquationsSettings

from sos_plugins import ImputationTask, Sample
from sos_plugins.r import client
from sos_plugins.study.gaps import completed
from sos_plugins.study.rubin import pooled_estimate

YEARS = np.arange(2008, 2018)
MISSING = 1 / 8
COVARIATES = ("age", "plans", "flag1", "flag2", "flag3", "flag4", "group", "phase")
ENGINES: Mapping[str, Callable[..., Any]] = {"python": plugin.fit_python, "r": engine_r.fit}
MEGABYTE = 2**20


def cases(n: int, authorities: int, seed: int = 1) -> pd.DataFrame:
    """Cases with covariates that depend on each other, and gaps."""
    rng = np.random.default_rng(seed)
    unit, period = rng.integers(0, authorities, n), rng.choice(YEARS, n)
    treated = (unit < max(1, authorities // 15)).astype(int)
    group = rng.choice(6, n, p=[0.6, 0.15, 0.1, 0.08, 0.05, 0.02])
    age = 8 + 0.5 * group + 0.01 * unit + rng.normal(0, 4, n)
    frame = pd.DataFrame({"unit": np.char.mod("E%03d", unit), "period": period})
    frame["treated"], frame["post"] = treated, treated * (period >= 2014)
    frame["during"] = treated * (period == 2013)
    frame["age"], frame["plans"] = age, rng.poisson(0.3 + 0.02 * np.maximum(age, 0)).astype(float)
    for j in range(1, 5):
        odds = np.exp(-2 + 0.1 * age * (j % 2) + 0.2 * group)
        frame[f"flag{j}"] = np.where(rng.random(n) < odds / (1 + odds), "yes", "no")
    frame["group"] = np.array(["White", "Mixed", "Asian", "Black", "Other", "Chinese"])[group]
    frame["phase"] = np.array(["early", "primary", "secondary", "post-16"])[
        np.digitize(age + rng.normal(0, 1, n), [4.5, 11, 16])
    ]
    frame["value"] = (rng.random(n) < 0.2 + 0.01 * age.clip(0, 18)).astype(float)
    for name in COVARIATES:
        frame[name] = frame[name].mask(rng.random(n) < MISSING)
    return frame


def job(engine: str, n: int, authorities: int, told: Any) -> None:
    """Impute in a process of its own."""
    task = ImputationTask(cases(n, authorities), COVARIATES, seed=1)
    data = int(task.frame.memory_usage(deep=True).sum())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start, cpu = time.perf_counter(), _processor()
    ENGINES[engine](task, ChainedEquationsSettings(sets=5, iterations=5))
    client.stop()  # R's seconds count once it has ended
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    told.put((time.perf_counter() - start, _processor() - cpu, grown / MEGABYTE, data / MEGABYTE))


def _processor() -> float:
    """Seconds of the processor of this process and of R, its child."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def speed(sizes: list[int], authorities: int, r_most: int) -> None:
    """Time both engines at every size, mice up to ``r_most`` cases."""
    print("engine  cases  authorities  wall_s  cpu_s  grown_MB  data_MB")
    context = multiprocessing.get_context("spawn")
    for n in sizes:
        for engine in ("python", "r") if n <= r_most else ("python",):
            told = context.SimpleQueue()
            process = context.Process(target=job, args=(engine, n, authorities, told))
            process.start()
            wall, cpu, grown, data = told.get()
            process.join()
            row = f"{wall:.1f}  {cpu:.1f}  {grown:.0f}  {data:.0f}"
            print(f"{engine}  {n:,}  {authorities}  {row}", flush=True)


# Coverage ---------------------------------------------------------------------------------------

EFFECT, N_AUTHORITIES, N_TREATED, N_YEARS, PER_CELL = 0.5, 40, 15, 8, 6
SLOPE = 0.3
"""Of the value on age, whose mean falls by a year in the treated after adoption: what is missing
matters for the effect."""


def complete_sample(rng: np.random.Generator) -> pd.DataFrame:
    """Cases of a panel of authorities with an effect, and an age whose mix changes."""
    unit = np.repeat(np.arange(N_AUTHORITIES), N_YEARS * PER_CELL)
    period = np.tile(np.repeat(np.arange(1, N_YEARS + 1), PER_CELL), N_AUTHORITIES)
    treated = (unit < N_TREATED).astype(int)
    post = treated * (period > N_YEARS // 2)
    shock = rng.normal(0, 0.3, (N_AUTHORITIES, N_YEARS + 1))
    age = 9 + 0.05 * unit - post + rng.normal(0, 4, len(unit))
    value = SLOPE * age + shock[unit, period] + EFFECT * post + rng.normal(0, 1, len(unit))
    frame = pd.DataFrame({"unit": np.char.mod("E%03d", unit), "period": period, "value": value})
    return frame.assign(treated=treated, post=post, during=0, age=age)


def with_gaps(frame: pd.DataFrame, how: str, rng: np.random.Generator) -> pd.DataFrame:
    """Take ages away: at random, or the more likely the higher the value, by authority and year."""
    if how == "MCAR":
        share = np.full(len(frame), 0.25)
    else:
        unit, period = frame["unit"].str[1:].astype(int), frame["period"]
        score = (frame["value"] - frame["value"].mean()) / frame["value"].std()
        share = 1 / (1 + np.exp(1.3 - 0.8 * score - 0.03 * (unit - 20) - 0.15 * (period - 4)))
    return frame.assign(age=frame["age"].mask(rng.random(len(frame)) < share))


DID = DidSettings(form="twfe")


def coverage(draws: int, sets: int, seed: int) -> None:
    """Print the shares of intervals that hold the effect."""
    settings = ChainedEquationsSettings(sets=sets)
    print("missing  method  covered  mc_error  mean_bias  mean_std_error")
    for how in ("MCAR", "MAR"):
        found: dict[str, list[tuple[float, float, float, float]]] = {}
        for draw in range(draws):
            rng = np.random.default_rng([seed, draw])
            whole = complete_sample(rng)
            gapped = with_gaps(whole, how, rng)
            imputed = plugin.fit_python(ImputationTask(gapped, ("age",), seed=draw), settings)
            estimates = {
                "no gaps": fitted(whole),
                "complete cases": fitted(gapped.dropna(ignore_index=True)),
                "imputed": pooled_estimate([fitted(one) for one in completed(imputed, gapped)]),
            }
            for name, estimate in estimates.items():
                row = estimate.term("ATT")
                kept = [row[c] for c in ("estimate", "std_error", "conf_low", "conf_high")]
                found.setdefault(name, []).append(tuple(map(float, kept)))
        for name, rows in found.items():
            estimate, error, low, high = np.array(rows).T
            covered = float(((low <= EFFECT) & (high >= EFFECT)).mean())
            mc_error = np.sqrt(covered * (1 - covered) / draws)
            figures = f"{covered:.3f}  {mc_error:.3f}  {estimate.mean() - EFFECT:+.4f}"
            print(f"{how}  {name}  {figures}  {error.mean():.4f}", flush=True)


def fitted(frame: pd.DataFrame) -> Any:
    """The classic design on a frame without gaps."""
    rows = frame.assign(cohort=np.where(frame["treated"] == 1, N_YEARS // 2 + 1, 0), weight=1.0)
    return Did().engines[0].fit(Sample(rows.assign(cluster=rows["unit"]), ("age",)), DID)


def main() -> None:
    """Time, or simulate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--authorities", type=int, default=150)
    parser.add_argument("--r-most", type=int, default=10_000, help="most cases for mice")
    parser.add_argument("--coverage", type=int, default=0, help="draws; no timing then")
    parser.add_argument("--sets", type=int, default=20, help="completed data sets of coverage")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.coverage:
        coverage(given.coverage, given.sets, given.seed)
    else:
        speed(given.cases, given.authorities, given.r_most)


if __name__ == "__main__":
    main()
