"""Group-time effects and an event study of many cases or units: ours against Python peers.

    python benchmarks/bench_callaway_santanna.py --design cases --size 1000000 --repeats 3 \
        --peers-python PATH
    python benchmarks/bench_callaway_santanna.py --design panel --size 1000000 --repeats 3 \
        --peers-python PATH

``--peers-python`` is an interpreter with any of the packages diff-diff, csdid, moderndid and
differences, numpy, pandas and pyarrow; what it lacks is skipped, and said. Each job runs in a
process of its own on one Parquet file, read into a pandas frame before the clock starts, and
reports its seconds (on the wall, and of the processor), its peak memory and the effect of the first
treated period, which must be the same for all. Ours also runs from the file itself, as the command
line does. ``ours`` has one BLAS thread, peers have what they take.

- cases: repeated cross-section, 150 authorities, 10 years, 5 cohorts and never treated. Standard
  errors by formula, clustered by authority where a package can (``by authority``), else by case;
  and from 999 draws clustered by authority.
- panel: balanced, 10 periods, 5 cohorts and never treated, standard errors by unit, by formula;
  without covariates, and doubly robust with three.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

UNITS, YEARS, DRAWS = 150, 10, 999
COHORTS = (0, 4, 5, 6, 7, 8)
COVARIATES = ("x1", "x2", "x3")
SAME = 1e-6
"""How far effects may be apart when the same is estimated: logits stop at different steps."""
Row = dict[str, float]


def write_cases(path: Path, n: int) -> None:
    """Write n cases of a repeated cross-section."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(7)
    unit = rng.choice(UNITS, n, p=rng.dirichlet(np.full(UNITS, 4.0)))
    period = rng.integers(1, YEARS + 1, n)
    cohort = np.array(COHORTS)[np.arange(UNITS) % len(COHORTS)][unit]
    shock = rng.normal(0, 0.3, (UNITS, YEARS))[unit, period - 1]
    value = shock + 0.2 * ((cohort > 0) & (period >= cohort)) + rng.normal(size=n)
    columns = {"la": unit, "period": period, "cohort": cohort, "value": value}
    pd.DataFrame({"case": np.arange(n), **columns}).to_parquet(path, index=False)


def write_panel(path: Path, n: int) -> None:
    """Write n units in all periods, with covariates that do not change."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(7)
    x = np.column_stack([rng.normal(size=n), rng.random(n) < 0.5, rng.normal(size=n)])
    likely = rng.random(n) < 1 / (1 + np.exp(-(0.8 + 0.3 * x[:, 0] - 0.2 * x[:, 1])))
    cohort = np.where(likely, np.array(COHORTS)[1 + rng.integers(0, 5, n)], 0)
    period = np.arange(1, YEARS + 1)
    effect = (cohort[:, None] > 0) & (period >= cohort[:, None])
    value = rng.normal(size=n)[:, None] + (0.3 + 0.1 * x[:, :1]) * period + 1.0 * effect
    value = value + rng.normal(size=(n, YEARS))
    frame = pd.DataFrame(
        {
            "id": np.repeat(np.arange(n), YEARS),
            "period": np.tile(period, n),
            "cohort": np.repeat(cohort, YEARS),
            "value": value.ravel(),
        }
    )
    for j, name in enumerate(COVARIATES):
        frame[name] = np.repeat(x[:, j], YEARS)
    frame.to_parquet(path, index=False)


@dataclass(frozen=True)
class Task:
    """What is estimated: ``draws`` of the bootstrap, 0 for errors by formula."""

    panel: bool
    covariates: tuple[str, ...] = ()
    draws: int = 0
    by_authority: bool = True

    @property
    def columns(self) -> list[str]:
        """Columns that it needs."""
        keys = ["id"] if self.panel else ["case", "la"]
        return [*keys, "period", "cohort", "value", *self.covariates]


class Clock:
    """Seconds since it was made, on the wall and of the processor (all threads, no children)."""

    def __init__(self) -> None:
        self.start = time.perf_counter(), time.process_time()

    def passed(self) -> Row:
        """Return both."""
        wall, cpu = self.start
        return {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def read(path: Path, task: Task) -> Any:
    """Read one column after another, so that the reader's memory is not the highest."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {}
    for name in task.columns:
        columns[name] = pq.read_table(path, columns=[name]).column(0).to_numpy()
        pa.default_memory_pool().release_unused()
    return pd.DataFrame(columns, copy=False)


# ---- ours ----------------------------------------------------------------------------------------


def ours(task: Task, path: Path) -> Row:
    import numpy as np
    from sos_estimators.callaway_santanna import engine_python

    from sos_plugins import Sample

    frame = read(path, task)
    start = Clock()
    cluster = frame["id" if task.panel else "la"]
    treated = frame["cohort"] > 0
    frame = frame.assign(
        unit=cluster,
        cluster=cluster,
        weight=np.ones(len(frame)),
        treated=treated.astype(np.int8),
        post=(treated & (frame["period"] >= frame["cohort"])).astype(np.int8),
    )
    terms = engine_python.fit_several(
        Sample(frame, task.covariates), _settings(task), ("group-time", "event")
    )
    return _told(terms["event"], start.passed())


def ours_from_file(task: Task, path: Path) -> Row:
    from sos_estimators.callaway_santanna import engine_python

    from sos_plugins.tables.read_table import read_sample

    start = Clock()
    sample = read_sample(
        path,
        unit="id" if task.panel else "la",
        id="id" if task.panel else None,
        period="period",
        cohort="cohort",
        value="value",
        covariates=task.covariates,
    ).sample
    reading = start.passed()["cpu"]
    terms = engine_python.fit_several(sample, _settings(task), ("group-time", "event"))
    return {**_told(terms["event"], start.passed()), "reading": reading}


def _settings(task: Task) -> Any:
    from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings

    return CallawaySantAnnaSettings(
        cluster="cluster" if task.by_authority and not task.panel else "unit-of-observation",
        errors="bootstrap" if task.draws else "analytic",
        draws=task.draws or DRAWS,
    )


def _told(estimate: Any, passed: Row) -> Row:
    row = estimate.term("event=0")
    return _peer(passed, row["estimate"], row["std_error"])


# ---- peers ---------------------------------------------------------------------------------------


def diff_diff(task: Task, path: Path) -> Row:
    from diff_diff import CallawaySantAnna

    frame = read(path, task)
    start = Clock()
    model = CallawaySantAnna(
        panel=task.panel,
        n_bootstrap=task.draws,
        seed=1 if task.draws else None,
        cluster="la" if task.by_authority and not task.panel else None,
    )
    fitted = model.fit(
        frame,
        outcome="value",
        unit="id" if task.panel else "case",
        time="period",
        first_treat="cohort",
        covariates=list(task.covariates) or None,
    )
    table = fitted.aggregate("event_study").to_dataframe().set_index("event_time")
    passed = start.passed()
    return _peer(passed, table.loc[0, "att"], table.loc[0, "se"])


def csdid(task: Task, path: Path) -> Row:
    from csdid.att_gt import ATTgt

    frame = read(path, task)
    start = Clock()
    by_authority = task.by_authority and not task.panel
    model = ATTgt(
        yname="value",
        tname="period",
        idname="id" if task.panel else "case",
        gname="cohort",
        data=frame,
        control_group="nevertreated",
        xformla=f"value ~ {' + '.join(task.covariates)}" if task.covariates else None,
        panel=task.panel,
        clustervar="la" if by_authority else None,
        biters=task.draws or DRAWS,
    ).fit(est_method="dr", bstrap=task.draws > 0)
    dynamic = model.aggte("dynamic", bstrap=task.draws > 0, cband=False).atte
    passed = start.passed()
    place = list(dynamic["egt"]).index(0)
    errors = dynamic["se_egt"]
    return _peer(passed, dynamic["att_egt"][place], _flat(errors)[place])


def _flat(values: Any) -> Any:
    import numpy as np

    return np.asarray(values[0] if len(values) == 1 else values).ravel()


def moderndid(task: Task, path: Path) -> Row:
    from moderndid import aggte, att_gt

    frame = read(path, task)
    start = Clock()
    clusters = ["la"] if task.draws and not task.panel else None
    drawn = {"boot": task.draws > 0, "biters": task.draws or DRAWS, "clustervars": clusters}
    group_time = att_gt(
        data=frame,
        yname="value",
        tname="period",
        idname="id" if task.panel else None,
        gname="cohort",
        xformla=f"~ {' + '.join(task.covariates)}" if task.covariates else None,
        panel=task.panel,
        cband=False,
        **drawn,
    )
    event = aggte(group_time, type="dynamic", cband=False, **drawn)
    passed = start.passed()
    place = list(event.event_times).index(0)
    return _peer(passed, event.att_by_event[place], event.se_by_event[place])


def differences(task: Task, path: Path) -> Row:
    import numpy as np
    from differences import ATTgt

    frame = read(path, task)
    start = Clock()
    frame["cohort"] = frame["cohort"].astype(float).replace(0, np.nan)
    index = ["id" if task.panel else "case", "period"]
    clusters = "la" if task.draws else None
    keep = [*index, "cohort", "value", *task.covariates, *([clusters] if clusters else [])]
    model = ATTgt(frame[keep].set_index(index), cohort_column="cohort")
    formula = f"value ~ {' + '.join(task.covariates)}" if task.covariates else "value"
    drawn = {"boot_iterations": task.draws, "cluster_var": clusters}
    model.fit(formula, est_method="dr", progress_bar=False, **drawn)
    row = model.aggregate("event", **drawn).loc[0]
    passed = start.passed()
    return _peer(passed, row.iloc[0], row.iloc[1])


def _peer(passed: Row, estimate: Any, error: Any) -> Row:
    return {**passed, "estimate": float(estimate), "std_error": float(error)}


# ---- running -------------------------------------------------------------------------------------

Job = Callable[[Task, Path], Row]
PEERS: dict[str, tuple[str, Job]] = {
    "diff-diff": ("diff_diff", diff_diff),
    "moderndid": ("moderndid", moderndid),
    "csdid": ("csdid", csdid),
    "differences": ("differences", differences),
}
OURS: dict[str, Job] = {"ours": ours, "ours from the file": ours_from_file}
TASKS: dict[str, dict[str, Task]] = {
    "cases": {
        "analytic": Task(panel=False),
        f"{DRAWS} draws": Task(panel=False, draws=DRAWS),
    },
    "panel": {
        "no covariates": Task(panel=True),
        "doubly robust": Task(panel=True, covariates=COVARIATES),
    },
}
# Peers are at their fastest by case, and some cannot do otherwise with errors by formula.
BY_CASE = {"analytic, by case": Task(panel=False, by_authority=False)}
CAN_CLUSTER = ("diff-diff", "csdid")


def jobs(design: str) -> dict[str, tuple[str, Callable[[Path], Row]]]:
    """All jobs of a design by name, and the task that each does."""
    made: dict[str, tuple[str, Callable[[Path], Row]]] = {}
    for label, task in TASKS[design].items():
        for name, job in OURS.items():
            made[f"{label}: {name}"] = (label, partial(job, task))
        for name, (_, job) in PEERS.items():
            if task.draws or task.panel or name in CAN_CLUSTER:
                made[f"{label}: {name}"] = (label, partial(job, task))
        for by_case in BY_CASE.values() if label == "analytic" else ():
            for name, (_, job) in PEERS.items():
                made[f"{label}: {name}, by case"] = (label, partial(job, by_case))
    return made


def peer_of(name: str) -> str | None:
    """Return the peer that a job is of; None for ours."""
    return next((peer for peer in PEERS if peer in name), None)


def installed(python: str) -> dict[str, str]:
    """Versions of the peers that an interpreter has."""
    code = (
        "import importlib.metadata as m, json\n"
        f"found = {{}}\nfor name in {list(PEERS)!r}:\n"
        "    try: found[name] = m.version(name)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    versions: dict[str, str] = json.loads(done.stdout)
    return versions


def run(job: str, design: str, path: Path, python: str) -> Row | str:
    """Run one job in a process of its own; why it failed if it did."""
    ours_only = {"OPENBLAS_NUM_THREADS": "1"} if peer_of(job) is None else {}
    given = ["--job", job, "--design", design, "--path", str(path)]
    done = subprocess.run(
        [python, __file__, *given],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | ours_only,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"ended with {done.returncode}"]
        return last[0][:120]
    row: Row = json.loads(done.stdout.strip().splitlines()[-1])
    return row


def work(job: str, design: str, path: Path) -> None:
    """Do one job and print what it found."""
    warnings.simplefilter("ignore")
    _, call = jobs(design)[job]
    peer = peer_of(job)
    if peer is not None:
        __import__(PEERS[peer][0])
    else:
        import sos_estimators.callaway_santanna

        assert sos_estimators.callaway_santanna  # imported before the clock starts
    row = call(path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**row, "megabytes": peak}))


def report(design: str, results: dict[str, list[Row | str]]) -> None:
    """Print medians, and how many times as long and as much memory as ours others need."""
    print(
        f"{'':44} {'seconds':>9} {'ratio':>7} {'cpu':>9} {'ratio':>7} {'MB':>7} {'ratio':>6}  "
        "effect at 0 (error)"
    )
    for name, rows in results.items():
        failed = [row for row in rows if isinstance(row, str)]
        if failed or not rows:
            print(f"{name:44} {'failed: ' + failed[0] if failed else 'not run'}")
            continue
        middle = _medians(rows)
        label = jobs(design)[name][0]
        own = _medians(results.get(f"{label}: ours", []))
        apart = own and abs(middle["estimate"] - own["estimate"]) > SAME
        further = f", reading {middle['reading']:.2f} s of cpu" if "reading" in middle else ""
        print(
            f"{name:44} {_beside(middle, own, 'seconds', '9.3f', '7.1f')} "
            f"{_beside(middle, own, 'cpu', '9.3f', '7.1f')} "
            f"{_beside(middle, own, 'megabytes', '7.0f', '6.2f')}  "
            f"{middle['estimate']:.6f} ({middle['std_error']:.6f})"
            f"{further}{'  NOT THE SAME EFFECT' if apart else ''}"
        )


def _beside(row: Row, own: Row, key: str, how: str, ratio: str) -> str:
    """A figure, and how many times that of ours it is."""
    return f"{row[key]:{how}} {row[key] / own[key] if own else float('nan'):{ratio}}"


def _medians(rows: list[Row | str]) -> Row:
    kept = [row for row in rows if not isinstance(row, str)]
    if not kept:
        return {}
    return {key: statistics.median(row[key] for row in kept) for key in kept[0]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--design", choices=TASKS, default="panel")
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-repeats", type=int, default=None)
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--skip", nargs="*", default=[], help="jobs whose name holds any of these")
    parser.add_argument("--job")
    parser.add_argument("--path", type=Path)
    given = parser.parse_args()
    if given.job:
        work(given.job, given.design, given.path)
        return
    there = installed(given.peers_python)
    absent = [peer for peer in PEERS if peer not in there]
    if absent:
        print(f"Not installed for {given.peers_python}, left out: {', '.join(absent)}.")
    wanted = [
        name
        for name in jobs(given.design)
        if peer_of(name) not in absent and not any(word in name for word in given.skip)
    ]
    results: dict[str, list[Row | str]] = {name: [] for name in wanted}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.parquet"
        {"cases": write_cases, "panel": write_panel}[given.design](path, given.size)
        for number in range(given.repeats):
            for name in wanted:
                peer = peer_of(name)
                if peer and number >= (given.peer_repeats or given.repeats):
                    continue
                python = given.peers_python if peer else sys.executable
                results[name].append(run(name, given.design, path, python))
                print(f"  {name}: {results[name][-1]}", file=sys.stderr, flush=True)
    versions = ", ".join(f"{peer} {version}" for peer, version in there.items())
    print(
        f"{given.design}, {given.size:,} {'units' if given.design == 'panel' else 'cases'}, "
        f"{given.repeats} runs, Python {platform.python_version()}, "
        f"numpy {importlib.metadata.version('numpy')}, load {os.getloadavg()[0]:.1f}; {versions}"
    )
    report(given.design, results)


if __name__ == "__main__":
    main()
