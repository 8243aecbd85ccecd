"""Classic difference-in-differences on a repeated cross-section: cells against pyfixest.

    python benchmarks/bench_did.py --cases 1000000 --repeats 3

Each job runs in a process of its own, which reads one Parquet file (150 authorities, 10 years, two
covariates) and reports its seconds (on the wall, and those of all threads on the processors, which
other work on the machine changes less) and its peak memory. The median of the repeats is shown.

- group by: DuckDB alone, counts and sums of the same columns by authority and year.
- cells: compression, then DiD with CR1, CR3, leave-one-out and 9,999 wild-bootstrap draws; the
  details show compression alone, and both once again in the same process.
- pyfixest: event study with two fixed effects and CR1 errors.

What is imported is imported before the clock starts. Our jobs use one BLAS thread: their matrices
are small, and threads that wait for each other on a busy machine take longer.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

UNITS, YEARS, TREATED, DRAWS = 150, 10, 9, 9999
KEYS = ("cohort", "treated", "post")
COVARIATES = ("age", "sex")
ROW_GROUP = 122_880
"""Rows of a part of the file, as DuckDB writes: parts are what several threads can share."""


class Clock:
    """Seconds since it was made, on the wall and of all threads on the processors."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Return ``seconds`` and ``cpu``."""
        return {
            "seconds": time.perf_counter() - self._wall,
            "cpu": time.process_time() - self._cpu,
        }


def peak() -> float:
    """Return the most memory that this process has had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_cases(path: Path, n: int, seed: int = 1) -> None:
    """Write n cases: a numeric and a text covariate, authorities of unequal size."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(seed)
    size = rng.lognormal(0, 0.6, UNITS)
    unit = rng.choice(UNITS, n, p=size / size.sum())
    year = rng.integers(2010, 2010 + YEARS, n)
    adoption = np.zeros(UNITS, dtype=np.int64)
    adoption[rng.choice(UNITS, TREATED, replace=False)] = 2014 + np.arange(TREATED) % 3
    cohort = adoption[unit]
    post = (cohort > 0) & (year >= cohort)
    age, sex = rng.uniform(0, 18, n), rng.choice(["F", "M"], n)
    shock = rng.normal(0, 0.3, (UNITS, YEARS))[unit, year - 2010]
    value = 0.05 * age + 0.2 * (sex == "M") + shock + 0.2 * post + rng.normal(size=n)
    pd.DataFrame(
        {
            "unit": np.char.add("E", (10000 + unit).astype(str)),
            "period": year,
            "cohort": cohort,
            "treated": (cohort > 0).astype(np.int8),
            "post": post.astype(np.int8),
            "age": age,
            "sex": sex,
            "value": value,
        }
    ).to_parquet(path, index=False, row_group_size=ROW_GROUP)


def job_group_by(path: Path) -> dict[str, float]:
    import duckdb

    clock = Clock()
    duckdb.sql(
        f"select unit, period, cohort, treated, post, sex, count(*), sum(value), sum(age) "
        f"from '{path}' group by all"
    ).fetchall()
    return clock.read()


def job_import_cells(path: Path) -> dict[str, float]:  # noqa: ARG001
    import sos_estimators.inference.inference_table

    import sos_plugins.cells.build

    assert sos_estimators.inference.inference_table
    assert sos_plugins.cells.build
    return {"seconds": 0.0}


def job_import_pyfixest(path: Path) -> dict[str, float]:  # noqa: ARG001
    import pyfixest

    assert pyfixest.feols  # imported when first asked for
    return {"seconds": 0.0}


def job_cells(path: Path) -> dict[str, float]:
    import ibis.backends.duckdb
    from sos_estimators.did import DidSettings
    from sos_estimators.inference.inference_table import inference

    from sos_plugins.cells.build import cells

    assert ibis.backends.duckdb  # imported before the clock starts, as pyfixest is
    clock = Clock()
    made = cells(path, covariates=COVARIATES, keys=KEYS)
    compressed = clock.read()
    intervals = inference(made.sample(), DidSettings(), ("CR1", "CR3", "WCR"), draws=DRAWS)
    took = {**clock.read(), "megabytes": peak()}
    again = Clock()
    inference(
        cells(path, covariates=COVARIATES, keys=KEYS).sample(),
        DidSettings(),
        ("CR1", "CR3", "WCR"),
        draws=DRAWS,
    )
    once_more = again.read()
    table = intervals.table.set_index("method")
    return {
        **took,
        "compression": compressed["seconds"],
        "compression cpu": compressed["cpu"],
        "again": once_more["seconds"],
        "again cpu": once_more["cpu"],
        "estimate": float(table["estimate"]["CR1"]),
        "std_error": float(table["std_error"]["CR1"]),
    }


def job_cells_event_study(path: Path) -> dict[str, float]:
    import ibis.backends.duckdb
    from sos_estimators.event_study import EventStudySettings, fit_python

    from sos_plugins.cells.build import cells

    assert ibis.backends.duckdb  # imported before the clock starts, as pyfixest is
    clock = Clock()
    made = cells(path, covariates=COVARIATES, keys=KEYS)
    fitted = fit_python(made.sample(), EventStudySettings(vcov="CR1"))
    took = clock.read()
    row = fitted.term("event=0")
    return {
        **took,
        "estimate": float(row["estimate"]),
        "std_error": float(row["std_error"]),
    }


def job_pyfixest(path: Path) -> dict[str, float]:
    import numpy as np
    import pandas as pd
    import pyfixest as pf

    assert pf.feols
    clock = Clock()
    data = pd.read_parquet(path)
    data["event"] = np.where(data["treated"] == 1, data["period"] - data["cohort"], -1)
    fit = pf.feols(
        "value ~ i(event, ref=-1) + age + sex | unit + period",
        data,
        vcov={"CRV1": "unit"},
        ssc=pf.ssc(k_adj=False, G_adj=True),
    )
    took = clock.read()
    table = fit.tidy()
    row = table[[("event" in name and name.rstrip("]").endswith("::0")) for name in table.index]]
    return {
        **took,
        "estimate": float(row["Estimate"].iloc[0]),
        "std_error": float(row["Std. Error"].iloc[0]),
    }


JOBS: dict[str, Callable[[Path], dict[str, float]]] = {
    "import-cells": job_import_cells,
    "import-pyfixest": job_import_pyfixest,
    "group-by": job_group_by,
    "cells": job_cells,
    "cells-event-study": job_cells_event_study,
    "pyfixest": job_pyfixest,
}
LABELS = {
    "import-cells": "importing our modules",
    "import-pyfixest": "importing pyfixest",
    "group-by": "DuckDB group by alone",
    "cells": f"cells, DiD, CR1, CR3, leave-one-out, {DRAWS:,} draws",
    "cells-event-study": "cells, event study, CR1",
    "pyfixest": "pyfixest, event study, CR1",
}


def run(job: str, path: Path, script: str) -> dict[str, float]:
    """Run one job of a script in a process of its own."""
    done = subprocess.run(
        [sys.executable, script, "--job", job, "--path", str(path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | ({"OPENBLAS_NUM_THREADS": "1"} if "cells" in job else {}),
    )
    if done.returncode:
        raise SystemExit(f"{job} failed:\n{done.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def main(jobs: dict[str, Callable[[Path], dict[str, float]]], script: str = __file__) -> None:
    """Time the jobs of a script, which calls this with its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=jobs, default=list(jobs))
    parser.add_argument("--job", choices=jobs)
    parser.add_argument("--path", type=Path)
    given = parser.parse_args()
    if given.job:
        figures = jobs[given.job](given.path)
        print(json.dumps({"megabytes": peak(), **figures}))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cases.parquet"
        writer = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
        writer += "from pathlib import Path; import bench_did; "
        writer += f"bench_did.write_cases(Path({str(path)!r}), {given.cases})"
        subprocess.run([sys.executable, "-c", writer], check=True)
        runs: dict[str, list[dict[str, float]]] = {job: [] for job in given.only}
        for _ in range(given.repeats):
            for job in given.only:
                runs[job].append(run(job, path, script))
    print(f"{given.cases:,} cases, {given.repeats} runs, Python {platform.python_version()}")
    print(f"{'':58} {'seconds':>9} {'cpu':>9} {'MB':>7}  details")
    for job, results in runs.items():
        middle = {key: statistics.median(r[key] for r in results) for key in results[0]}
        rest = ", ".join(
            f"{k} {v:.6g}" for k, v in middle.items() if k not in ("seconds", "cpu", "megabytes")
        )
        print(
            f"{LABELS.get(job, job):58} {middle['seconds']:9.3f} "
            f"{middle.get('cpu', float('nan')):9.3f} {middle['megabytes']:7.0f}  {rest}"
        )


if __name__ == "__main__":
    main(JOBS)
