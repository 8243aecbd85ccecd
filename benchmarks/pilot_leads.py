"""How often a single pilot's leads and interval err, with shocks to whole authorities.

    OPENBLAS_NUM_THREADS=1 python benchmarks/pilot_leads.py --cases 40 500 1500 --shock 0 2 5

Authorities of unequal size (lognormal, standard deviation 0.6 of the log), ten years, pilots
treated from the seventh on, two comparators each; cases are 0 or 1 at a rate of about 22%. What
befalls an authority in a year is an autoregressive shock (0.6 from year to year) of the standard
deviation that ``--shock`` gives in points. Comparators are drawn at random, or, with ``--nearest``,
those whose rates before were nearest.

Each row gives, for pilots without effect and drift: the share whose leads are found not parallel
at 5%; the share of 95% intervals that miss the effect; and, for pilots that drift by ``--drift``
points a year, the share whose leads are found not parallel. These are raw differences of one pilot
a study, which is fast; with ``--whole`` those of the estimators of a study of ``--pilots`` pilots,
and the test of all of them together; with ``--by-case`` also what errors clustered by case would
find without a drift. Shares have two standard errors of chance, of studies: pilots of a study share
its pool.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from sos_estimators.did import DidSettings
from sos_estimators.event_study import EventStudySettings

from sos_plugins import Run, Sample
from sos_plugins.cells.compression import expand
from sos_plugins.host.registry import Registry, load_plugins
from sos_plugins.study.leads import LeadTests
from sos_plugins.study.pool_errors import Drift, PoolErrors
from sos_plugins.study.sensitivity import Specification, run

LEVEL = 0.05
POINT = 0.01
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))


@cache
def plugins() -> Registry:
    """Load the plugins once a process."""
    return load_plugins()


def setup(sample: Sample, groups: tuple, estimator: str) -> Specification:
    """Return the stacked event study, or the classic design, on a sample."""
    options = {
        "event-study": EventStudySettings(form="stacked"),
        "did": DidSettings(form="stacked"),
    }
    return Specification(sample, estimator, "python", options[estimator], groups, 1, sample)


def alone(did: Specification, errors: PoolErrors, pilot: str) -> Run:
    """Run the classic design on one pilot, with the error of the pool."""

    def judge(told: Run, made: Specification, level: float) -> Run:
        return errors.judged(told, made.alone, "all", level)

    made = replace(did.only([pilot]), alone=pilot)
    return run(plugins(), "single-pilot", pilot, lambda: made, judge)


def by_case(study: Specification, pilot: str) -> float:
    """Return the p value of a pilot's leads with errors clustered by case."""
    cases = expand(study.only([pilot]).sample)
    assert cases is not None
    own = cases.frame.assign(cluster=range(len(cases.frame)))
    fitted = (
        plugins()
        .engine("event-study", "python")
        .fit(
            replace(cases, frame=own),
            EventStudySettings(form="stacked", vcov="CR1", leads_df="clusters"),
        )
    )
    return float(fitted.glance["leads_p_value"])


def raw(seed: np.random.SeedSequence, given: dict[str, float]) -> pd.Series:
    """Return whether the raw differences of one pilot err, and whether its drift is found."""
    from pool_studies import World, one_pilot

    world = World(**given)  # type: ignore[arg-type]
    state = seed.generate_state(1)[0]
    still = one_pilot(replace(world, drift=0.0), np.random.default_rng(state))
    drifting = one_pilot(world, np.random.default_rng(state))
    return pd.Series(
        {
            "not parallel": still.p_leads < LEVEL,
            "missed": still.p_effect < LEVEL,
            "power": drifting.p_leads < LEVEL,
        },
        dtype=float,
    )


def one(seed: np.random.SeedSequence, given: dict[str, float], clustered: bool) -> pd.Series:
    """Return the shares among the pilots of one study."""
    from pool_studies import World, prepared

    world = World(**given)  # type: ignore[arg-type]
    state = seed.generate_state(1)[0]
    still = prepared(replace(world, drift=0.0), np.random.default_rng(state))
    drifting = prepared(world, np.random.default_rng(state))
    found: dict[str, list[float]] = {"not parallel": [], "missed": [], "power": []}
    for name, outcome in (("not parallel", still), ("power", drifting)):
        errors = PoolErrors(outcome)
        groups = outcome.design.groups
        study = setup(outcome.stacked, groups, "event-study")
        tests = LeadTests(plugins(), study, errors, Drift(0.1, "all"))
        for pilot in (p.unit for p in outcome.design.pilots):
            found[name].append(tests.of_pilot(pilot).p_value)  # type: ignore[arg-type]
            if name == "not parallel":
                told = alone(setup(outcome.stacked, groups, "did"), errors, pilot)
                assert told.conf_low is not None
                assert told.conf_high is not None
                found["missed"].append(not told.conf_low <= world.effect <= told.conf_high)
                if clustered:
                    found.setdefault("by case", []).append(by_case(study, pilot))
        found[f"{name}, all pilots"] = [tests.of_all().p_value]  # type: ignore[list-item]
    return pd.Series(
        {
            name: np.mean(values if name == "missed" else np.array(values, float) < LEVEL)
            for name, values in found.items()
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=float, nargs="+", default=[500])
    parser.add_argument("--shock", type=float, nargs="+", default=[5], help="in points")
    parser.add_argument("--pool", type=int, nargs="+", default=[31])
    parser.add_argument("--pilots", type=int, default=5)
    parser.add_argument("--drift", type=float, default=2, help="points a year")
    parser.add_argument("--nearest", action="store_true")
    parser.add_argument("--whole", action="store_true", help="by the estimators of a study")
    parser.add_argument("--by-case", action="store_true")
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    told = parser.parse_args()
    with ProcessPoolExecutor(told.processes) as workers:
        for pool in told.pool:
            for cases in told.cases:
                for shock in told.shock:
                    start = time.perf_counter()
                    seeds = np.random.SeedSequence((told.seed, pool, int(cases), int(10 * shock)))
                    given = {
                        "cases": cases,
                        "shock": shock * POINT,
                        "pool": pool,
                        "pilots": told.pilots,
                        "drift": told.drift * POINT,
                        "nearest": told.nearest,
                    }
                    job = partial(raw, given=given)
                    if told.whole or told.by_case:
                        job = partial(one, given=given, clustered=told.by_case)
                    rows = pd.DataFrame(list(workers.map(job, seeds.spawn(told.repeats))))
                    spread = 2 * rows.std() / np.sqrt(len(rows))
                    shown = (f"{n} {rows[n].mean():.1%} +- {spread[n]:.1%}" for n in rows)
                    print(
                        f"pool {pool}, {cases:g} cases, shocks of {shock:g} points: "
                        f"{', '.join(shown)} ({time.perf_counter() - start:.0f} s)",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
