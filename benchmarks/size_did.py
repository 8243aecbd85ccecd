"""How often inference errs with few treated authorities: size, coverage, and the test of leads.

    OPENBLAS_NUM_THREADS=1 python benchmarks/size_did.py --units 30 --treated 9 --repeats 1000

Authorities of unequal size (lognormal, standard deviation 0.6 of the log, mean 100 cases a year),
10 years, adoption at three dates. What a case has in common with its authority and year is an
autoregressive shock (0.6 from year to year, variance 0.25 as far as it does not die out) and there
is noise of variance 1 a case.

- Size: no effect; the share of samples in which a method rejects at 5% that it is zero.
- Coverage: each treated authority has an effect of its own, normal with mean 0.3 and standard
  deviation 0.15; the share of 95% intervals that hold the mean.
- Leads: no effect; the share of samples in which a joint test of the leads of an event study
  rejects at 5%, and in which AHT does so when treated authorities drift by 0.1 a year (power).

Each with two standard errors of chance.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats
from sos_estimators.did import DidSettings
from sos_estimators.event_study import EventStudySettings, fit_python
from sos_estimators.inference.inference_table import Method, inference

from sos_plugins import Sample
from sos_plugins.cells.build import COMPRESSED

INTERVALS: tuple[Method, ...] = ("CR1", "CR2", "CR3", "CR3J", "WCR", "WCU")
METHODS: tuple[Method, ...] = (*INTERVALS, "RI-beta", "RI-t")
AHT: Mapping[str, EventStudySettings] = {
    "AHT": EventStudySettings(),
    "AHT, min_event = -3": EventStudySettings(min_event=-3),
}
WALD = EventStudySettings(vcov="CR1", leads_df="clusters")
YEARS, PERSISTENCE, SHOCK = 10, 0.6, 0.5
EFFECT, SPREAD, DRIFT = 0.3, 0.15, 0.1
LEVEL = 0.05


@dataclass(frozen=True)
class Drawn:
    """One sample of cells: without an effect, with effects, and with a drift instead."""

    without: Sample
    effects: Sample
    drift: Sample


def simulate(rng: np.random.Generator, n_units: int, n_treated: int) -> Drawn:
    """Make the cells of one sample, compressed."""
    size = rng.lognormal(np.log(100) - 0.18, 0.6, n_units)
    n = 2 + rng.poisson(np.repeat(size, YEARS)).astype(float)
    shocks = [rng.normal(0, SHOCK, n_units)]
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
    effect = np.repeat(rng.normal(EFFECT, SPREAD, n_units), YEARS) * frame["post"].to_numpy()
    drift = DRIFT * period * frame["treated"].to_numpy()

    def sample(value: np.ndarray) -> Sample:
        cells = dict(zip(COMPRESSED, (n, n, n * value), strict=True))
        return Sample(frame.assign(value=value, weight=n, **cells))

    return Drawn(sample(value), sample(value + effect), sample(value + drift))


def one(seed: np.random.SeedSequence, n_units: int, n_treated: int, draws: int) -> pd.Series:
    """Test one sample by every method: 1 for an error or a find, 0 for none, nan for no answer."""
    drawn = simulate(np.random.default_rng(seed), n_units, n_treated)
    at_random = int(seed.generate_state(1)[0])
    settings = DidSettings()
    none = inference(drawn.without, settings, METHODS, seed=at_random, draws=draws).table
    some = inference(drawn.effects, settings, INTERVALS, seed=at_random, draws=draws).table
    rejected = {
        ("size", m): p < LEVEL for m, p in zip(none["method"], none["p_value"], strict=True)
    }
    inside = (some["conf_low"] <= EFFECT) & (some["conf_high"] >= EFFECT)
    rejected |= {("coverage", m): yes for m, yes in zip(some["method"], inside, strict=True)}
    for name, options in AHT.items():
        for what, sample in (("leads", drawn.without), ("power", drawn.drift)):
            p = fit_python(sample, options).glance["leads_p_value"]
            rejected[what, name] = np.nan if p is None else p < LEVEL
    wald = fit_python(drawn.without, WALD).glance
    for name, df in (("clusters", n_units - 1), ("treated clusters", n_treated - 1)):
        p = stats.f.sf(wald["leads_statistic"], wald["leads_df_num"], df)
        rejected["leads", f"Wald, CR1, {name} - 1"] = p < LEVEL
    return pd.Series(rejected, dtype=float)


def shown(values: pd.Series) -> str:
    """Write a share and two standard errors of chance; and how often there was no answer."""
    known = values.dropna()
    if known.empty:
        return "     no answer"
    share = known.mean()
    chance = 2 * np.sqrt(share * (1 - share) / len(known))
    lost = values.isna().mean()
    return f"{share:6.1%} +- {chance:4.1%}" + (f" (no answer in {lost:.0%})" if lost else "")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--units", type=int, default=30)
    parser.add_argument("--treated", type=int, default=9)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=399)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    start = time.perf_counter()
    seeds = np.random.SeedSequence((given.seed, given.units, given.treated)).spawn(given.repeats)
    job = partial(one, n_units=given.units, n_treated=given.treated, draws=given.draws)
    with ProcessPoolExecutor(given.processes) as pool:
        verdicts = pd.DataFrame(list(pool.map(job, seeds, chunksize=10)))
    print(
        f"{given.treated} treated of {given.units}, {given.repeats} samples, "
        f"{given.draws} draws, {time.perf_counter() - start:.0f} s"
    )
    for method in METHODS:
        print(f"{method:8} size {shown(verdicts['size', method])}", end="")
        print(f"   coverage {shown(verdicts['coverage', method])}" if method in INTERVALS else "")
    for name in verdicts["leads"]:
        print(f"leads, {name}: size {shown(verdicts['leads', name])}", end="")
        print(f"   power {shown(verdicts['power', name])}" if name in AHT else "")


if __name__ == "__main__":
    main()
