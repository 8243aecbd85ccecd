"""Samples for the tests of difference-in-differences: stored data sets, and made-up cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sos_plugins import Sample
from sos_plugins.cells.build import Cells, cells

KEYS = ("cohort", "treated", "post")
NAMES = {
    "mpdta": {"countyreal": "unit", "year": "period", "first.treat": "cohort", "lemp": "value"},
    "panel_shared": {"y": "value", "cluster": "_"},
    "cases_cont_shared": {"la": "unit", "y": "value"},
    "cases_bin_shared": {"la": "unit", "y": "value"},
}


def stored(from_r: Path, data: str, *, weights: bool = False, x: bool = False) -> Sample:
    """Make a sample of a stored data set; ``x`` enters as dummies, as in the stored results."""
    frame = pd.read_csv(from_r / f"{data}.csv").rename(columns=NAMES[data])
    frame["unit"] = frame["unit"].astype(str)
    frame["cluster"] = frame["unit"]
    frame["weight"] = frame["w"] if weights else 1.0
    frame["treated"] = (frame["cohort"] > 0).astype(int)
    frame["post"] = frame["treated"] * (frame["period"] >= frame["cohort"])
    if x:
        frame["x"] = frame["x"].astype(str)
    return Sample(frame, ("x",) if x else (), binary=data == "cases_bin_shared")


def results(from_r: Path, data: str, method: str) -> pd.DataFrame:
    """Return stored results of a method, with the parts of ``options`` as columns."""
    table = pd.read_csv(from_r / "reference_shared.csv")
    table = table[(table["data"] == data) & (table["method"] == method)].reset_index(drop=True)
    options = [dict(o.split("=", 1) for o in text.split(";")) for text in table["options"]]
    return table.drop(columns="data").join(pd.DataFrame(options))


def matched(n: int = 1500, *, seed: int = 1, effect: float = 1.0, binary: bool = False) -> Sample:
    """Make cases of three pilots and their comparators, some shared between matched groups.

    Weighted, with a numeric, a text and a boolean covariate; ``post`` follows the group's window.
    """
    rng = np.random.default_rng(seed)
    groups = {"P1": ("C1", "C2"), "P2": ("C2", "C3"), "P3": ("C4", "C5")}
    start = {"P1": 2013, "P2": 2014, "P3": 2014}
    pairs = [(pilot, unit) for pilot, cs in groups.items() for unit in (pilot, *cs)]
    group, unit = np.array(pairs)[rng.integers(0, len(pairs), n)].T
    period = rng.integers(2010, 2018, n)
    first = np.array([start[g] for g in group])
    frame = pd.DataFrame({"unit": unit, "period": period, "group": group, "cluster": unit})
    frame["treated"] = (unit == group).astype(int)
    frame["post"] = (period >= first).astype(int)
    frame["cohort"] = np.where(frame["treated"] == 1, first, 0)
    frame["weight"] = rng.uniform(0.2, 2.0, n)
    frame["age"] = rng.integers(0, 18, n) + 0.5
    frame["ethnicity"] = rng.choice(["Asian", "Black", "White"], n)
    frame["disabled"] = rng.random(n) < 0.3
    level = {u: i / 4 for i, u in enumerate(sorted(set(unit)))}
    mean = 0.1 * (period - 2010) + np.array([level[u] for u in unit]) + 0.05 * frame["age"]
    mean += effect * frame["treated"] * frame["post"] + 0.4 * frame["disabled"]
    draw = rng.normal(size=n)
    frame["value"] = (mean + draw > 1.8).astype(float) if binary else mean + draw
    return Sample(frame, ("age", "ethnicity", "disabled"), binary=binary)


def two_by_two(cells: dict[tuple[int, int], list[float]], *, copies: int = 1) -> Sample:
    """Make cases of one pilot and one comparator, two periods: values by (treated, post)."""
    rows = [
        {"treated": t, "post": p, "value": value, "unit": f"{'PC'[1 - t]}{copy}"}
        for (t, p), values in cells.items()
        for copy in range(copies)
        for value in values
    ]
    frame = pd.DataFrame(rows)
    frame["period"] = 2015 + frame["post"]
    frame["cohort"] = np.where(frame["treated"] == 1, 2016, 0)
    frame["cluster"] = frame["unit"]
    frame["weight"] = 1.0
    return Sample(frame)


def with_columns(sample: Sample, **columns: Any) -> Sample:
    """Return the sample with columns replaced or added."""
    return Sample(sample.frame.assign(**columns), sample.covariates, sample.binary)


def compress(sample: Sample, **further: Any) -> Cells:
    """Compress a sample, whatever it gains."""
    frame = sample.frame
    group = ("group",) if "group" in frame else ()
    return cells(
        frame,
        weight="weight",
        covariates=sample.covariates,
        keys=(*KEYS, *group),
        cluster="cluster",
        **further,
    )
