"""Small worlds for tests of matchers: authorities with features, and labelled cases."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sos_plugins import Pilot, Sample, UnitMatch, UnitTask


def task(features: dict[str, list[float]], codes: list[str], pilots: list[str], **more) -> UnitTask:
    frame = pd.DataFrame(features, index=pd.Index(codes, name="unit"))
    return UnitTask(tuple(Pilot(c, None, None, 2014, f"Name {c}") for c in pilots), frame, **more)


def line(positions: dict[str, float], pilots: str, **more) -> UnitTask:
    """Authorities with single-letter codes on a line: one feature, ``x_place``."""
    return task({"x_place": list(positions.values())}, list(positions), list(pilots), **more)


def chosen(match: UnitMatch) -> dict[str, str]:
    return {g.pilot: "".join(g.comparators) for g in match.groups}


LINE = {"P": 1.0, "Q": 5.0, "a": 1.3, "b": 0.6, "c": 3.2, "d": 4.5, "e": 5.9, "f": -4.0}
"""Distances: P to a .3, b .4, c 2.2; Q to d .5, e .9, c 1.8. Scores rise from left to right."""

UNIT = 1 / np.std(list(LINE.values()), ddof=1)
"""A distance of 1 on the line in SDs: the logit is linear in the one feature."""


def random_task(seed: int, *, ties: bool) -> UnitTask:
    rng = np.random.default_rng(seed)
    n, n_pilots = int(rng.integers(6, 30)), int(rng.integers(1, 6))
    values = rng.integers(0, 4, (n, 3)).astype(float) if ties else rng.normal(size=(n, 3))
    codes = [f"{c}" for c in rng.choice(np.arange(200, 900), n, replace=False)]
    names = ["outcome_pre_2011", "outcome_pre_2012", "outcome_pre_2013"]
    frame = pd.DataFrame(values, index=pd.Index(codes, name="unit"), columns=names)
    frame["outcome_pre_mean"] = values.mean(axis=1)
    frame["x_share"] = values[:, 0]
    pilots = sorted(codes)[:n_pilots] if seed % 2 else codes[:n_pilots]
    return UnitTask(tuple(Pilot(c, None, None, 2014) for c in pilots), frame)


def cases_of(rows: str, **columns) -> Sample:
    """Make cases from lines ``group post treated x [weight]``; further columns by name."""
    table = [line.split() for line in rows.strip().splitlines()]
    frame = pd.DataFrame(
        {
            "unit": [g if t == "1" else f"c{g}" for g, _, t, *_ in table],
            "period": [2010 + int(p) for _, p, *_ in table],
            "cohort": [2011 if t == "1" else 0 for _, _, t, *_ in table],
            "value": np.arange(len(table), dtype=float),
            "weight": [float(w[0]) if w else 1.0 for *_, w in [(r[:4], r[4:]) for r in table]],
            "group": [g for g, *_ in table],
            "treated": [int(t) for _, _, t, *_ in table],
            "post": [int(p) for _, p, *_ in table],
            "x": [float(x) for _, _, _, x, *_ in table],
            **columns,
        }
    )
    frame["cluster"] = frame["unit"]
    return Sample(frame, ("x", *columns))


def random_cases(seed: int, n: int = 400, *, ties: bool = False) -> Sample:
    rng = np.random.default_rng(seed)
    group, treated = rng.choice(["330", "340"], n), (rng.random(n) < 0.4).astype(int)
    frame = pd.DataFrame(
        {
            "unit": np.where(treated == 1, group, rng.choice(["801", "802"], n)),
            "period": 2010,
            "cohort": 2011 * treated,
            "value": rng.normal(size=n),
            "weight": rng.choice([1.0, 0.5], n),
            "group": group,
            "treated": treated,
            "post": rng.integers(0, 2, n),
            "case": np.arange(n),
            "age": rng.integers(0, 4, n) + treated if ties else rng.normal(size=n) + treated,
            "sex": rng.choice(["male", "female"], n),
            "ethnicity": rng.choice(["White", "Black", "Missing"], n, p=[0.6, 0.3, 0.1]),
            "disabled": rng.random(n) < 0.1 + 0.1 * treated,
        }
    )
    frame["cluster"] = frame["unit"]
    return Sample(frame, ("age", "sex", "ethnicity", "disabled"))
