"""A million cases to R: what the worker takes, against rpy2's own conversion of a pandas frame.

    python benchmarks/bench_r.py --cases 1000000 --repeats 3

Each job runs in a process of its own on one Parquet file (three texts, five numbers); the file is
read and R is started before the clock starts. In R a function gets the data frame and adds up a
column. The median of the repeats is shown; the memory is that of the Python process.

- numbers: the five numeric columns to the worker.
- all, text as codes: the eight columns, texts as pandas categories already.
- all, from text: the same from plain text, which is numbered on the way.
- rpy2: the eight columns by ``rpy2.robjects.pandas2ri``, in this process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import bench_did

TEXTS = ("unit", "sex", "place")
NUMBERS = ("period", "treated", "post", "age", "value")
ADD_UP = "function(data) list(rows = nrow(data), total = sum(data$value))"


def _frame(path: Path) -> Any:
    import pandas as pd

    data = pd.read_parquet(path)
    places = data["unit"].str[-2:]
    return data.assign(place="place " + places)[[*TEXTS, *NUMBERS]]


def job_worker(kind: str, path: Path) -> dict[str, float]:
    from sos_estimators.regression.engine_r import factor

    from sos_plugins.r import client as r

    data = _frame(path)
    if kind == "numbers":
        data = data[list(NUMBERS)]
    elif kind == "codes":
        data = data.astype(dict.fromkeys(TEXTS, "category"))
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "add_up.R"
        script.write_text(f"add_up <- {ADD_UP}\n", encoding="utf-8")
        r.call(script, "add_up", {"value": data["value"].head()})
        clock = bench_did.Clock()
        columns = {
            name: factor(data[name]) if kind == "text" and name in TEXTS else data[name]
            for name in data
        }
        answer = r.call(script, "add_up", columns)
        took = clock.read()
    assert int(answer["rows"][0]) == len(data)
    return {**took, "total": float(answer["total"][0])}


def job_rpy2(path: Path) -> dict[str, float]:
    import rpy2.robjects as ro
    from rpy2.robjects import pandas2ri

    data = _frame(path)
    add_up = ro.r(ADD_UP)
    convert = ro.default_converter + pandas2ri.converter
    with convert.context():
        ro.conversion.get_conversion().py2rpy(data.head())
        clock = bench_did.Clock()
        sent = ro.conversion.get_conversion().py2rpy(data)
    total = float(add_up(sent).rx2("total")[0])
    return {**clock.read(), "total": total}


JOBS: dict[str, Callable[[Path], dict[str, float]]] = {
    "numbers": partial(job_worker, "numbers"),
    "all, text as codes": partial(job_worker, "codes"),
    "all, from text": partial(job_worker, "text"),
    "rpy2": job_rpy2,
}


if __name__ == "__main__":
    bench_did.main(JOBS, __file__)
