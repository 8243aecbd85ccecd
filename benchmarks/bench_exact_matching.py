"""Coarsened exact matching of cases in Parquet, against R's MatchIt on the same cases.

    python benchmarks/bench_exact_matching.py --cases 100000 1000000 10000000

Cases of 300 matched groups before and after the window, three of ten of them pilots', with six
covariates: gender, age in years, ethnicity, disability, low income and earlier plans; age cut at
4.5 and 12.5, plans at 0.5. Each job runs in a process of its own, imports done and R started before
the clock starts:

- ours: ``match_table`` on the file: weights of all cases, balance, L1 and local common support,
  effective sample sizes, who is unmatched where.
- ours, written: the same, and the matched cases with their weights written to a Parquet file.
- matchit: ``MatchIt::matchit(method = "cem")`` on the same cases, read before the clock starts:
  strata and weights. Sizes beyond ``--matchit-most`` are left out.

The weights of both are compared wherever both ran.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import bench_did

COVARIATES = ("gender", "age", "ethnicity", "disabled", "low_income", "plans")
SETTINGS = {"cutpoints": {"age": [4.5, 12.5], "plans": [0.5]}}
GROUPS = 300
SAME = 1e-9
"""Largest relative difference of the sums of squared weights of both."""

MATCHIT = """
prepare <- function(data) {
  kept <<- data
  list(n = nrow(data))
}
match <- function(data) {
  took <- system.time(fit <- MatchIt::matchit(
    treated ~ gender + age + ethnicity + disabled + low_income + plans + group + post,
    data = kept, method = "cem", cutpoints = list(age = c(4.5, 12.5), plans = c(0.5, 0.5))
  ))
  list(seconds = took[["elapsed"]], cpu = sum(took[1:2]), weight = sum(fit$weights),
       squares = sum(fit$weights^2), n = sum(fit$weights > 0))
}
"""


def write_cases(n: int, file: Path) -> None:
    """Write the same n cases every time."""
    import duckdb

    with duckdb.connect() as con:
        con.execute("SET threads = 1; SELECT setseed(0.5)")
        con.execute(
            f"""COPY (
            WITH drawn AS (
              SELECT floor({GROUPS} * random())::INT AS g, random() AS r2, random() AS r3,
                random() AS r4, random() AS r5, random() AS r6, random() AS r7, random() AS r8,
                random() AS r9
              FROM range({n}))
            SELECT 'G' || lpad(g::VARCHAR, 3, '0') AS "group", (r2 < 0.5)::INT AS post,
              (r3 < 0.3)::INT AS treated,
              CASE WHEN r4 < 0.49 THEN 'male' WHEN r4 < 0.98 THEN 'female' ELSE 'unknown' END
                AS gender,
              floor(18 * pow(r5, CASE WHEN r3 < 0.3 THEN 1.1 ELSE 1 END))::DOUBLE AS age,
              ['White', 'Mixed', 'Asian', 'Black', 'Chinese', 'Other', 'Refused', 'Missing'
                ][1 + least(7, floor(8 * r6 * r6))::INT] AS ethnicity,
              CASE WHEN r7 < 0.12 THEN 'yes' ELSE 'no' END AS disabled,
              CASE WHEN r8 < 0.3 THEN 'yes' WHEN r8 < 0.9 THEN 'no' ELSE 'Missing' END
                AS low_income,
              floor(-ln(1 - r9) * 0.6)::DOUBLE AS plans
            FROM drawn) TO '{file}' (FORMAT parquet)"""
        )


def job_ours(file: Path, *, written: bool) -> dict[str, float]:
    """Match the cases of a file."""
    import ibis
    from sos_matchers.cases.exact.settings import CoarsenedExactSettings
    from sos_matchers.cases.exact.tables import match_table

    ibis.duckdb.connect()  # loads what it imports
    clock = bench_did.Clock()
    found = match_table(file, CoarsenedExactSettings(**SETTINGS), covariates=COVARIATES)
    if written:
        with tempfile.TemporaryDirectory() as folder:
            found.table.to_parquet(Path(folder) / "matched.parquet")
    took = clock.read()
    weight = found.weight
    assert weight is not None
    return {
        **took,
        "megabytes": bench_did.peak(),
        "n": int((weight > 0).sum()),
        "weight": float(weight.sum()),
        "squares": float((weight**2).sum()),
    }


def job_matchit(file: Path) -> dict[str, float]:
    """Match the cases of a file with MatchIt; the memory is that of R."""
    import pandas as pd

    from sos_plugins.r import client as r

    data = pd.read_parquet(file)
    columns = {
        name: pd.Categorical(data[name].astype(str))
        if name in ("group", "post") or not pd.api.types.is_numeric_dtype(data[name])
        else data[name].to_numpy()
        for name in data
    }
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "matchit.R"
        script.write_text(MATCHIT, encoding="utf-8")
        r.call(script, "prepare", columns, timeout=3600)
        answer = r.call(script, "match", {"none": [0]}, timeout=36_000)
        r.stop()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    numbers = {key: float(answer[key][0]) for key in ("seconds", "cpu", "n", "weight", "squares")}
    return {**numbers, "megabytes": peak}


JOBS: dict[str, Callable[[Path], dict[str, float]]] = {
    "ours": lambda file: job_ours(file, written=False),
    "ours, written": lambda file: job_ours(file, written=True),
    "matchit": job_matchit,
}


def run(job: str, file: Path) -> dict[str, float]:
    """Run a job in a process of its own."""
    command = [sys.executable, __file__, "--job", job, "--file", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{job}: {done.stderr[-2000:]}")
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    """Write the cases, run the jobs, print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--matchit-most", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", default=list(JOBS), choices=list(JOBS))
    parser.add_argument("--job")
    parser.add_argument("--file", type=Path)
    given = parser.parse_args()
    if given.job:
        print(json.dumps(JOBS[given.job](given.file)))
        return
    print("| cases | job | wall s | CPU s | MB | matched |\n|---|---|---|---|---|---|")
    for n in given.cases:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "cases.parquet"
            write_cases(n, file)
            answers = {}
            for job in given.only:
                if job == "matchit" and n > given.matchit_most:
                    continue
                answers[job] = a = run(job, file)
                print(
                    f"| {n:,} | {job} | {a['seconds']:.2f} | {a['cpu']:.2f} | "
                    f"{a['megabytes']:.0f} | {a['n']:,.0f} |",
                    flush=True,
                )
            one, two = answers.get("ours"), answers.get("matchit")
            if one and two:
                assert one["n"] == two["n"]
                assert abs(one["squares"] / two["squares"] - 1) < SAME


if __name__ == "__main__":
    main()
