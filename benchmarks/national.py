"""Made-up records of any size as Parquet, quick to write: for measuring speed, not for results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sos_plugins.contract.record_tables import TABLES

UNITS = np.array([f"{n:03d}" for n in (*range(201, 214), *range(301, 440))])
FIRST, LAST = np.datetime64("2010-04-01"), np.datetime64("2020-03-31")
REFERRALS_A_CHILD = 2.3
SHARES = {"assessments": 0.95, "section47s": 0.33, "protection_plans": 0.1, "care": 0.05}
"""Rows of other tables for each referral: about those of England's yearly statistics."""
NEVER = np.datetime64("NaT")
EPISODE, MOST_EPISODES = 120, 4
"""Days of an episode of care, and most episodes of a period."""
LONGEST_CARE = EPISODE * MOST_EPISODES


def write(folder: Path, n_referrals: int, *, seed: int = 1) -> Path:
    """Write record tables of ten years; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    n_children = max(1, int(n_referrals / REFERRALS_A_CHILD))
    child = np.arange(n_children)
    known = {"unit": UNITS[rng.integers(0, len(UNITS), n_children)], "child": _names(child)}
    born = FIRST + rng.integers(-17 * 365, 8 * 365, n_children)
    _save(folder, "children", {
        **known,
        "birth_date": _some(rng, born, 0.97),
        "sex": rng.choice(["male", "female", None], n_children, p=[0.51, 0.47, 0.02]),
        "ethnicity": rng.choice(["WBRI", "MWBC", "AIND", "BAFR", "OOTH", None], n_children),
        "disabled": rng.random(n_children) < 0.1,
        "uasc": rng.random(n_children) < 0.01,
    })  # fmt: skip
    who = rng.integers(0, n_children, n_referrals)
    when = np.maximum(FIRST, born[who]) + rng.integers(0, 3650, n_referrals)
    when = np.minimum(when, LAST)
    first = np.unique(who * np.int64(100_000) + when.astype(int), return_index=True)[1]
    who, when = who[first], when[first]
    known = {name: column[who] for name, column in known.items()}
    _referrals(folder, rng, known, when)
    _others(folder, rng, known, when)
    return folder


def _referrals(folder: Path, rng: np.random.Generator, known: dict, when: np.ndarray) -> None:
    n = len(when)
    nfa = rng.random(n) < 0.08
    open_ = ~nfa & (rng.random(n) < 0.1)
    reasons = rng.choice(["RC1", "RC7", "RC8", "RC9"], n, p=[0.1, 0.3, 0.45, 0.15]).astype(object)
    reasons[nfa | open_] = None
    conference = np.where(rng.random(n) < 0.1, when + rng.integers(5, 120, n), NEVER)
    _save(folder, "referrals", {
        **known,
        "referral_date": when,
        "referral_source": rng.choice(["1A", "2B", "5A", "6"], n),
        "primary_need": rng.choice(["N1", "N4", "N5"], n),
        "nfa": nfa,
        "closure_date": np.where(open_, NEVER, when + np.where(nfa, 0, rng.integers(1, 400, n))),
        "closure_reason": reasons,
        "icpc_date": conference,
        "return_year": when.astype("datetime64[Y]").astype(int) + 1970,
    })  # fmt: skip


def _others(folder: Path, rng: np.random.Generator, known: dict, when: np.ndarray) -> None:
    parts = {name: rng.random(len(when)) < share for name, share in SHARES.items()}
    taken = {n: ({k: v[rows] for k, v in known.items()}, when[rows]) for n, rows in parts.items()}
    who, day = taken["assessments"]
    start = day + rng.integers(0, 4, len(day))
    lasted = rng.gamma(4, 10, len(day)).astype(int)
    _save(folder, "assessments", {
        **who, "referral_date": day, "start_date": start,
        "authorised_date": _some(rng, start + lasted, 0.96),
    })  # fmt: skip
    who, day = taken["section47s"]
    conference = _some(rng, day + rng.integers(5, 100, len(day)), 0.35)
    _save(folder, "section47s", {
        **who, "referral_date": day, "start_date": day + 3, "icpc_date": conference,
    })  # fmt: skip
    who, day = taken["protection_plans"]
    start = day + rng.integers(10, 200, len(day))
    _save(folder, "protection_plans", {
        **who, "referral_date": day, "start_date": start,
        "end_date": start + rng.integers(30, 500, len(day)),
    })  # fmt: skip
    _episodes(folder, rng, *taken["care"])


def _episodes(folder: Path, rng: np.random.Generator, who: dict, day: np.ndarray) -> None:
    """Write one to four episodes of each period of care; no two periods of a child overlap."""
    key = np.char.add(who["unit"], who["child"])
    order = np.lexsort((day, key))
    gap = np.r_[LONGEST_CARE, np.diff(day[order]).astype(int)]
    same = np.r_[False, key[order][1:] == key[order][:-1]]
    order = order[~same | (gap >= LONGEST_CARE)]
    key, day = key[order], day[order]
    new = np.r_[True, key[1:] != key[:-1]]
    starts = np.flatnonzero(new)
    number = np.arange(len(key)) - np.repeat(starts, np.diff(np.r_[starts, len(key)])) + 1
    many = rng.integers(1, MOST_EPISODES + 1, len(key))
    row = np.repeat(np.arange(len(key)), many)
    place = np.arange(len(row)) - np.repeat(np.r_[0, many.cumsum()[:-1]], many)
    start = day[row] + place * EPISODE
    last = place == many[row] - 1
    n = len(row)
    _save(folder, "episodes", {
        **{name: column[order][row] for name, column in who.items()},
        "start_date": start,
        "reason_start": np.where(place == 0, "S", "P"),
        "legal_status": rng.choice(["C1", "C2", "V2"], n),
        "placement": rng.choice(["U1", "U4", "Q1", "K2", "R1", "P1"], n),
        "end_date": np.where(last & (rng.random(n) < 0.3), NEVER, start + EPISODE),
        "reason_end": np.where(last, rng.choice(["E4A", "E45", "E11"], n), "X1"),
        "period_of_care": number[row],
    })  # fmt: skip


def _names(child: np.ndarray) -> np.ndarray:
    return np.char.add("C", np.char.zfill(child.astype(str), 9))


def _some(rng: np.random.Generator, values: np.ndarray, share: float) -> np.ndarray:
    return np.where(rng.random(len(values)) < share, values, NEVER)


def _save(folder: Path, name: str, columns: dict) -> None:
    n = len(columns["unit"])
    schema = TABLES[name]
    arrays = []
    for field in schema:
        given = columns.get(field.name)
        if given is None:
            arrays.append(pa.nulls(n, field.type))
        elif pa.types.is_date32(field.type):
            arrays.append(pa.array(given.astype("datetime64[D]"), pa.date32()))
        else:
            arrays.append(pa.array(given, field.type))
    pq.write_table(pa.table(arrays, schema=schema), folder / f"{name}.parquet")
