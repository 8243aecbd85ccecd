"""Samples and dense recomputations for the estimators of staggered adoption by regression."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sos_plugins import Estimate, Sample

Floats = npt.NDArray[np.float64]

STORED_ESTIMATE = 1e-8  # fixest takes effects out by iteration; asked for are 1e-6
STORED_ERROR = 2e-8  # relative, the same reason; asked for are 1e-4
EXACT = 1e-9  # relative; the same sums in another order

NAMES = {
    "mpdta": {
        "countyreal": "unit",
        "year": "period",
        "first.treat": "cohort",
        "lemp": "value",
        "lpop": "x",
    },
    "panel_shared": {"y": "value"},
    "cases_cont_shared": {"la": "unit", "y": "value"},
    "cases_bin_shared": {"la": "unit", "y": "value"},
}
PANELS = ("mpdta", "panel_shared")


@cache
def stored_sample(from_r: Path, data: str) -> Sample:
    """Cases of a stored data set, without covariates and weights, clustered by unit."""
    frame = pd.read_csv(from_r / f"{data}.csv").rename(columns=NAMES[data])
    frame["unit"] = frame["unit"].astype(str)
    if data in PANELS:
        frame["id"] = frame["unit"]
    return Sample(labelled(frame.assign(cluster=frame["unit"], weight=1.0)))


def stored(from_r: Path, data: str, method: str) -> pd.DataFrame:
    """Stored rows ``term, estimate, std_error`` under our names of the terms."""
    table = pd.read_csv(from_r / "reference_shared.csv")
    rows = table[(table["data"] == data) & (table["method"] == method)]
    number = rows["term"].str.extract(r"(-?\d+)$")[0]
    term = ("event=" + number).where(number.notna(), "overall")
    return rows.assign(term=term)[["term", "estimate", "std_error"]]


def assert_as_stored(rows: pd.DataFrame, estimate: Estimate) -> None:
    """Compare every stored row."""
    ours = estimate.tidy.set_index("term").loc[rows["term"]]
    np.testing.assert_allclose(ours["estimate"], rows["estimate"], rtol=0, atol=STORED_ESTIMATE)
    np.testing.assert_allclose(ours["std_error"], rows["std_error"], rtol=STORED_ERROR)


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """Add ``treated`` and ``post``."""
    treated = (frame["cohort"] > 0).astype(int)
    return frame.assign(treated=treated, post=treated * (frame["period"] >= frame["cohort"]))


def cases(seed: int = 0, *, units: int = 14, n: int = 4, never: bool = True) -> Sample:
    """Weighted cases of authorities, three cohorts, two authorities a cluster, three covariates."""
    rng = np.random.default_rng(seed)
    last = 0 if never else 6
    cohort = np.array([last, 0 if never else 5, last, 3, 4, 5, last])[np.arange(units) % 7]
    unit = np.repeat(np.arange(units), 6 * n)
    period = np.tile(np.arange(1, 7), units * n)
    frame = pd.DataFrame(
        {
            "unit": [f"u{u:02d}" for u in unit],
            "period": period,
            "cohort": cohort[unit],
            "weight": rng.uniform(0.3, 2.0, len(unit)),
            "cluster": [f"c{u // 2}" for u in unit],
            "age": rng.integers(0, 18, len(unit)) + 0.5,
            "ethnicity": rng.choice(["a", "b", "c"], len(unit), p=[0.5, 0.3, 0.2]),
            "flag": rng.random(len(unit)) < 0.4,
        }
    )
    return Sample(_with_value(frame, unit, rng), ("age", "ethnicity", "flag"))


def panel(seed: int = 0, *, units: int = 21, cohorts: tuple[int, ...] = (0, 3, 5)) -> Sample:
    """A balanced panel of six periods with weights that differ by unit, without covariates."""
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(units), 6)
    frame = pd.DataFrame(
        {
            "unit": [f"u{u:02d}" for u in unit],
            "id": [f"u{u:02d}" for u in unit],
            "period": np.tile(np.arange(1, 7), units),
            "cohort": np.array(cohorts)[unit % len(cohorts)],
            "weight": rng.uniform(0.5, 2.0, units)[unit],
            "cluster": [f"u{u:02d}" for u in unit],
        }
    )
    return Sample(_with_value(frame, unit, rng))


def _with_value(
    frame: pd.DataFrame, unit: npt.NDArray[np.int64], rng: np.random.Generator
) -> pd.DataFrame:
    since = np.where(frame["cohort"] > 0, frame["period"] - frame["cohort"], -1)
    value = 0.3 * frame["period"] + 0.1 * unit + np.where(since >= 0, 1 + 0.2 * since, 0)
    if "age" in frame:
        value = value + 0.05 * frame["age"] + (frame["ethnicity"] == "b")
    return labelled(frame.assign(value=value + rng.normal(size=len(frame))))


def dense(sample: Sample, *, unit: str = "unit") -> Floats:
    """Every dummy of units and periods and every covariate, case by case, (n, k)."""
    frame = sample.frame
    parts = [pd.get_dummies(frame[unit]), pd.get_dummies(frame["period"]).iloc[:, 1:]]
    parts += [
        frame[[c]]
        if pd.api.types.is_float_dtype(frame[c])
        else pd.get_dummies(frame[c].astype(str)).iloc[:, 1:]
        for c in sample.covariates
    ]
    return np.column_stack([np.asarray(part, dtype=float) for part in parts])


def effect_dummies(frame: pd.DataFrame, pairs: list[tuple[int, int]]) -> Floats:
    """One column for each cohort and period, (n, number of pairs)."""
    here = [(frame["cohort"] == g) & (frame["period"] == t) for g, t in pairs]
    return np.column_stack([np.asarray(column, dtype=float) for column in here])


def dense_regression(sample: Sample, columns: Floats) -> tuple[Floats, Floats]:
    """Coefficients of all columns by the pseudo-inverse, and their CR0 covariance by cluster."""
    weight, value = (sample.frame[c].to_numpy(float) for c in ("weight", "value"))
    bread = np.linalg.pinv(columns.T @ (columns * weight[:, None]))
    beta = bread @ (columns.T @ (weight * value))
    scores = columns * (weight * (value - columns @ beta))[:, None]
    by_cluster = np.asarray(pd.DataFrame(scores).groupby(sample.frame["cluster"]).sum())
    return beta, bread @ (by_cluster.T @ by_cluster) @ bread


def split_in_halves(sample: Sample) -> Sample:
    """Every third case as two cases of half the weight."""
    frame = sample.frame
    chosen = np.arange(len(frame)) % 3 == 0
    halved = frame.assign(weight=np.where(chosen, frame["weight"] / 2, frame["weight"]))
    both = pd.concat([halved, halved[chosen]], ignore_index=True)
    return Sample(both, sample.covariates)


def assert_same(first: Estimate, second: Estimate, relative: float = EXACT) -> None:
    """Compare two results term by term."""
    assert list(first.tidy["term"]) == list(second.tidy["term"])
    for column in ("estimate", "std_error"):
        np.testing.assert_allclose(
            first.tidy[column], second.tidy[column], rtol=relative, atol=relative
        )
