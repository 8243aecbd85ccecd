"""Nearest neighbours with a caliper among a million cases, a tenth pilots', against MatchIt.

    python benchmarks/bench_nearest.py --cases 1000000 --repeats 3
    python benchmarks/bench_nearest.py --cases 20000 --only matchit "propensity-cases"

Cases have one continuous score. Matching is 1:1 without replacement, the largest score first,
within 0.2 standard deviations. Each job runs in a process of its own; data are there before the
clock starts.

- propensity-cases: the whole matcher on a ``Sample``: the score by logistic regression of two
  covariates, matching, weights, balance and common support.
- pairs alone: the pairs, from scores that are there.
- matchit: ``matchit(method = "nearest", distance = score, caliper = 0.2)`` in R, its formula
  without covariates and its scores given, so that it only matches. Versions of MatchIt before 4.5.4
  err on a vector of scores (see docs/matching.md); how long they take is shown all the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bench_did

SHARE = 0.1
SHIFT = 0.5
CALIPER = 0.2

MATCHIT = """
nearest <- function(data, caliper) {
  suppressMessages(library(MatchIt))
  took <- system.time(fit <- suppressWarnings(matchit(
    treated ~ 1, data = data, method = "nearest", distance = data$score, caliper = caliper
  )))
  list(seconds = took[["elapsed"]], cpu = took[["user.self"]] + took[["sys.self"]],
       pairs = sum(!is.na(fit$match.matrix)))
}
"""


def _cases(path: Path) -> tuple[Any, Any]:
    import numpy as np
    import pyarrow.parquet as pq

    n = pq.ParquetFile(path).metadata.num_rows
    rng = np.random.default_rng(3)
    treated = (rng.random(n) < SHARE).astype(int)
    return treated, rng.normal(SHIFT * treated[:, None], 1.0, (n, 2))


def job_matcher(path: Path) -> dict[str, float]:
    import pandas as pd
    from sos_matchers.cases.pairs import PropensityCasesSettings, match_cases

    from sos_plugins import Sample

    treated, x = _cases(path)
    frame = pd.DataFrame(x, columns=["x1", "x2"]).assign(
        unit="a",
        period=2010,
        cohort=2011 * treated,
        value=0.0,
        weight=1.0,
        cluster="a",
        treated=treated,
        post=0,
    )
    sample = Sample(frame, ("x1", "x2"))
    import sklearn.linear_model  # noqa: F401 - a second to import, before the clock starts

    clock = bench_did.Clock()
    match = match_cases(sample, PropensityCasesSettings(caliper=CALIPER))
    took = clock.read()
    return {**took, "pairs": float((match.sample.frame["treated"] == 1).sum())}


def job_pairs(path: Path) -> dict[str, float]:
    from sos_matchers.nearest import in_steps, match_on_scores

    treated, x = _cases(path)
    score = x.sum(axis=1)
    clock = bench_did.Clock()
    steps, own = in_steps(score), treated == 1
    pairs = match_on_scores(
        steps[own],
        steps[~own],
        ratio=1,
        caliper=float(in_steps(CALIPER * score.std(ddof=1))),
        replacement=False,
        order="largest",
    )
    return {**clock.read(), "pairs": float(len(pairs.treated))}


def job_matchit(path: Path) -> dict[str, float]:
    from sos_plugins.r import client as r

    treated, x = _cases(path)
    script = path.with_name("nearest.R")
    script.write_text(MATCHIT, encoding="utf-8")
    answer = r.call(
        script,
        "nearest",
        {"treated": treated, "score": x.sum(axis=1)},
        {"caliper": CALIPER},
        timeout=3600,
    )
    return {name: float(answer[name][0]) for name in ("seconds", "cpu", "pairs")}


JOBS = {"propensity-cases": job_matcher, "pairs alone": job_pairs, "matchit": job_matchit}


if __name__ == "__main__":
    bench_did.main(JOBS, __file__)
