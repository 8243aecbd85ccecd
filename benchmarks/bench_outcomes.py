"""Six outcomes from Parquet to cells: the plugins on DuckDB and Spark, and plain pandas.

    python benchmarks/bench_outcomes.py --referrals 100000 650000 1000000 6500000 10000000

Each job runs in a process of its own, which reads one folder of record tables (ten years, 152
authorities) and reports its seconds and its peak memory. Each prints cases and sums of values by
outcome; where jobs disagree the benchmark fails.

- duckdb: source ``records``, six outcomes, attrition, completeness and cells, within --memory.
- pandas: the same outcomes and cells as tests/support/plain_pandas.py derives them, and nothing
  besides.
- spark: the same plugins on a Spark on this machine; processor and memory with those of Java.

What is imported is imported before the clock starts, and Spark is started before. ``busy`` are
seconds of processor, on all cores and from the start of the process: on a machine that does other
work they say more. With three sizes or more a line is fitted to them, and a billion referrals are
costed at --price a core-hour.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MEMORY = "2GB"
"""What DuckDB may take by default: the process stays within 4 GiB."""
SAME = 1e-9
"""Sums of whole numbers, added in another order."""
MEASURED, BILLION = 3, 1_000_000_000
"""Least sizes to fit a line to, and where it is read off."""
Found = dict[str, Any]


def _derived(folder: Path, backend: Any) -> Iterator[tuple[str, Found]]:
    from sos_outcomes.assessment_duration import AssessmentDuration, AssessmentWithin45Days
    from sos_outcomes.escalation import Escalation
    from sos_outcomes.icpc import Icpc
    from sos_outcomes.kinship_care import KinshipCare
    from sos_outcomes.rereferral import Rereferral
    from sos_sources.tables.records import RecordTables

    from sos_plugins.cells.build import cells
    from sos_plugins.contract.session import Session
    from sos_plugins.host.settings import validate

    session = Session(backend=backend, base=folder)
    source = RecordTables()
    start = time.perf_counter()
    records = source.read(validate(source.Settings, {"folder": "."}, where="benchmark"), session)
    yield "reading", {"seconds": time.perf_counter() - start}
    outcomes = (AssessmentDuration(), AssessmentWithin45Days(), Rereferral(), Escalation())
    for outcome in (*outcomes, KinshipCare(), Icpc()):
        start = time.perf_counter()
        settings = validate(outcome.Settings, {}, where="benchmark")
        cases = outcome.derive(records, settings, session)
        compressed = cells(cases.table, covariates=cases.covariates)
        facts = {
            "cases": compressed.n_cases,
            "sum": float(compressed.frame["value_sums"].sum()),
            "cells": len(compressed.frame),
        }
        yield outcome.name, {"seconds": time.perf_counter() - start, **facts}


def job_duckdb(folder: Path, memory: str) -> Found:
    """Derive on DuckDB within a limit of memory."""
    import ibis.backends.duckdb
    import sos_outcomes.escalation

    from sos_plugins.backends import duckdb_backend

    assert ibis.backends.duckdb
    assert sos_outcomes.escalation
    start = time.perf_counter()
    outcomes = dict(_derived(folder, duckdb_backend(memory)))
    return {"seconds": time.perf_counter() - start, "outcomes": outcomes}


def job_spark(folder: Path, memory: str) -> Found:
    """Derive on a Spark of this machine."""
    from sos_plugins.backends import spark_backend

    backend = spark_backend(memory=memory)
    backend.raw_sql("SELECT 1").collect()
    start = time.perf_counter()
    outcomes = dict(_derived(folder, backend))
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "outcomes": outcomes, **_of_java(backend)}


def _of_java(backend: Any) -> Found:
    """Return seconds of processor and peak memory of Spark's own process (Linux alone)."""
    gateway = backend.raw_sql("SELECT 1").sparkSession.sparkContext._gateway
    place = Path("/proc") / str(gateway.proc.pid)
    if not place.exists():
        return {}
    ticks = place.joinpath("stat").read_text().rpartition(")")[2].split()[11:13]
    (peak,) = (
        line.split()[1]
        for line in place.joinpath("status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    busy = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return {"java_busy": busy, "java_megabytes": int(peak) / 1024}


def job_pandas(folder: Path, memory: str) -> Found:  # noqa: ARG001
    """Derive in plain pandas."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    import plain_pandas

    from sos_plugins.contract.session import Session

    assert Session  # the imports of the other jobs, so that memory compares
    start = time.perf_counter()
    tables = plain_pandas.read(folder)
    years = tables["referrals"]["return_year"]
    first, last = f"{int(years.min())}-04-01", f"{int(years.max()) + 1}-03-31"
    outcomes: Found = {"reading": {"seconds": time.perf_counter() - start}}
    for name, (make, covariates) in plain_pandas.OUTCOMES.items():
        began = time.perf_counter()
        cells = plain_pandas.cells(make(tables, first, last), covariates)
        outcomes[name] = {
            "seconds": time.perf_counter() - began,
            "cases": int(cells["n_cases"].sum()),
            "sum": float(cells["value_sums"].sum()),
            "cells": len(cells),
        }
    return {"seconds": time.perf_counter() - start, "outcomes": outcomes}


JOBS: dict[str, Callable[[Path, str], Found]] = {
    "duckdb": job_duckdb,
    "spark": job_spark,
    "pandas": job_pandas,
}


def run(job: str, folder: Path, memory: str) -> Found | None:
    """Run a job in a process of its own; None if it failed, with the reason on standard error."""
    command = [sys.executable, __file__, "--job", job, "--folder", str(folder), "--memory", memory]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{job}: exit status {done.returncode}\n{done.stderr[-2000:]}", file=sys.stderr)
        return None
    figures: Found = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def disagreement(results: dict[str, Found]) -> str:
    """Say where two jobs differ, or nothing."""
    (first, one), *others = results.items()
    for job, other in others:
        for name, mine in one["outcomes"].items():
            theirs = other["outcomes"][name]
            same = mine.get("cases") == theirs.get("cases")
            near = abs(mine.get("sum", 0) - theirs.get("sum", 0)) <= SAME * abs(mine.get("sum", 0))
            if not same or not near or mine.get("cells") != theirs.get("cells"):
                return f"{name}: {first} {mine}, {job} {theirs}"
    return ""


def show(n: int, job: str, figures: Found | None) -> None:
    """Print one row of the table."""
    if figures is None:
        print(f"{n:>12,} {job:8} {'failed':>9}", flush=True)
        return
    parts = ", ".join(f"{name} {part['seconds']:.1f}" for name, part in figures["outcomes"].items())
    rate = 1e6 * figures["seconds"] / n
    print(
        f"{n:>12,} {job:8} {figures['seconds']:9.2f} {figures['busy']:9.2f} "
        f"{figures['megabytes']:7.0f} {rate:11.2f}  {parts}",
        flush=True,
    )


def extrapolate(busy: dict[int, float], job: str, price: float) -> None:
    """Fit fixed and growing cost to what was measured, and print what a billion would take."""
    import numpy as np

    if len(busy) < MEASURED:
        return
    sizes, seconds = np.array(list(busy), float), np.array(list(busy.values()))
    # Relative errors: a small size counts as much as a large one.
    rows = np.column_stack([1 / seconds, sizes / seconds])
    (fixed, each), *_ = np.linalg.lstsq(rows, np.ones(len(sizes)), rcond=None)
    worst = float(np.abs(rows @ [fixed, each] - 1).max())
    hours = (fixed + each * BILLION) / 3600
    print(
        f"{job}: {fixed:.1f} s + {1e6 * each:.2f} s of processor a million (off by at most "
        f"{worst:.0%}); a billion: {hours:.1f} core-hours, {hours * price:.2f} at {price:g} each"
    )


def compare(
    sizes: list[int],
    jobs: list[str],
    memory: str,
    folder: Path,
    most: dict[str, int],
    price: float,
) -> None:
    """Run the jobs at each size and print seconds, memory, seconds a million, and ratios."""
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    print(
        f"{'referrals':>12} {'job':8} {'seconds':>9} {'busy':>9} {'MB':>7} {'s a million':>11}"
        "  seconds by part"
    )
    writer = "import sys; from pathlib import Path; import national; "
    writer += "national.write(Path(sys.argv[1]), int(sys.argv[2]))"
    busy: dict[str, dict[int, float]] = {job: {} for job in jobs}
    for n in sizes:
        place = folder / f"{n}"
        if not place.exists():
            command = [sys.executable, "-c", writer, str(place), str(n)]
            subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(HERE)})
        results = {job: run(job, place, memory) for job in jobs if n <= most.get(job, n)}
        for job, result in results.items():
            show(n, job, result)
        done = {job: result for job, result in results.items() if result is not None}
        for job, result in done.items():
            busy[job][n] = result["busy"]
        for job, result in done.items():
            if job != "duckdb" and "duckdb" in done:
                ratio = result["seconds"] / done["duckdb"]["seconds"]
                print(f"{n:>12,} {job} takes {ratio:.1f} times as long as duckdb", flush=True)
        if len(done) > 1 and (text := disagreement(done)):
            raise SystemExit(f"The jobs disagree: {text}")
    for job, measured in busy.items():
        extrapolate(measured, job, price)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--referrals", type=int, nargs="+", default=[100_000, 650_000])
    parser.add_argument("--only", nargs="*", choices=JOBS, default=list(JOBS))
    parser.add_argument("--pandas-up-to", type=int, default=6_500_000)
    parser.add_argument("--spark-up-to", type=int, default=6_500_000)
    parser.add_argument("--memory", default=MEMORY)
    parser.add_argument("--keep", type=Path, help="folder for the records, kept for another run")
    parser.add_argument("--job", choices=JOBS)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--price", type=float, default=0.1, help="of a core-hour")
    given = parser.parse_args()
    if given.job:
        figures = JOBS[given.job](given.folder, given.memory)
        used = resource.getrusage(resource.RUSAGE_SELF)
        peak, busy = used.ru_maxrss / 1024, used.ru_utime + used.ru_stime
        peak += figures.pop("java_megabytes", 0)
        busy += figures.pop("java_busy", 0)
        print(json.dumps({**figures, "megabytes": peak, "busy": busy}))
        return
    most = {"pandas": given.pandas_up_to, "spark": given.spark_up_to}
    with tempfile.TemporaryDirectory() as folder:
        compare(
            given.referrals, given.only, given.memory, given.keep or Path(folder), most, given.price
        )


if __name__ == "__main__":
    main()
