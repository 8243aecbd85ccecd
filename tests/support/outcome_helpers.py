"""Hand-made and random records for the tests of outcomes, and how a test derives cases."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sos_plugins import Cases, Outcome, Records, Session
from sos_plugins.contract.record_tables import TABLES
from sos_plugins.host.settings import validate

START, END = dt.date(2010, 4, 1), dt.date(2019, 3, 31)
UNIT = "330"


def day(text: str) -> dt.date:
    """Read an ISO date."""
    return dt.date.fromisoformat(text)


def after(date: dt.date, days: int) -> dt.date:
    """Return the date some days later."""
    return date + dt.timedelta(days=days)


def records(
    session: Session,
    *,
    start: dt.date | None = START,
    end: dt.date | None = END,
    **tables: Sequence[Mapping[str, Any]],
) -> Records:
    """Put rows on the session's backend as record tables; what a row leaves out is null.

    ``unit`` is 330 unless a row says otherwise. Every child that a row names is in the table
    ``children`` (a child born in 2010 of whom nothing else is known) unless the test gives one.
    """
    if "children" not in tables:
        tables["children"] = unknown_children(tables)
    made = {}
    for name, rows in tables.items():
        columns = TABLES[name].names
        filled = [{c: row.get(c, UNIT if c == "unit" else None) for c in columns} for row in rows]
        made[name] = session.table(pa.Table.from_pylist(filled, schema=TABLES[name]), name)
    return Records(tables=made, start=start, end=end)


def unknown_children(
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[dict[str, Any]]:
    """Return a row, with a birth in 2010, for every child that only other tables name."""
    named = {
        (row.get("unit", UNIT), row["child"]): name != "children"
        for name in sorted(tables, key=lambda name: name == "children")
        for row in tables[name]
        if row.get("child") is not None
    }
    return [
        {"unit": unit, "child": child, "birth_date": dt.date(2010, 1, 1)}
        for (unit, child), unknown in sorted(named.items())
        if unknown
    ]


def derive(outcome: Outcome, given: Records, session: Session, **settings: Any) -> Cases:
    """Derive cases with settings as a study file would give them."""
    return outcome.derive(given, validate(outcome.Settings, settings, where="test"), session)


def by_child(cases: Cases, column: str = "value") -> dict[str, Any]:
    """Return one column by child, for records in which every child is one case at most."""
    frame = cases.table.to_pandas()
    assert frame["child"].is_unique
    if pd.api.types.is_datetime64_any_dtype(frame[column]):
        frame[column] = frame[column].dt.date.where(frame[column].notna(), None)
    return dict(zip(frame["child"], frame[column], strict=True))


def dropped(cases: Cases) -> dict[str, int]:
    """Return the number of records dropped by step, where any were."""
    frame = cases.attrition[cases.attrition["n_dropped"] > 0]
    return dict(zip(frame["step"], frame["n_dropped"], strict=True))


def check_contract(cases: Cases) -> None:
    """Check what holds for the cases of every outcome."""
    frame, attrition = cases.frame, cases.attrition
    assert list(attrition.columns) == ["step", "reason", "n_before", "n_dropped", "n_after"]
    assert (attrition["n_before"] - attrition["n_dropped"] == attrition["n_after"]).all()
    assert attrition["n_before"].tolist()[1:] == attrition["n_after"].tolist()[:-1]
    assert attrition["n_after"].iloc[-1] == len(frame)
    assert attrition["step"].is_unique
    assert not frame[["unit", "period", "value", *cases.covariates]].isna().to_numpy().any()
    counted = cases.completeness
    assert list(counted.columns) == ["unit", "period", "n_candidates", "n_usable"]
    assert (counted["n_usable"] <= counted["n_candidates"]).all()
    assert not counted.duplicated(["unit", "period"]).any()
    if cases.info.binary:
        assert set(frame["value"]) <= {0.0, 1.0}


def random_tables(seed: int, n_children: int = 150) -> dict[str, list[dict[str, Any]]]:
    """Make linked random records of a few hundred referrals, dense at the edges of windows.

    Dates cluster at the boundary days of the outcomes' windows, identifiers recur across
    authorities, referrals are repeated, and every column has missing values.
    """
    rng = np.random.default_rng(seed)
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for number in range(n_children):
        for unit in rng.choice(["330", "331"], size=rng.integers(1, 3), replace=False):
            _add_child(rng, tables, str(unit), f"c{number}")
    del tables["published"], tables["cases"]
    return tables


def _maybe(rng: np.random.Generator, value: Any, share: float) -> Any:
    return value if rng.random() < share else None


def _pick(rng: np.random.Generator, values: Sequence[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def _add_child(rng: np.random.Generator, tables: dict[str, Any], unit: str, child: str) -> None:
    key = {"unit": unit, "child": child}
    born = after(dt.date(1996, 1, 1), int(rng.integers(0, 365 * 24)))
    tables["children"].append(
        {
            **key,
            "birth_date": _maybe(rng, born, 0.8),
            "expected_birth_date": _maybe(rng, born, 0.3),
            "sex": _pick(rng, ["male", "female", "indeterminate", None]),
            "ethnicity": _pick(
                rng, ["WBRI", "MWBC", "AIND", "BOTH", "CHNE", "OOTH", "REFU", "NOBT", "XXXX", None]
            ),
            "disabled": _pick(rng, [True, False, None]),
            "uasc": _pick(rng, [True, False, None]),
        }
    )
    date = after(dt.date(2009, 10, 1), int(rng.integers(0, 365 * 9)))
    for _ in range(int(rng.integers(1, 5))):
        _add_referral(rng, tables, key, date)
        date = after(date, int(_pick(rng, [1, 90, 182, 183, 184, 200, 213, 214, 400, 900])))
    for number in range(1, int(rng.integers(0, 3)) + 1):
        _add_period_of_care(rng, tables, key, number, date)
        date = after(date, int(rng.integers(300, 900)))


def _add_referral(
    rng: np.random.Generator, tables: dict[str, Any], key: dict[str, str], date: dt.date
) -> None:
    closed = after(date, int(_pick(rng, [-3, 0, 0, 1, 30, 45, 200])))
    row = {
        **key,
        "referral_date": date,
        "nfa": _pick(rng, [True, False, False, False, None]),
        "closure_date": _maybe(rng, closed, 0.8),
        "closure_reason": _pick(rng, ["RC1", "RC7", "RC8", "RC8", "RC8", "RC9", None]),
        "icpc_date": _maybe(rng, after(date, int(_pick(rng, [-1, 0, 30, 90, 91]))), 0.3),
        "return_year": date.year,
    }
    tables["referrals"].append(row)
    if rng.random() < 0.1:
        tables["referrals"].append({**row, "return_year": date.year + 1, "closure_reason": "RC8"})
    begun = after(date, int(rng.integers(0, 10)))
    tables["assessments"].append(
        {
            **key,
            "referral_date": date,
            "start_date": begun,
            "authorised_date": _maybe(rng, after(begun, int(rng.gamma(4, 12)) - 2), 0.9),
        }
    )
    if rng.random() < 0.3:
        conference = after(date, int(_pick(rng, [-1, 0, 15, 90, 91])))
        tables["section47s"].append({**key, "referral_date": date, "icpc_date": conference})
    if rng.random() < 0.4:
        begins = after(date, int(_pick(rng, [-1, 0, 5, 100, 180, 181, 363])))
        n_previous = _pick(rng, [None, 0, 0, 0, 1, 2])
        plan = {"referral_date": date, "start_date": begins, "n_previous": n_previous}
        tables["protection_plans"].append({**key, **plan})


def _add_period_of_care(
    rng: np.random.Generator, tables: dict[str, Any], key: dict[str, str], number: int, day: dt.date
) -> None:
    n_episodes = int(rng.integers(1, 5))
    for episode in range(n_episodes):
        ended = after(day, int(_pick(rng, [5, 100, 183, 182, 365, 366])))
        last = episode == n_episodes - 1
        exits = ["E45", "E47", "E4A", "E13", "E43", "E4", "E41", "E11", None]
        tables["episodes"].append(
            {
                **key,
                "start_date": day,
                "reason_start": _pick(rng, ["S", "S", "S", "L", None]) if episode == 0 else "P",
                "legal_status": _pick(rng, ["C1", "C2", "V2", None]),
                "placement": _pick(rng, ["U1", "U3", "Q1", "F4", "P1", "U4", "R1", "K2", None]),
                "end_date": ended if not last else _maybe(rng, ended, 0.7),
                "reason_end": _pick(rng, exits) if last else "X1",
                "period_of_care": number,
            }
        )
        day = ended
