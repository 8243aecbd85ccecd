"""Outcomes that take a value as it stands: a user's table of cases, and published figures."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from outcome_helpers import check_contract, derive, dropped
from sos_outcomes.published_measures import AssessmentDurationMedian, IcpcRate, RereferralRate
from sos_outcomes.tidy_value import TidyValue

from sos_plugins import Records, Session
from sos_plugins.contract.record_tables import TABLES
from sos_plugins.errors import DataError, SettingsError


@pytest.fixture(scope="module")
def session() -> Session:
    return Session()


def tidy(session: Session, **columns: Any) -> Records:
    """Records with a table of cases; three rows unless a column says otherwise."""
    plain = {"unit": ["1", "1", "2"], "period": [2010, 2011, 2010], "value": [0.0, 1.0, 2.5]}
    return Records(tables={"cases": session.table(pa.table({**plain, **columns}), "cases")})


def test_a_table_of_cases_comes_through_as_it_is(session):
    given = tidy(session, size=[1.5, 2.5, 3.5], region=["n", None, "s"], urban=[True, False, None])
    words = {"label": "Score", "phrase": "the score", "measure": "points"}
    cases = derive(TidyValue(), given, session, max_missing_covariate=0.5, **words)
    check_contract(cases)
    assert cases.covariates == ("size", "region", "urban")
    frame = cases.frame
    assert frame["value"].tolist() == [0.0, 1.0, 2.5]
    assert frame["region"].tolist() == ["n", "Missing", "s"]
    assert frame["urban"].tolist() == ["yes", "no", "Missing"]
    assert frame[["child", "date", "follow_up_end"]].isna().all().all()
    assert (cases.info.label, cases.info.phrase, cases.info.measure) == (
        "Score", "the score", "points",
    )  # fmt: skip


def test_dates_and_children_of_a_table_are_kept(session):
    date = [dt.date(2010, 5, 1), dt.date(2011, 5, 1), None]
    given = tidy(session, date=date, child=["a", "b", "c"])
    frame = derive(TidyValue(), given, session).frame
    assert frame["child"].tolist() == ["a", "b", "c"]
    assert frame["date"].dt.year.tolist()[:2] == [2010, 2011]


def test_columns_with_a_role_are_kept_but_are_no_covariates(session):
    roles = {"id": [1, 2, 3], "weight": [1.0, 2.0, 3.0], "cohort": [0, 0, 2011]}
    cases = derive(TidyValue(), tidy(session, **roles, cluster=["x", "x", "y"]), session)
    assert cases.covariates == ()
    assert {"id", "weight", "cohort", "cluster"} <= set(cases.table.columns)


def test_rows_without_value_or_number_are_dropped_and_counted(session):
    given = tidy(session, value=[None, 1.0, 2.0], size=[1.0, None, 3.0])
    cases = derive(TidyValue(), given, session, covariates=["size"])
    check_contract(cases)
    assert dropped(cases) == {"value known": 1, "size known": 1}
    assert cases.completeness.values.tolist() == [
        ["1", 2010, 1, 0],
        ["1", 2011, 1, 0],
        ["2", 2010, 1, 1],
    ]
    assert len(derive(TidyValue(), given, session, covariates=[]).frame) == 2


def test_columns_that_are_mostly_missing_are_left_out_and_named(session):
    columns = {
        "unit": ["1"] * 10,
        "period": [2010] * 10,
        "value": [1.0] * 10,
        "half": [1.0] * 5 + [None] * 5,
        "third": ["a"] * 7 + [None] * 3,
        "good": [1.0] * 8 + [None] * 2,
        "empty": pa.nulls(10, pa.float64()),
        "blank": pa.nulls(10, pa.string()),
    }
    given = Records(tables={"cases": session.table(pa.table(columns), "cases")})
    cases = derive(TidyValue(), given, session)
    check_contract(cases)
    assert cases.covariates == ("good",)
    assert dropped(cases) == {"good known": 2}
    assert [r for r in cases.attrition["reason"] if "left out" in r] == [
        "covariate half left out: missing in 50% of rows",
        "covariate third left out: missing in 30% of rows",
        "covariate empty left out: missing in 100% of rows",
        "covariate blank left out: missing in 100% of rows",
    ]
    assert cases.completeness[["n_candidates", "n_usable"]].values.tolist() == [[10, 8]]
    named = derive(TidyValue(), given, session, covariates=["half", "third"])
    assert named.covariates == ("half", "third")
    assert len(named.frame) == 5
    for name in ("empty", "blank"):
        with pytest.raises(DataError, match=f"The covariate '{name}' has no value in any row"):
            derive(TidyValue(), given, session, covariates=[name])


def test_the_default_phrase_reads_on_in_a_sentence(session):
    assert derive(TidyValue(), tidy(session), session).info.phrase == "outcome"


def test_named_covariates_must_be_there_and_fit(session):
    given = tidy(session, size=[1.0, 2.0, 3.0], seen=[dt.date(2010, 1, 1)] * 3)
    assert derive(TidyValue(), given, session, covariates=["size"]).covariates == ("size",)
    for wrong in ("seen", "sizes", "unit"):
        with pytest.raises(DataError, match=f"no covariate {wrong}.*Such columns: size"):
            derive(TidyValue(), given, session, covariates=[wrong])


def test_a_binary_value_is_zero_or_one(session):
    with pytest.raises(DataError, match=r"unit 2, period 2010 has the value 2\.5"):
        derive(TidyValue(), tidy(session), session, binary=True)


def test_a_table_without_the_needed_columns(session):
    table = session.table(pa.table({"unit": ["1"], "outcome": [1.0]}), "cases")
    with pytest.raises(
        DataError, match=r"lacks the columns period, value\. Columns: outcome, unit"
    ):
        derive(TidyValue(), Records(tables={"cases": table}), session)


def test_a_period_or_value_that_is_no_number(session):
    with pytest.raises(DataError, match=r"column 'period' .* holds string, not whole numbers"):
        derive(TidyValue(), tidy(session, period=["2010/11"] * 3), session)
    with pytest.raises(DataError, match=r"column 'value' .* holds string, not numbers"):
        derive(TidyValue(), tidy(session, value=["1"] * 3), session)
    truth = derive(TidyValue(), tidy(session, value=[True, False, True]), session, binary=True)
    assert truth.frame["value"].tolist() == [1.0, 0.0, 1.0]


def published(session: Session, rows: list[tuple[str, int, str, float | None]]) -> Records:
    filled = [
        {"unit": u, "period": p, "measure": m, "value": v, "symbol": None if v is not None else "c"}
        for u, p, m, v in rows
    ]
    empty = dict.fromkeys(TABLES["published"].names)
    table = pa.Table.from_pylist([{**empty, **r} for r in filled], schema=TABLES["published"])
    return Records(tables={"published": session.table(table, "published")})


PANEL = [
    *(("1", year, "rereferral-rate", 20.0 + year) for year in (2012, 2013, 2014)),
    *(("2", year, "rereferral-rate", 10.0) for year in (2012, 2014)),
    ("2", 2013, "rereferral-rate", None),
    *(("3", year, "rereferral-rate", 30.0) for year in (2013, 2014)),
    ("1", 2013, "icpc-rate", 60.0),
]


def test_only_authorities_with_every_year_are_kept(session):
    cases = derive(RereferralRate(), published(session, PANEL), session)
    check_contract(cases)
    assert cases.frame[["unit", "period", "value"]].values.tolist() == [
        ["1", year, 20.0 + year] for year in (2012, 2013, 2014)
    ]
    assert dropped(cases) == {"published": 1, "authority complete": 4}
    assert cases.completeness[["n_candidates", "n_usable"]].sum().tolist() == [8, 7]


def test_the_range_of_years_decides_who_is_complete(session):
    cases = derive(RereferralRate(), published(session, PANEL), session, first_period=2014)
    assert cases.frame["unit"].tolist() == ["1", "2", "3"]
    later = derive(
        RereferralRate(), published(session, PANEL), session, first_period=2013, last_period=2014
    )
    assert sorted(set(later.frame["unit"])) == ["1", "3"]
    whole = derive(RereferralRate(), published(session, PANEL), session, complete_panel=False)
    assert len(whole.frame) == 7


def test_the_three_measures_are_told_apart(session):
    assert derive(IcpcRate(), published(session, PANEL), session).frame["value"].tolist() == [60.0]
    with pytest.raises(
        DataError, match=r"no measure 'assessment-duration-median'\. Measures: icpc"
    ):
        derive(AssessmentDurationMedian(), published(session, PANEL), session)


def test_a_range_without_figures_names_the_step(session):
    with pytest.raises(DataError, match="step 'authority complete'"):
        derive(RereferralRate(), published(session, PANEL), session, first_period=2011)
    with pytest.raises(DataError, match="step 'in the range'"):
        derive(
            RereferralRate(),
            published(session, PANEL),
            session,
            first_period=2020,
            last_period=2021,
        )
    with pytest.raises(SettingsError, match="last_period 2011 is before first_period 2012"):
        derive(
            RereferralRate(),
            published(session, PANEL),
            session,
            first_period=2012,
            last_period=2011,
        )


def test_two_figures_for_one_year_are_an_error(session):
    twice = [*PANEL, ("1", 2013, "rereferral-rate", 1.0)]
    with pytest.raises(DataError, match="Authority 1 has 2 figures of rereferral-rate for 2013"):
        derive(RereferralRate(), published(session, twice), session)


def test_146_authorities_publish_their_rereferral_rate_from_2012_to_2018(session, shared: Path):
    file = shared / "data/published/c1_children_in_need_referrals_and_rereferrals_2013_to_2024.csv"
    raw = pd.read_csv(file, dtype=str)
    raw = raw[raw["geographic_level"] == "Local authority"]
    values = pd.to_numeric(raw["Re_referrals_percent"], errors="coerce")
    years = raw["time_period"].astype(int) - 1
    rows = [
        (u, int(y), "rereferral-rate", None if pd.isna(v) else float(v))
        for u, y, v in zip(raw["old_la_code"], years, values, strict=True)
    ]
    cases = derive(
        RereferralRate(), published(session, rows), session, first_period=2012, last_period=2018
    )
    assert cases.frame["unit"].nunique() == 146
    assert len(cases.frame) == 146 * 7
