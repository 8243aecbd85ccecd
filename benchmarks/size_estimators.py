"""How often each estimator's default finds an effect that is not there, with few treated.

    OPENBLAS_NUM_THREADS=1 python benchmarks/size_estimators.py --repeats 1000
    python benchmarks/size_estimators.py --designs 7/150/each --errors analytic

Authorities of unequal size (lognormal, standard deviation 0.6 of the log, mean 100 cases a year),
10 years. What a case has in common with its authority and year is an autoregressive shock (0.6 from
year to year, standard deviation half of that of a case's noise, as in ``size_did.py``). Nobody has
an effect: the share of samples with p < 0.05 is the size, which should be 5%. Treated authorities
are drawn from all (alike), or are the largest or the smallest. Adoption is at three dates in turn,
or each authority has a date of its own as far as the years go (each).

Also the coverage of 95% intervals when each treated authority has an effect of its own, normal with
mean 0.3 and standard deviation 0.15. Two standard errors of chance beside each share.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sos_estimators.callaway_santanna import CallawaySantAnna
from sos_estimators.did import Did
from sos_estimators.event_study import EventStudy
from sos_estimators.extended_twfe import ExtendedTwfe
from sos_estimators.imputed import Imputation, TwoStage
from sos_estimators.stacked import Stacked
from sos_estimators.sun_abraham import SunAbraham

from sos_plugins import Sample
from sos_plugins.cells.build import COMPRESSED

ESTIMATORS = {
    plugin.name: plugin
    for plugin in (
        Did(),
        EventStudy(),
        CallawaySantAnna(),
        SunAbraham(),
        Imputation(),
        TwoStage(),
        ExtendedTwfe(),
        Stacked(),
    )
}
YEARS, PERSISTENCE, SHOCK, LEVEL = 10, 0.6, 0.5, 0.05
EFFECT, SPREAD = 0.3, 0.15
THREE, EACH = (4, 5, 6), (5, 4, 6, 3, 7, 2, 8, 1, 9)
DESIGNS = tuple(
    f"{treated}/{units}/{dates}"
    for units in (30, 40, 150)
    for treated in (4, 9, 20)
    for dates in ("three", "each")
)
WHO = ("alike", "large", "small")


@dataclass(frozen=True)
class Designed:
    """How many authorities are treated, of how many, when, and which."""

    treated: int
    units: int
    dates: str
    who: str

    @classmethod
    def of(cls, text: str, who: str) -> Designed:
        treated, units, dates = text.split("/")
        return cls(int(treated), int(units), dates, who)

    def cohorts(self, size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Choose who is treated, and deal out dates of adoption; 0 for the others."""
        order = np.argsort(size)
        ends = {"large": order[::-1], "small": order, "alike": rng.permutation(len(size))}
        dates = THREE if self.dates == "three" else EACH
        cohort = np.zeros(len(size), dtype=np.int64)
        chosen = rng.permutation(ends[self.who][: self.treated])
        cohort[chosen] = [dates[i % len(dates)] for i in range(self.treated)]
        return cohort


def simulate(rng: np.random.Generator, designed: Designed) -> tuple[Sample, Sample]:
    """Make the cells of one sample, without and with effects."""
    n_units = designed.units
    size = rng.lognormal(np.log(100) - 0.18, 0.6, n_units)
    n = 2 + rng.poisson(np.repeat(size, YEARS)).astype(float)
    shocks = [rng.normal(0, SHOCK, n_units)]
    for _ in range(YEARS - 1):
        step = rng.normal(0, SHOCK * np.sqrt(1 - PERSISTENCE**2), n_units)
        shocks.append(PERSISTENCE * shocks[-1] + step)
    value = np.column_stack(shocks).ravel() + rng.normal(size=len(n)) / np.sqrt(n)
    starts = np.repeat(designed.cohorts(size, rng), YEARS)
    unit = np.repeat([f"E{u:03}" for u in range(n_units)], YEARS)
    period = np.tile(np.arange(1, YEARS + 1), n_units)
    frame = pd.DataFrame({"unit": unit, "cluster": unit, "period": period, "cohort": starts})
    frame["treated"] = (starts > 0).astype(int)
    frame["post"] = ((starts > 0) & (period >= starts)).astype(int)
    effect = np.repeat(rng.normal(EFFECT, SPREAD, n_units), YEARS) * frame["post"].to_numpy()

    def sample(value: np.ndarray) -> Sample:
        cells = dict(zip(COMPRESSED, (n, n, n * value), strict=True))
        return Sample(frame.assign(value=value, weight=n, **cells))

    return sample(value), sample(value + effect)


def options_of(name: str, errors: str) -> object:
    """Default settings, with the errors that are asked for where the estimator has a choice."""
    settings = ESTIMATORS[name].Settings
    return settings(errors=errors) if "errors" in settings.model_fields else settings()


def one(seed: np.random.SeedSequence, designed: Designed, errors: str) -> dict[str, float]:
    """Judge one sample by every estimator: 1 for an effect found, or a mean inside."""
    none, some = simulate(np.random.default_rng(seed), designed)
    answers: dict[str, float] = {}
    for name, plugin in ESTIMATORS.items():
        options = options_of(name, errors)
        headline = plugin.headline(options)
        fit = plugin.engines[0].fit
        p = fit(none, options).term(headline)["p_value"]
        row = fit(some, options).term(headline)
        answers[f"{name} size"] = np.nan if np.isnan(p) else float(p < LEVEL)
        inside = row["conf_low"] <= EFFECT <= row["conf_high"]
        answers[f"{name} coverage"] = np.nan if np.isnan(row["conf_low"]) else float(inside)
    return answers


def rows(given: argparse.Namespace) -> Iterator[Mapping[str, object]]:
    """Simulate each design; one row each."""
    with ProcessPoolExecutor(given.processes) as pool:
        for text in given.designs:
            for who in given.who:
                start = time.perf_counter()
                designed = Designed.of(text, who)
                root = (given.seed, designed.units, designed.treated, WHO.index(who))
                seeds = np.random.SeedSequence(root).spawn(given.repeats)
                job = partial(one, designed=designed, errors=given.errors)
                answers = pd.DataFrame(list(pool.map(job, seeds, chunksize=10)))
                yield {
                    "design": text,
                    "who": who,
                    "errors": given.errors,
                    "repeats": given.repeats,
                    **answers.mean().round(4).to_dict(),
                    "seconds": round(time.perf_counter() - start),
                }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS), help="treated/units/dates")
    parser.add_argument("--who", nargs="+", default=list(WHO), choices=WHO)
    parser.add_argument("--errors", default="auto", help="auto, own-effects, analytic")
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, help="file of JSON lines to add to")
    given = parser.parse_args()
    for row in rows(given):
        shares = {k: v for k, v in row.items() if k.endswith(("size", "coverage"))}
        chance = 2 * np.sqrt(LEVEL * (1 - LEVEL) / given.repeats)
        head = f"{row['design']:12} {row['who']:6} {row['errors']}"
        print(f"{head} ({row['repeats']} samples, +- {chance:.1%}, {row['seconds']} s)")
        for name in ESTIMATORS:
            size, coverage = shares[f"{name} size"], shares[f"{name} coverage"]
            print(f"    {name:18} size {size:6.1%}   coverage {coverage:6.1%}", flush=True)
        if given.out:
            with given.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
