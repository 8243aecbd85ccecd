"""Who is before and after an embedding window, and in the periods: records on the days themselves.

Referrals are read from record tables, made cases by the outcome ``icpc`` (followed up for 90 days)
and counted by the study in its matched groups.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sos_plugins.contract.record_tables import TABLES
from sos_plugins.errors import DesignError
from sos_plugins.study.file import DesignTable
from sos_plugins.study.pilots import read_pilots
from sos_plugins.study.result import OutcomeResult
from sos_plugins.study.study import Study
from sos_plugins.tables.period_codes import april_year

START, END = dt.date(2014, 9, 1), dt.date(2015, 3, 31)
FOLLOWED = 90
STUDY = """
[study]
name = "windows"
title = "Windows"

[[sources]]
plugin = "records"
folder = "records"
start = 2009-04-01
end = 2020-03-31

[design]
pilots = [{ unit = "501", start = 2014-09-01, end = 2015-03-31 }]
pool = ["511", "512"]
first_period = 2011
last_period = 2017

[matching]
units = { plugin = "whole-pool" }

[[outcomes]]
plugin = "icpc"
covariates = "none"

[[estimators]]
plugin = "did"
form = "stacked"
vcov = "CR0"
engines = ["python"]

[sensitivity]
families = []

[rating]
plugin = "wwcsc"
"""
USUAL = [dt.date(y, 5, d) for y in (*range(2011, 2015), 2016, 2017) for d in range(1, 11)]


def study(folder: Path, dates: dict[str, list[dt.date]]) -> OutcomeResult:
    """Run the study on the usual referrals of three authorities, and some more."""
    referrals, children = [], []
    for unit in ("501", "511", "512"):
        for n, date in enumerate([*USUAL, *dates.get(unit, [])]):
            key = {"unit": unit, "child": f"{n}"}
            held = date + dt.timedelta(days=9) if (n * 3 + int(unit)) % 4 == 0 else None
            referrals.append(
                {
                    **key,
                    "referral_date": date,
                    "nfa": False,
                    "closure_date": date + dt.timedelta(days=50),
                    "closure_reason": "RC1",
                    "icpc_date": held,
                    "return_year": april_year(date),
                }
            )
            children.append({**key, "birth_date": date.replace(year=date.year - 9)})
    (folder / "records").mkdir(parents=True)
    rows: dict[str, list[dict[str, Any]]] = {"referrals": referrals, "children": children}
    for name, listed in rows.items():
        filled = [{c: row.get(c) for c in TABLES[name].names} for row in listed]
        table = pa.Table.from_pylist(filled, schema=TABLES[name])
        pq.write_table(table, folder / "records" / f"{name}.parquet")
    path = folder / "study.toml"
    path.write_text(STUDY)
    (outcome,) = Study.from_toml(path).run(workers=1).outcomes
    assert not outcome.error
    return outcome


def numbers(outcome: OutcomeResult) -> dict[str, tuple[int, int]]:
    """Cases before and after by authority, beyond the usual forty and twenty."""
    rows = outcome.sample.itertuples()
    return {row.unit: (row.n_pre - 40, row.n_post - 20) for row in rows}


def day(first: dt.date, days: int) -> dt.date:
    return first + dt.timedelta(days=days)


def test_cases_on_the_days_of_the_window(tmp_path: Path) -> None:
    on_the_eve, on_the_day = day(START, -FOLLOWED - 1), day(START, -FOLLOWED)
    outcome = study(
        tmp_path,
        {
            # Known on the eve of the window: before; on its first day: within.
            "501": [on_the_eve, on_the_day, on_the_day, END, END, END, day(END, 1)],
            # The same for comparators, in the window of the pilot.
            "511": [on_the_eve, on_the_eve, on_the_day, END, day(END, 1), day(END, 1), day(END, 1)],
            "512": [on_the_day, START, day(START, 100), END],
        },
    )
    assert numbers(outcome) == {"501": (1, 1), "511": (2, 3), "512": (0, 0)}
    assert outcome.main is not None
    assert outcome.main.n_cases == 3 * 60 + 2 + 5


def test_cases_on_the_first_and_last_days_of_the_periods(tmp_path: Path) -> None:
    first, last = dt.date(2011, 4, 1), dt.date(2018, 3, 31)
    outcome = study(
        tmp_path,
        {
            "501": [first, day(first, -1), day(first, -1), last, day(last, 1)],
            "512": [day(first, -1), last, last, day(last, 1), day(last, 1)],
        },
    )
    assert numbers(outcome) == {"501": (1, 1), "511": (0, 0), "512": (0, 2)}
    step = outcome.attrition.set_index("step").loc["in the periods of the design"]
    assert (step["n_before"], step["n_dropped"], step["n_after"]) == (190, 6, 184)
    by_year = outcome.trends.groupby("period")["n_cases"].sum().to_dict()
    assert by_year == {2011: 31, 2012: 30, 2013: 30, 2014: 30, 2016: 30, 2017: 33}


def test_means_before_and_after_and_by_year_are_those_of_the_records(tmp_path: Path) -> None:
    """A conference is held for the n-th referral where 3 n + the authority's code divides by 4.

    So for 501 where n leaves 1 on division by 4, for 511 where it leaves 3, for 512 where it leaves
    0. The usual n are 0 to 39 before the window, ten a year, and 40 to 59 after it; the further
    ones of 2017 go on from 60.
    """
    late = dt.date(2017, 6, 1)
    outcome = study(tmp_path, {"501": [late] * 3, "511": [late], "512": [late] * 2})
    rows = outcome.sample.to_dict("records")
    assert [(row["role"], row["unit"]) for row in rows] == [
        ("pilot", "501"), ("comparator", "511"), ("comparator", "512"),
    ]  # fmt: skip
    means = {row["unit"]: (row["mean_pre"], row["mean_post"]) for row in rows}
    # Of 60 to 62, 61 is held for 501; 60 is not for 511; of 60 and 61, 60 is for 512.
    assert means == {
        "501": (10 / 40, pytest.approx(6 / 23)),
        "511": (10 / 40, pytest.approx(5 / 21)),
        "512": (10 / 40, pytest.approx(6 / 22)),
    }
    assert {row["group"] for row in rows} == {"501"}
    assert outcome.trends.index.tolist() == list(range(2 * 6))
    trends = outcome.trends.set_index(["series", "period"])
    held = {2011: 3, 2012: 2, 2013: 3, 2014: 2, 2016: 3}  # for 501: 1, 5, 9; 13, 17; ...
    for year, n in held.items():
        assert trends.loc[("pilots", year)].tolist() == pytest.approx([n / 10, 10])
        assert trends.loc[("comparators", year)].tolist() == pytest.approx([5 / 20, 20])
    assert trends.loc[("pilots", 2017)].tolist() == pytest.approx([3 / 13, 13])
    assert trends.loc[("comparators", 2017)].tolist() == pytest.approx([6 / 23, 23])


@pytest.mark.parametrize(
    ("end", "cohort"),
    [("2015-03-30", 2014), ("2015-03-31", 2015), ("2015-04-01", 2015), ("2014-12-31", 2014)],
)
def test_the_cohort_is_the_year_of_the_day_after_the_window(end: str, cohort: int) -> None:
    row = {"unit": "1", "start": dt.date(2014, 1, 1), "end": dt.date.fromisoformat(end)}
    (pilot,) = read_pilots(DesignTable(pilots=(row,)), Path())
    assert pilot.cohort == cohort
    (told,) = read_pilots(DesignTable(pilots=({**row, "cohort": 2013},)), Path())
    assert told.cohort == 2013


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        *((word, True) for word in ("true", "yes", "Y", "1", " True ", True)),
        *((word, False) for word in ("false", "No", "n", "0", "", False)),
    ],
)
def test_support_is_a_yes_or_a_no(word: object, meant: bool) -> None:
    row = {"unit": "1", "cohort": 2014, "external_support": word}
    (pilot,) = read_pilots(DesignTable(pilots=(row,)), Path())
    assert pilot.attributes["external_support"] is meant


def test_support_that_is_neither_is_named() -> None:
    row = {"unit": "1", "cohort": 2014, "external_support": "perhaps"}
    with pytest.raises(DesignError, match=r"has 'perhaps'; expected true or false"):
        read_pilots(DesignTable(pilots=(row,)), Path())
