"""A small study on a tidy table with a known effect, in a folder of its own."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

EFFECT = -2.0
PILOTS = {"901": 2014, "902": 2014, "903": 2015, "904": 2015, "905": 2016}
OTHERS = tuple(str(910 + i) for i in range(12))
YEARS = range(2008, 2020)

STUDY = """
[study]
name = "small"
title = "A small study"
seed = 1

[[sources]]
plugin = "tidy"
path = "cases.csv"
covariates = ["sex"]

[design]
pilots = "pilots.csv"

[matching]
units = { plugin = "pre-outcomes-units", ratio = 2 }

[[outcomes]]
plugin = "tidy-value"
label = "Score"
phrase = "the score"
expected = "decrease"

[[estimators]]
plugin = "did"
form = "stacked"
engines = ["python"]

[[estimators]]
plugin = "event-study"
form = "stacked"
leads_df = "treated-clusters"
engines = ["python"]

[[estimators]]
plugin = "callaway-santanna"
aggregate = "event"
engines = ["python"]
covariates = "none"

[rating]
plugin = "wwcsc"
"""


def table(*, effect: float = EFFECT, seed: int = 7, cases: int = 30) -> pd.DataFrame:
    """Cases of five pilots and twelve others: level and trend by authority, a constant effect."""
    rng = np.random.default_rng(seed)
    parts = []
    for unit in (*PILOTS, *OTHERS):
        level = rng.normal(20, 2)
        for year in YEARS:
            n = cases
            treated = unit in PILOTS and year >= PILOTS[unit]
            mean = level + 0.2 * (year - 2008) + rng.normal(0, 0.1) + effect * treated
            sex = rng.choice(["female", "male"], n)
            value = mean + 0.5 * (sex == "male") + rng.normal(0, 1.0, n)
            parts.append(pd.DataFrame({"unit": unit, "period": year, "value": value, "sex": sex}))
    return pd.concat(parts, ignore_index=True)


def of_one_estimator(families: str) -> str:
    """The study with its first estimator alone, and some families of its sensitivity analysis."""
    start, end = STUDY.index('[[estimators]]\nplugin = "event-study"'), STUDY.index("[rating]")
    return f"{STUDY[:start]}[sensitivity]\nfamilies = {families}\n\n{STUDY[end:]}"


SHORT = of_one_estimator('["drop-one-pilot"]')
"""Each kind of station in a third of the time."""


@cache
def _table_as_csv() -> str:
    """The table that most studies have: hundreds of tests write it."""
    return str(table().to_csv(index=False))


def write(folder: Path, text: str = STUDY, cases: pd.DataFrame | None = None) -> Path:
    """Write the study, its table and its pilots; return the path of the study."""
    folder.mkdir(parents=True, exist_ok=True)
    written = _table_as_csv() if cases is None else cases.to_csv(index=False)
    (folder / "cases.csv").write_text(written)
    lines = [
        f"{u},Pilot {u},{c},{'true' if i < 2 else 'false'}"
        for i, (u, c) in enumerate(PILOTS.items())
    ]
    (folder / "pilots.csv").write_text(
        "unit,name,cohort,external_support\n" + "\n".join(lines) + "\n"
    )
    path = folder / "study.toml"
    path.write_text(text)
    return path


def facts(result):
    """The result without when it was made, and where its stations are."""
    of_the_run = ("created", "memory", "stations")
    manifest = {k: v for k, v in result.manifest.items() if k not in of_the_run}
    return type(result).to_json(type(result)(**{**vars(result), "manifest": manifest}))


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
