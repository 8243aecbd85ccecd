"""How often a whole study comes to each verdict, where the truth is known.

    python benchmarks/verdicts.py --list                       # the rows, as options
    OPENBLAS_NUM_THREADS=1 python benchmarks/verdicts.py --shock 5 --cases 500 --authorities 40 \\
        --pilots like --effect 0 --repeats 200 --out verdicts.jsonl
    OPENBLAS_NUM_THREADS=1 python benchmarks/verdicts.py --all --repeats 200 --out verdicts.jsonl
    python benchmarks/verdicts.py --table verdicts.jsonl       # shares and Monte Carlo errors

A study has nine pilots that begin in three years, ten years of records and five outcomes, and
goes the whole line by the engines in Python: authorities matched, cases weighted, the main
estimator, every family of the sensitivity analysis, tests of the leads, the rating. The effect, if
any, is in the first outcome; the other four have none.

Authorities differ in level (6 points), in size (30%) and in the mix of ages. A rate of
an authority and year has a shock of a standard deviation of ``--shock`` points that carries over
with a correlation of ``--rho`` (published re-referral rates: 5 points, 0.6). Pilots are

- ``like``: like the pool;
- ``above``: 1 standard deviation of the levels above it;
- ``shock``: chosen in the worst year: 1.5 standard deviations of the shocks in the year before they
  begin, which passes as shocks do;
- ``drift``: 1 point a year away from the pool, before and after.

Studies that are there already in ``--out`` are not run again, so a run that was cut off goes on.
The same study number draws the same random numbers in every row.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sos_plugins.cells.build import COMPRESSED
from sos_plugins.cells.collected import CollectedCases
from sos_plugins.contract.types import OutcomeInfo
from sos_plugins.host.registry import load_plugins
from sos_plugins.study import Study
from sos_plugins.study.calibrate import CLAIMS
from sos_plugins.study.power_table import share_with_error
from sos_plugins.study.result import OutcomeResult

SHOCKS, CASES, POOLS = (0.0, 2.0, 5.0), (60, 500, 1500), (40, 150)
KINDS = ("like", "above", "shock", "drift")
EFFECTS = (0.0, -5.0, -10.0, -13.0)
MORE_CASES = 1000
"""The number of cases at which -10 points must be seen at least as often as at 60."""
LEVELS = {"first": 0.40, "second": 0.29, "third": 0.22, "fourth": 0.35, "fifth": 0.45}
"""Mean rate of each outcome; the first has the effect."""
LEVEL_SD, SIZE_SD, NATIONAL_SD, EFFECT_SPREAD = 0.06, 0.3, 0.01, 0.1
PASSING, DRIFT = 1.5, -0.01
"""Shock before the window in standard deviations; drift in points of the rate a year."""
SMALLEST = 5.0
"""Smallest effect of interest, points."""
AGES = {"under 5": -0.03, "5 to 11": 0.0, "12 and over": 0.03}
YEARS, COHORTS, N_PILOTS = range(2010, 2020), (2015, 2016, 2017), 9
FLOOR, CEILING = 0.01, 0.99

STUDY = """
[study]
name = "verdicts"
title = "A study of which the truth is known"
seed = {seed}

[[sources]]
plugin = "tidy"
path = "cases.csv"

[design]
pilots = [{pilots}]

[matching]
units = {{ plugin = "pre-outcomes-units", ratio = 2, replacement = true }}
cases = {{ plugin = "inverse-weights" }}

{outcomes}
[[estimators]]
plugin = "did"
form = "stacked"
engines = ["python"]

[[estimators]]
plugin = "event-study"
form = "stacked"
engines = ["python"]

[[estimators]]
plugin = "callaway-santanna"
covariates = "none"
engines = ["python"]

[sensitivity]
families = "all"
units = [{{ plugin = "propensity-units", ratio = 2 }}]

[pooling]
plugin = "random-effects"
engines = ["python"]

[rating]
plugin = "wwcsc"
"""


@dataclass(frozen=True, order=True)
class Row:
    """One row of the table: points, cases an authority and year, authorities, pilots, points."""

    shock: float = 5.0
    cases: int = 500
    authorities: int = 40
    pilots: str = "like"
    effect: float = 0.0
    rho: float = 0.6

    @property
    def command(self) -> str:
        """The options of this row."""
        return " ".join(
            f"--{field.name} {getattr(self, field.name):g}"
            if field.name != "pilots"
            else f"--pilots {self.pilots}"
            for field in fields(self)
        )


def all_rows() -> list[Row]:
    """Return every row: null studies of every kind, and effects in pilots like the pool."""
    worlds = list(itertools.product(SHOCKS, CASES, POOLS))
    rows = [Row(*world, kind) for world in worlds for kind in KINDS]
    rows += [Row(*world, "like", effect) for world in worlds for effect in EFFECTS if effect]
    rows += [Row(shock, MORE_CASES, pool, "like", -10.0) for shock in SHOCKS for pool in POOLS]
    return rows


@dataclass(frozen=True)
class Authorities:
    """What a study's authorities have for all outcomes; arrays have one element an authority."""

    codes: tuple[str, ...]
    cohort: np.ndarray
    counts: np.ndarray
    """Cases: authorities x years x ages."""

    @property
    def is_pilot(self) -> np.ndarray:
        """Which are pilots."""
        return self.cohort > 0


def authorities(rng: np.random.Generator, row: Row) -> Authorities:
    """Draw who the pilots are, and how many cases of each age there are."""
    n = row.authorities
    cohort = np.zeros(n, dtype=np.int64)
    cohort[rng.choice(n, N_PILOTS, replace=False)] = np.resize(COHORTS, N_PILOTS)
    size = row.cases * rng.lognormal(-(SIZE_SD**2) / 2, SIZE_SD, n)
    mix = rng.dirichlet(np.full(len(AGES), 20.0), n)
    counts = rng.poisson(size[:, None, None] * mix[:, None, :], (n, len(YEARS), len(AGES)))
    return Authorities(tuple(f"A{i:03}" for i in range(n)), cohort, counts)


def rates(rng: np.random.Generator, row: Row, who: Authorities, name: str) -> np.ndarray:
    """Return the probability of an outcome: authorities x years."""
    n, years = row.authorities, np.array(YEARS)
    own = LEVEL_SD * (rng.normal(size=n) + (row.pilots == "above") * who.is_pilot)
    shocks = [rng.normal(size=n)]
    for _ in years[1:]:
        shocks.append(row.rho * shocks[-1] + math.sqrt(1 - row.rho**2) * rng.normal(size=n))
    since = np.where(who.is_pilot[:, None], years - who.cohort[:, None], -100)
    shock = np.column_stack(shocks)
    if row.pilots == "shock":
        shock = shock + PASSING * row.rho ** np.abs(since + 1) * who.is_pilot[:, None]
    rate = LEVELS[name] + own[:, None] + row.shock / 100 * shock
    rate = rate + NATIONAL_SD * rng.normal(size=len(years))
    if row.pilots == "drift":
        rate = rate + DRIFT * since * who.is_pilot[:, None]
    spread = 1 + EFFECT_SPREAD * rng.normal(size=n)
    if name == next(iter(LEVELS)):
        rate = rate + row.effect / 100 * spread[:, None] * (since >= 0)
    return np.asarray(rate)


def cases(rng: np.random.Generator, row: Row, who: Authorities, name: str) -> CollectedCases:
    """Draw the cases of an outcome; a row stands for those that are alike."""
    of_age = rates(rng, row, who, name)[:, :, None] + np.array(list(AGES.values()))
    ones = rng.binomial(who.counts, np.clip(of_age, FLOOR, CEILING))
    unit, year, age = (index.ravel() for index in np.indices(who.counts.shape))
    parts = []
    for value, number in ((1.0, ones), (0.0, who.counts - ones)):
        n = number.ravel().astype(float)
        part = {"unit": np.array(who.codes)[unit], "period": np.array(YEARS)[year]}
        part |= {"age": np.array(list(AGES))[age], "value": value, "weight": n}
        part |= dict(zip(COMPRESSED, (n, n, n * value), strict=True))
        parts.append(pd.DataFrame(part)[n > 0])
    frame = pd.concat(parts).sort_values(["unit", "period", "age", "value"], ignore_index=True)
    frame = frame.assign(child=None, date=pd.NaT, follow_up_end=pd.NaT)
    usable = who.counts.sum(axis=2).ravel()
    complete = pd.DataFrame(
        {
            "unit": np.repeat(who.codes, len(YEARS)),
            "period": np.tile(YEARS, len(who.codes)),
            "n_candidates": usable,
            "n_usable": usable,
        }
    )
    info = OutcomeInfo(name, name, name, "", binary=True, measure="proportion", expected="decrease")
    steps = pd.DataFrame(columns=["step", "reason", "n_before", "n_dropped", "n_after"])
    return CollectedCases(frame, info, ("age",), steps, complete, {})


@cache
def plugins() -> Any:
    """Load the plugins once a process."""
    return load_plugins()


def study(who: Authorities, seed: int) -> Study:
    """Write the study of these pilots."""
    pilots = ", ".join(
        f'{{ unit = "{who.codes[i]}", cohort = {who.cohort[i]} }}'
        for i in np.flatnonzero(who.cohort)
    )
    outcomes = "\n".join(
        f'[[outcomes]]\nplugin = "tidy-value"\nname = "{name}"\nlabel = "{name}"\n'
        f'phrase = "{name}"\nbinary = true\n{smallest()}'
        for name in LEVELS
    )
    text = STUDY.format(seed=seed, pilots=pilots, outcomes=outcomes)
    return Study.from_text(text, base=Path(), registry=plugins())


def smallest() -> str:
    """Return the smallest effect of interest, where studies have one."""
    from sos_plugins.study.file import OutcomeChoice

    if "smallest_effect" not in OutcomeChoice.model_fields:
        return ""
    return f'smallest_effect = {SMALLEST}\nsmallest_effect_reason = "the benchmark\'s"\n'


def verdict(outcome: OutcomeResult) -> dict[str, Any]:
    """Return what a study says of an outcome."""
    if outcome.error or outcome.rating is None or outcome.main is None:
        return {"error": outcome.error or "no rating"}
    main, rating = outcome.main, outcome.rating
    tested = [test for test in outcome.leads if test.pilot and test.p_value is not None]
    return {
        "level": rating.level,
        "direction": rating.direction,
        "sentence": rating.sentence,
        "estimate": main.estimate,
        "std_error": main.std_error,
        "p_value": main.p_value,
        "p_adjusted": getattr(getattr(outcome, "adjusted", None), "p_value", None),
        "unmet": sorted({reason.metric for reason in rating.reasons if not reason.met}),
        "broken_leads": sum(float(test.p_value or 0) < 0.05 for test in tested),
        "tested_leads": len(tested),
    }


def one(row: Row, number: int, seed: int) -> dict[str, Any]:
    """Run one study from cases to sentence; the time is that of the processor."""
    rng = np.random.default_rng((seed, number))
    who = authorities(rng, row)
    drawn = [cases(rng, row, who, name) for name in LEVELS]
    made = study(who, number)
    start = time.process_time()
    results = made.analyse(drawn)
    seconds = time.process_time() - start
    verdicts = {result.info.name: verdict(result) for result in results}
    return {**asdict(row), "number": number, "seed": seed, "seconds": seconds, "outcomes": verdicts}


def done_before(path: Path | None) -> list[dict[str, Any]]:
    """Return the studies in a file; a last line that was cut off is left out."""
    if path is None or not path.exists():
        return []
    studies = []
    for line in path.read_text("utf-8").splitlines():
        try:
            studies.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return studies


def row_of(line: dict[str, Any]) -> Row:
    """Return the row that a study belongs to."""
    return Row(**{field.name: line[field.name] for field in fields(Row)})


def run(rows: Sequence[Row], given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Run the studies that are not there yet."""
    there = {(row_of(line), line["number"]) for line in done_before(given.out)}
    jobs = [(r, n) for r in rows for n in range(given.repeats) if (r, n) not in there]
    with ProcessPoolExecutor(given.processes) as pool:
        waiting = [pool.submit(one, row, number, given.seed) for row, number in jobs]
        for finished in as_completed(waiting):
            yield finished.result()


def claims(of: dict[str, Any]) -> bool:
    """Whether a verdict claims an effect."""
    return of.get("direction") in CLAIMS


def table(lines: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return one line a row: shares of studies in percent, each with its Monte Carlo error."""
    shown = []
    for row in sorted({row_of(line) for line in lines}):
        own = [line for line in lines if row_of(line) == row]
        first = [line["outcomes"][next(iter(LEVELS))] for line in own]
        shares = {
            "any effect claimed": [any(map(claims, line["outcomes"].values())) for line in own],
            "claimed in the first": [claims(of) for of in first],
            "decrease": [of.get("direction") == "decrease" for of in first],
            "high": [claims(of) and of.get("level") == "high" for of in first],
            "no effect that matters": [
                of.get("direction") == "no effect that matters" for of in first
            ],
            "high on assumptions": [
                "error" not in of and "assumptions" not in of["unmet"] for of in first
            ],
            "not analysed": ["error" in of for of in first],
        }
        told = {name: with_error(values) for name, values in shares.items()}
        tests = sum(of.get("tested_leads", 0) for of in first)
        broken = sum(of.get("broken_leads", 0) for of in first)
        told["pilots not parallel"] = f"{100 * broken / tests:.0f}" if tests else "-"
        seconds = float(np.mean([line["seconds"] for line in own]))
        shown.append({**asdict(row), "studies": len(own), **told, "s": f"{seconds:.1f}"})
    return pd.DataFrame(shown)


def with_error(values: Sequence[bool]) -> str:
    """Write a share in percent and its Monte Carlo error.

    >>> with_error([True, False, False, False])
    '25.0 (21.7)'
    """
    share, error = share_with_error(pd.Series(values))
    return f"{100 * share:.1f} ({100 * error:.1f})"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Row()
    parser.add_argument("--shock", type=float, nargs="+", default=[default.shock])
    parser.add_argument("--cases", type=int, nargs="+", default=[default.cases])
    parser.add_argument("--authorities", type=int, nargs="+", default=[default.authorities])
    parser.add_argument("--pilots", choices=KINDS, nargs="+", default=[default.pilots])
    parser.add_argument("--effect", type=float, nargs="+", default=[default.effect])
    parser.add_argument("--rho", type=float, default=default.rho)
    parser.add_argument("--all", action="store_true", help="every row of the table")
    parser.add_argument("--list", action="store_true", help="print the rows and end")
    parser.add_argument("--table", type=Path, help="print the table of a file and end")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="file of JSON lines, added to")
    return parser.parse_args()


def chosen(given: argparse.Namespace) -> list[Row]:
    """Return the rows that are asked for."""
    if given.all or given.list:
        return all_rows()
    worlds = itertools.product(
        given.shock, given.cases, given.authorities, given.pilots, given.effect
    )
    return [Row(*world, given.rho) for world in worlds]


def main() -> None:
    given = arguments()
    if given.list:
        print("\n".join(row.command for row in all_rows()))
        return
    if given.table:
        print(table(done_before(given.table)).to_string(index=False))
        return
    rows = chosen(given)
    lines = [line for line in done_before(given.out) if row_of(line) in rows]
    start = time.perf_counter()
    for line in run(rows, given):
        lines.append(line)
        if given.out:
            with given.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
    print(table(lines).to_string(index=False))
    print(f"{time.perf_counter() - start:.0f} s on {given.processes} processes")


if __name__ == "__main__":
    main()
