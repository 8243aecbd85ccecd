"""Data-quality figures of records: read, judged, matched and counted down the whole line.

Every expected figure is the fraction of rows that the records below are made of, counted by hand.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import study_helpers
from sos_outcomes.tidy_value import TidyValue

from sos_plugins.contract.record_tables import TABLES
from sos_plugins.contract.types import Cases, Pilot
from sos_plugins.study.pilots_and_pool import Design
from sos_plugins.study.quality import FIGURES, comparability_figures
from sos_plugins.study.result import OutcomeResult
from sos_plugins.study.study import Study

YEARS = range(2010, 2020)
N = 40
"""Referrals of each authority and year."""
UNUSABLE: Mapping[str, Mapping[int, int]] = {
    "501": {2011: 2, 2012: 2, 2013: 2, 2014: 6, 2015: 6, 2016: 6, 2017: 9},
    "502": {2011: 4, 2012: 4, 2013: 4, 2014: 4, 2015: 1, 2016: 1, 2017: 1},
    "511": {2011: 8, 2012: 8, 2013: 8, 2014: 12, 2015: 12, 2016: 12, 2017: 16},
    "512": {2014: 2},
}
"""Referrals whose need cannot be judged; 2010, 2018 and 2019 are outside the design."""
FAULTY: Mapping[str, Mapping[int, int]] = {
    "501": {2012: 4, 2013: 8, 2014: 20, 2017: 12},
    "502": {2014: 5, 2015: 2, 2016: 2},
    "511": {2013: 6, 2014: 9, 2015: 3},
}
"""Referrals with a code that does not exist."""
OUTSIDE = dict.fromkeys((2010, 2018, 2019), 30)
NO_ETHNICITY, NO_SEX = 5, 1
"""Children without these of the first referrals that can be judged, by authority and year."""

STUDY = """
[study]
name = "quality"
title = "Quality"

[[sources]]
plugin = "records"
folder = "records"

[design]
pilots = [
    { unit = "501", start = 2014-04-01, end = 2014-04-30 },
    { unit = "502", start = 2014-12-01, end = 2015-03-31 },
    { unit = "503", start = 2017-12-01, end = 2019-12-31 },
]
pool = ["511", "512"]
first_period = 2011
last_period = 2017

[matching]
units = { plugin = "whole-pool" }

[[outcomes]]
plugin = "icpc"
covariates = ["sex", "ethnic_group"]

[[estimators]]
plugin = "did"
form = "stacked"
engines = ["python"]
covariates = "none"

[sensitivity]
families = []

[rating]
plugin = "wwcsc"
"""


def rows(unit: str, year: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The referrals of an authority in an April-year, and their children."""
    outside = OUTSIDE.get(year)
    n_unusable = UNUSABLE.get(unit, {}).get(year, 0) if outside is None else outside
    n_faulty = FAULTY.get(unit, {}).get(year, 0) if outside is None else outside
    referrals, children = [], []
    for n in range(N):
        child, date = f"{year}-{n}", dt.date(year, 6, 1) + dt.timedelta(days=n)
        held = (n * 7 + year + int(unit)) % 5 == 0
        referrals.append(
            {
                "unit": unit,
                "child": child,
                "referral_date": date,
                "referral_source": "1A",
                "primary_need": "N99" if n < n_faulty else "N1",
                "nfa": False,
                "closure_date": date + dt.timedelta(days=100),
                "closure_reason": None if n >= N - n_unusable else "RC1",
                "icpc_date": date + dt.timedelta(days=20) if held else None,
                "return_year": year,
            }
        )
        children.append(
            {
                "unit": unit,
                "child": child,
                "birth_date": dt.date(year - 9, 1, 1),
                "sex": None if n < NO_SEX else "female" if n % 2 else "male",
                "ethnicity": None if n < NO_ETHNICITY else "WBRI",
                "disabled": False,
            }
        )
    return referrals, children


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> OutcomeResult:
    folder = tmp_path_factory.mktemp("quality")
    write(folder)
    return run(folder)


def write(folder: Path) -> None:
    made = [rows(unit, year) for unit in ("501", "502", "503", "511", "512") for year in YEARS]
    (folder / "records").mkdir()
    for name, part in (("referrals", 0), ("children", 1)):
        listed = [row for one in made for row in one[part]]
        filled = [{c: row.get(c) for c in TABLES[name].names} for row in listed]
        table = pa.Table.from_pylist(filled, schema=TABLES[name])
        pq.write_table(table, folder / "records" / f"{name}.parquet")


def run(folder: Path, text: str = STUDY) -> OutcomeResult:
    path = folder / "study.toml"
    path.write_text(text)
    (outcome,) = Study.from_toml(path).run(workers=1).outcomes
    assert not outcome.error
    return outcome


def change(before: float, after: float) -> float:
    """How a share of usable records moves, where the shares of unusable ones are given."""
    return before - after


EXPECTED = {
    "n_pilots": 2,
    # 4 authorities, 7 years, 40 referrals, less those that cannot be judged; 503 is not analysed.
    "n_cases": 1120 - 33 - 19 - 76 - 2,
    "pilots_covered": 2 / 3,
    "usable_share": 1 - 130 / 1120,
    "usable_share_pilots": 1 - 52 / 560,
    "usable_share_comparators": 1 - 78 / 560,
    "usable_share_worst": 1 - 76 / 280,  # of 511
    # The group of 501 from 2014 on, that of 502 from 2015 on.
    "usable_shift": (
        (change(6 / 120, 27 / 160) - change(24 / 240, 54 / 320))
        + (change(16 / 160, 3 / 120) - change(38 / 320, 40 / 240))
    )
    / 2,
    "sparse_share": 5 / 28,  # 501 in 2017, 511 from 2014 on; 32 of 40 are enough
    # A row is at fault by its code, its lacking reason, or (children) its lacking ethnicity.
    "faulty_share_before": ((12 + 6 + 15) + (5 + 16 + 20)) / 560,
    "faulty_share_after": ((32 + 27 + 20) + (4 + 3 + 15)) / 560,
    "faulty_shift": (
        (79 / 320 - 33 / 240 - (106 / 640 - 60 / 480))
        + (22 / 240 - 41 / 320 - (73 / 480 - 93 / 640))
    )
    / 2,
    # 42 years of authorities in the two groups, with 508 + 2 * 482 cases.
    "covariates_missing": (42 * NO_ETHNICITY + 42 * NO_SEX) / (508 + 2 * 482) / 2,
}


UNUSABLE_AFTER = (27 + 3) / (160 + 120)
"""501 from 2014 on, 502 from 2015 on."""
FROM_ESTIMATES = {"pretest_power", "breakdown", "breakdown_relative"}
"""Figures of the leads and of honest bounds, which this study does not run."""


def held(unit: str, years: range) -> list[float]:
    """Whether a conference was held, for the referrals of an authority that can be judged."""
    judged = [row for year in years for row in rows(unit, year)[0] if row["closure_reason"]]
    return [float(row["icpc_date"] is not None) for row in judged]


def of_values(outcome: OutcomeResult) -> dict[str, float]:
    """The figures that values decide, from the referrals one by one."""
    assert outcome.main is not None
    pilots = np.array(held("501", range(2011, 2018)) + held("502", range(2011, 2018)))
    before = {u: np.mean(held(u, range(2011, 2014))) for u in ("501", "502", "503", "511", "512")}
    treated, pool = (np.array([before[u] for u in units]) for units in (
        ("501", "502", "503"), ("511", "512")))  # fmt: skip
    apart = treated.mean() - pool.mean()
    return {
        "unusable_after": UNUSABLE_AFTER,
        "tipping_difference": abs(outcome.main.estimate or 0.0) / UNUSABLE_AFTER,
        "value_sd": float(np.sqrt(pilots.mean() * (1 - pilots.mean()))),
        "pilots_above_pool": apart / pool.std(ddof=1),
        "imbalance_units": abs(apart / treated.std(ddof=1)),
    }


def test_every_figure_is_that_of_the_records(outcome: OutcomeResult) -> None:
    every = {**EXPECTED, **of_values(outcome)}
    assert set(outcome.quality) == set(every) == set(FIGURES) - {"imbalance_cases"} - FROM_ESTIMATES
    for name, expected in every.items():
        assert outcome.quality[name] == pytest.approx(expected, rel=1e-12), name


def test_the_rating_reads_these_figures(outcome: OutcomeResult) -> None:
    assert outcome.rating is not None
    reasons = {r.sentence: r.figure for r in outcome.rating.reasons if r.metric == "data quality"}
    said = {
        "11% of the pilots' records after their windows could not be judged": "unusable_after",
        "67% of the pilots of the design could be analysed": "pilots_covered",
        "usable records moved by +3.6 points in the pilots after their windows": "usable_shift",
        "at fault are 13% before their windows and 18% from then on": "faulty_share_after",
    }
    assert len(reasons) == len(said)
    for words, name in said.items():
        (figure,) = [f for sentence, f in reasons.items() if words in sentence]
        assert figure == pytest.approx({**EXPECTED, **of_values(outcome)}[name], rel=1e-12), name


def test_a_share_that_falls_in_the_pilots_has_a_sign_and_weighs_as_much(tmp_path: Path) -> None:
    """The group of 501 alone, where the share falls by 5 points more than in its comparators."""
    write(tmp_path)
    outcome = run(tmp_path, STUDY.replace('{ unit = "502",', '{ unit = "504",'))
    assert outcome.quality["usable_shift"] == pytest.approx(-0.05, rel=1e-12)
    assert outcome.rating is not None
    (reason,) = [r for r in outcome.rating.reasons if "usable records moved" in r.sentence]
    assert "by -5.0 points" in reason.sentence
    assert reason.figure == pytest.approx(0.05, rel=1e-12)


def test_a_table_of_cases_has_the_shares_of_its_rows_with_a_value(tmp_path: Path) -> None:
    """A column of numbers has no level 'Missing', so texts alone are counted."""
    cases = study_helpers.table(cases=4)
    rows = np.arange(len(cases))
    cases["size"] = rows % 7 + 0.5
    cases.loc[(rows % 5 == 0) | (rows % 48 == 1), "sex"] = None
    text = study_helpers.STUDY.replace('["sex"]', '["sex", "size"]')
    text = text.replace("[rating]", "[sensitivity]\nfamilies = []\n\n[rating]")
    path = study_helpers.write(tmp_path, text, cases)
    (outcome,) = Study.from_toml(path).run(workers=1).outcomes
    assert not outcome.error
    stacked = outcome.sample
    n_stacked = (stacked["n_pre"] + stacked["n_post"]).sum()
    groups = outcome.groups.melt("pilot", ["comparator"], "role", "unit")
    units = [*study_helpers.PILOTS, *groups["unit"]]
    lacking = {u: int(cases.loc[cases["unit"] == u, "sex"].isna().sum()) for u in set(units)}
    assert n_stacked == 48 * len(units)
    expected = sum(lacking[u] for u in units) / n_stacked
    assert 0 < expected < 1
    assert outcome.quality["covariates_missing"] == pytest.approx(expected, rel=1e-12)
    assert outcome.quality["usable_share"] == 1.0
    assert outcome.quality["pilots_covered"] == 1.0


def with_completeness(
    folder: Path, monkeypatch: pytest.MonkeyPatch, changed: Callable[[pd.DataFrame], pd.DataFrame]
) -> OutcomeResult:
    """A study of a table whose outcome counts otherwise what could be judged."""
    plain = TidyValue.derive

    def derive(self: TidyValue, *given: Any) -> Cases:
        cases = plain(self, *given)
        return replace(cases, completeness=changed(cases.completeness))

    monkeypatch.setattr(TidyValue, "derive", derive)
    text = study_helpers.STUDY.replace("[rating]", "[sensitivity]\nfamilies = []\n\n[rating]")
    path = study_helpers.write(folder, text, study_helpers.table(cases=4))
    (outcome,) = Study.from_toml(path).run(workers=1).outcomes
    assert not outcome.error
    return outcome


def test_an_authority_year_without_candidates_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pilot 901 has no candidates but one, who cannot be judged."""

    def almost_none(complete: pd.DataFrame) -> pd.DataFrame:
        complete = complete.copy()
        own = complete["unit"] == "901"
        complete.loc[own, ["n_candidates", "n_usable"]] = 0
        complete.loc[own & (complete["period"] == 2010), "n_candidates"] = 1
        return complete

    outcome = with_completeness(tmp_path, monkeypatch, almost_none)
    units = {*study_helpers.PILOTS, *outcome.groups["comparator"]}
    years = 12 * (len(units) - 1)
    assert outcome.quality["usable_share"] == pytest.approx(4 * years / (4 * years + 1))
    assert outcome.quality["usable_share_worst"] == 0.0
    assert outcome.quality["sparse_share"] == pytest.approx(1 / (years + 1))
    assert outcome.quality["usable_shift"] == 0.0  # of the other groups alone


@pytest.mark.parametrize("rows", [None, 0])
def test_without_candidates_nothing_is_known_of_completeness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int | None
) -> None:
    def none(complete: pd.DataFrame) -> pd.DataFrame:
        return complete.assign(n_candidates=0, n_usable=0).iloc[:rows]

    outcome = with_completeness(tmp_path, monkeypatch, none)
    assert not [name for name in outcome.quality if name.startswith(("usable", "sparse"))]
    assert outcome.rating is not None
    assert any("is not known: moderate" in reason.sentence for reason in outcome.rating.reasons)


def test_the_worst_of_the_matched_cases_counts_and_of_authorities_the_outcome() -> None:
    balance = pd.DataFrame(
        [
            ("units", "outcome_pre_mean", -0.3),
            ("units", "outcome_pre_2013", 2.0),
            ("cases", "age", 0.02),
            ("cases", "sex=female", -0.2),
            ("cases", "sex=male", float("nan")),
        ],
        columns=["level", "covariate", "smd_after"],
    )
    cases = study_helpers.table(cases=2).assign(date=pd.NaT, follow_up_end=pd.NaT)
    design = Design(
        tuple(Pilot(u, None, None, c) for u, c in study_helpers.PILOTS.items()),
        study_helpers.OTHERS,
    )
    figures = comparability_figures(cases, design, balance)
    assert figures["imbalance_units"] == 0.3
    assert figures["imbalance_cases"] == 0.2
    alone = comparability_figures(cases, design, pd.DataFrame())
    assert set(alone) == {"pilots_above_pool"}
