"""Staggered adoption on a repeated cross-section: our estimators against pyfixest.

    python benchmarks/bench_staggered.py --cases 1000000 --repeats 3

Each job runs in a process of its own on one Parquet file (150 authorities, 10 years, a numeric and
a text covariate) and reports seconds, peak memory and the overall effect. What is imported is
imported before the clock starts.

- cells NAME: compression from the file, then the estimator (event times, standard errors).
- cells NAME draws: the same with 999 draws of the multiplier bootstrap and simultaneous bands.
- frame cells NAME: the estimator given a frame of all cases, in memory already.
- pyfixest did2s: its two-stage estimator on the frame of all cases.
- pyfixest saturated: its regression with a dummy for each cohort and event time (Sun and Abraham).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import bench_did

NAMES = ("sun-abraham", "imputation", "two-stage", "extended-twfe", "stacked")


def _engine(name: str) -> Any:
    import ibis.backends.duckdb

    from sos_plugins.host.registry import load_plugins

    assert ibis.backends.duckdb  # imported before the clock starts
    registry = load_plugins()
    return registry.engine(name, "python").fit, registry.estimator(name).Settings


def _overall(estimate: Any, seconds: float) -> dict[str, float]:
    row = estimate.term("overall")
    return {
        "seconds": seconds,
        "estimate": float(row["estimate"]),
        "std_error": float(row["std_error"]),
    }


def job_cells(name: str, options: dict[str, Any], path: Path) -> dict[str, float]:
    from sos_plugins.cells.build import cells

    fit, settings = _engine(name)
    start = time.perf_counter()
    made = cells(path, covariates=bench_did.COVARIATES, keys=bench_did.KEYS).sample()
    compressed = time.perf_counter()
    estimate = fit(made, settings(**options))
    end = time.perf_counter()
    return {**_overall(estimate, end - start), "after compression": end - compressed}


def job_frame(name: str, path: Path) -> dict[str, float]:
    import pandas as pd

    from sos_plugins import Sample

    fit, settings = _engine(name)
    frame = pd.read_parquet(path)
    sample = Sample(frame.assign(weight=1.0, cluster=frame["unit"]), bench_did.COVARIATES)
    start = time.perf_counter()
    estimate = fit(sample, settings())
    return _overall(estimate, time.perf_counter() - start)


def _numbered(path: Path) -> Any:
    import pandas as pd

    data = pd.read_parquet(path)
    return data.assign(unit=pd.factorize(data["unit"])[0])


def job_did2s(path: Path) -> dict[str, float]:
    import pyfixest as pf

    data, did2s = _numbered(path), pf.did2s
    start = time.perf_counter()
    data["affected"] = (data["cohort"] > 0) & (data["period"] >= data["cohort"])
    fit = did2s(
        data,
        yname="value",
        first_stage="~ age + sex | unit + period",
        second_stage="~ i(affected, ref=False)",
        treatment="affected",
        cluster="unit",
    )
    end = time.perf_counter()
    row = fit.tidy().iloc[0]
    return {
        "seconds": end - start,
        "estimate": float(row["Estimate"]),
        "std_error": float(row["Std. Error"]),
    }


def job_saturated(path: Path) -> dict[str, float]:
    import pyfixest as pf

    data, event_study = _numbered(path), pf.event_study
    start = time.perf_counter()
    fit = event_study(
        data,
        yname="value",
        idname="unit",
        tname="period",
        gname="cohort",
        xfml="age + sex",
        cluster="unit",
        estimator="saturated",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = fit.aggregate()
    end = time.perf_counter()
    return {"seconds": end - start, "event=0": float(table.loc[0.0, "Estimate"])}


JOBS: dict[str, Callable[[Path], dict[str, float]]] = {
    **{f"cells {name}": partial(job_cells, name, {}) for name in NAMES},
    **{f"frame cells {name}": partial(job_frame, name) for name in NAMES},
    "pyfixest did2s": job_did2s,
    "pyfixest saturated": job_saturated,
}


if __name__ == "__main__":
    bench_did.main(JOBS, __file__)
