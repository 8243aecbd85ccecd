"""Extracts of the National Pupil Database: what was planted is found, nothing is lost uncounted."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sos_sources.npd.source import Npd, NpdSettings
from variants import examples

from sos_plugins import Records, Session
from sos_plugins.authors import testing
from sos_plugins.errors import DataError, SosError
from sos_plugins.host.settings import validate

HEAD = (
    "CIN_LAchildID_Anon_SPR{y},CIN_LA_SPR{y},CIN_ReferralDate_SPR{y},CIN_ReferralNFA_SPR{y},"
    "CIN_CINClosureDate_SPR{y},CIN_ReasonForClosure_SPR{y},CIN_CPPstartDate_SPR{y},"
    "CIN_CPPendDate_SPR{y},CIN_PrimaryNeedCode_SPR{y},CIN_Gender_SPR{y},CIN_Ethnicity_SPR{y},"
    "CIN_DOB_SPR{y}"
)
EPISODES = (
    "CHILD_LA_CODE_ANON,LA,poc_start,poc_length,date_episode_started,date_episode_ceased,"
    "legal_status,placement,reason_episode_ceased,SEX,ethnic_or,cin,dob_Year,dob_Month"
)


def cin(folder: Path, year: int, *rows: str) -> Path:
    """Write the extract of the year that ends in March of ``year``."""
    path = folder / f"CIN_{year}.csv"
    path.write_text("\n".join([HEAD.format(y=f"{year % 100:02d}"), *rows]) + "\n")
    return path


def episodes(folder: Path, *rows: str) -> None:
    (folder / "episodes.csv").write_text("\n".join([EPISODES, *rows]) + "\n")


def read(folder: Path, **values: Any) -> Records:
    chosen = validate(NpdSettings, {"paths": ["."], **values}, where="test")
    return Npd().read(chosen, Session(base=folder))


def table(records: Records, name: str) -> pd.DataFrame:
    return records.table(name).to_pandas()


def flagged(records: Records, check: str, column: str | None = None) -> int:
    checks = records.quality.checks
    chosen = checks[checks["check"] == check]
    if column is not None:
        chosen = chosen[chosen["column"] == column]
    return int(chosen["n_flagged"].sum())


def test_suffixes_fall_away_and_the_later_extract_closes_the_case(tmp_path: Path) -> None:
    cin(tmp_path, 2009, "A,330,2008-05-01,0,,,,,N1,1,WBRI,2000-01-02")
    cin(tmp_path, 2010, "A,330,2008-05-01,0,2009-06-30,RC1,,,N1,1,WBRI,2000-01-02")
    records = read(tmp_path)
    (row,) = table(records, "referrals").to_dict("records")
    assert (row["unit"], row["child"], row["closure_reason"]) == ("330", "A", "RC1")
    assert str(row["closure_date"])[:10] == "2009-06-30"
    assert row["return_year"] == 2009
    assert flagged(records, "recurrence") == 1
    assert (records.start.isoformat(), records.end.isoformat()) == ("2008-04-01", "2010-03-31")


@pytest.mark.parametrize(
    ("written", "meant", "check"),
    [
        ("RC8", "RC8", None),
        ("rc8", "RC8", "lower-case-code"),
        ("RC 8", "RC8", "misspelt-code"),
        ("R8", "RC8", "misspelt-code"),
        ("rc08", "RC8", "misspelt-code"),
        ("8", "RC8", "misspelt-code"),
        ("RC0", None, "unknown-code"),
        ("RC88", None, "unknown-code"),
        ("E45", None, "unknown-code"),
        ("UNKNOWNCLOSUREREASON", None, None),
        ("none", None, None),
        ("NA", None, None),
        ("", None, None),
    ],
)
def test_closure_reasons_are_mended_and_counted(
    tmp_path: Path, written: str, meant: str | None, check: str | None
) -> None:
    cin(tmp_path, 2009, f"A,330,2008-05-01,0,2008-06-01,{written},,,N1,1,WBRI,2000-01-02")
    records = read(tmp_path)
    rows = table(records, "referrals")["closure_reason"][0]
    assert rows == meant or (meant is None and pd.isna(rows))
    for name in ("lower-case-code", "misspelt-code", "unknown-code"):
        assert flagged(records, name, "closure_reason") == (name == check)


def test_the_user_names_further_spellings(tmp_path: Path) -> None:
    cin(tmp_path, 2009, "A,330,2008-05-01,0,2008-06-01,NFA-AFTER,,,N1,1,WBRI,2000-01-02")
    records = read(tmp_path, spellings={"NFAAFTER": "RC8"})
    assert table(records, "referrals")["closure_reason"][0] == "RC8"


CONFLICTS = (
    "A,330,2008-05-01,0,,,,,N1,1,WBRI,2000-01-02",
    "A,330,2008-06-01,0,,,,,N1,1,WBRI,2000-01-02",
    "A,330,2008-07-01,0,,,,,N1,2,MWBC,2001-01-02",
)


@pytest.mark.parametrize(
    ("rule", "sex", "ethnicity", "born"),
    [
        ("most-common", "male", "WBRI", "2000-01-02"),
        ("latest", "female", "MWBC", "2001-01-02"),
        ("missing", None, None, None),
    ],
)
def test_contradictions_are_settled_by_the_stated_rule(
    tmp_path: Path, rule: str, sex: str | None, ethnicity: str | None, born: str | None
) -> None:
    cin(tmp_path, 2009, *CONFLICTS)
    records = read(tmp_path, conflicting=rule)
    (child,) = table(records, "children").to_dict("records")
    told = [child["sex"], child["ethnicity"], child["birth_date"]]
    assert [None if pd.isna(t) else str(t)[:10] for t in told] == [sex, ethnicity, born]
    for check in ("conflicting-gender", "conflicting-ethnicity", "conflicting-birth-date"):
        assert flagged(records, check) == 1


def test_an_ethnicity_that_was_refused_contradicts_nothing(tmp_path: Path) -> None:
    cin(
        tmp_path,
        2009,
        "A,330,2008-05-01,0,,,,,N1,1,REFU,2000-01-02",
        "A,330,2008-06-01,0,,,,,N1,1,refu,2000-01-02",
        "A,330,2008-07-01,0,,,,,N1,1,WBRI,2000-01-02",
    )
    for rule in ("most-common", "latest", "missing"):
        records = read(tmp_path, conflicting=rule)
        assert table(records, "children")["ethnicity"].tolist() == ["WBRI"]
        assert flagged(records, "conflicting-ethnicity") == 0


def test_a_referral_that_stands_once_a_plan_is_one_referral(tmp_path: Path) -> None:
    row = "A,330,2008-05-01,0,,,{},N1,1,WBRI,2000-01-02"
    cin(tmp_path, 2009, row.format("2008-06-01,2008-09-01"), row.format("2009-01-05,"))
    records = read(tmp_path)
    assert len(table(records, "referrals")) == 1
    assert flagged(records, "duplicate") == 0
    plans = table(records, "protection_plans")
    assert [str(d)[:10] for d in plans["start_date"]] == ["2008-06-01", "2009-01-05"]


def test_dates_of_four_kinds_are_read(tmp_path: Path) -> None:
    for i, day in enumerate(["2008-05-01", "01/05/2008", "01MAY2008", "2008-05-01 00:00:00"]):
        cin(tmp_path, 2009, f"A{i},330,{day},0,,,,,N1,1,WBRI,2000-01-02")
        (row,) = table(read(tmp_path), "referrals").to_dict("records")
        assert str(row["referral_date"])[:10] == "2008-05-01"


def test_periods_of_care_are_those_of_the_extract(tmp_path: Path) -> None:
    episodes(
        tmp_path,
        "A,330,2009-01-01,99,2009-01-01,2009-02-01,C1,u1,X1,1,WBRI,N1,2000,1",
        "A,330,2009-01-01,99,2009-02-01,2009-04-11,C2,U1,e45,1,WBRI,N1,2000,1",
        "A,330,2010-01-01,,2010-01-01,,C2,Q1,,1,WBRI,N1,2000,1",
        "B,330,2009-06-01,,2009-06-01,,C2,U4,,2,NOBT,N1,2001,13",
    )
    records = read(tmp_path)
    care = table(records, "episodes")
    assert care["period_of_care"].tolist() == [1, 1, 2, 1]
    assert care["reason_end"].tolist()[:2] == ["X1", "E45"]
    children = table(records, "children").set_index("child")
    assert str(children.loc["A", "birth_date"])[:10] == "2000-01-15"
    assert pd.isna(children.loc["B", "birth_date"])
    assert flagged(records, "unreadable", "birth_date") == 1
    assert set(records.tables) == {"children", "episodes"}


def test_an_exact_birth_date_beats_a_month(tmp_path: Path) -> None:
    cin(tmp_path, 2009, "A,330,2008-05-01,0,,,,,N1,1,WBRI,2000-01-02")
    episodes(tmp_path, "A,330,2009-01-01,,2009-01-01,,C1,U1,,1,WBRI,N1,2000,1")
    records = read(tmp_path)
    assert str(table(records, "children")["birth_date"][0])[:10] == "2000-01-02"
    assert flagged(records, "conflicting-birth-date") == 0


def test_assessments_belong_to_the_referral_before_them(tmp_path: Path) -> None:
    cin(
        tmp_path,
        2012,
        "A,330,2011-05-01,0,,,,,N1,1,WBRI,2000-01-02",
        "A,330,2011-09-01,0,,,,,N1,1,WBRI,2000-01-02",
    )
    (tmp_path / "core.csv").write_text(
        "ACADYR,LA,LAchildID_Anon,Assessment.start.date,Assessment.end.date\n"
        "2011/2012,330,A,2011-08-31,2011-10-01\n"
        "2011/2012,330,A,2011-09-01,2011-10-01\n"
        "2011/2012,330,A,2011-04-01,2011-04-30\n"
    )
    rows = table(read(tmp_path), "assessments")
    linked = {str(r.start_date)[:10]: r.referral_date for r in rows.itertuples()}
    assert str(linked["2011-08-31"])[:10] == "2011-05-01"
    assert str(linked["2011-09-01"])[:10] == "2011-09-01"
    assert pd.isna(linked["2011-04-01"])


def test_disabilities_may_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    cin(tmp_path, 2009, "A,330,2008-05-01,0,,,,,N1,1,WBRI,2000-01-02")
    (tmp_path / "disabilities.csv").write_text(
        "CIN_LAchildID_Anon,CIN_LA,CIN_Disability\nA,330,none\nA,330,LD\n"
    )
    assert table(read(tmp_path), "children")["disabled"].tolist() == [True]


def test_the_code_before_reorganisation_is_used_where_there_is_no_other(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(
        "CIN_LAchildID_Anon_SPR09,CIN_LA_SPR09,CIN_LA_LGR_SPR09,CIN_ReferralDate_SPR09\n"
        "A,,6,2008-05-01\nB,7,6,2008-05-01\n"
    )
    assert table(read(tmp_path), "referrals")["unit"].tolist() == ["006", "007"]


# From simulated records and back ------------------------------------------------------------------

KEPT = {
    "referrals": ["unit", "child", "referral_date", "nfa", "closure_date", "closure_reason"],
    "protection_plans": ["unit", "child", "referral_date", "start_date", "end_date"],
}


def flat(records: Records) -> pd.DataFrame:
    """Referrals with their plans and children, as an extract has them."""
    referrals, plans = table(records, "referrals"), table(records, "protection_plans")
    key = ["unit", "child", "referral_date"]
    plans = plans[[*key, "start_date", "end_date"]]
    rows = referrals.merge(plans, on=key, how="left").merge(
        table(records, "children"), on=["unit", "child"]
    )
    sexes = {"male": "1", "female": "2", "indeterminate": "9"}
    return pd.DataFrame(
        {
            "CIN_LAchildID_Anon": rows["child"],
            "CIN_LA": rows["unit"],
            "CIN_ReferralDate": rows["referral_date"],
            "CIN_ReferralNFA": rows["nfa"].map({True: "1", False: "0"}),
            "CIN_CINClosureDate": rows["closure_date"],
            "CIN_ReasonForClosure": rows["closure_reason"],
            "CIN_CPPstartDate": rows["start_date"],
            "CIN_CPPendDate": rows["end_date"],
            "CIN_Gender": rows["sex"].map(sexes),
            "CIN_Ethnicity": rows["ethnicity"],
            "CIN_DOB": rows["birth_date"],
            "year": rows["return_year"],
        }
    )


@pytest.fixture(scope="module")
def simulated() -> Records:
    from sos_plugins.host.registry import load_plugins

    registry = load_plugins()
    values = {"comparators_per_pilot": 1, "referrals_per_year": 40, "care_starts_per_year": 10}
    chosen = registry.settings("source", "simulated", values, "test")
    return registry.source("simulated").read(chosen, Session())


def written(records: Records, folder: Path, dirty: bool = False) -> dict[str, int]:
    """Write one extract a year, with faults if wanted; return how many of each were planted."""
    rows = flat(records)
    dates = [c for c in rows if pd.api.types.is_datetime64_any_dtype(rows[c])]
    rows[dates] = rows[dates].apply(lambda c: c.dt.strftime("%Y-%m-%d"))
    planted = {}
    if dirty:
        rng = np.random.default_rng(1)
        codes = rows.index[rows["CIN_ReasonForClosure"].notna()].to_numpy()
        lower, misspelt, wrong = np.split(rng.permutation(codes)[:90], [40, 70])
        reason = rows["CIN_ReasonForClosure"]
        rows.loc[lower, "CIN_ReasonForClosure"] = reason[lower].str.lower()
        rows.loc[misspelt, "CIN_ReasonForClosure"] = reason[misspelt].str.replace("RC", "RC ")
        rows.loc[wrong, "CIN_ReasonForClosure"] = "RX"
        planted = {"lower-case-code": 40, "misspelt-code": 30, "unknown-code": 20}
    for year, part in rows.groupby("year"):
        named = part.drop(columns="year").add_suffix(f"_SPR{(year + 1) % 100:02d}")
        named.to_csv(folder / f"cin_{year}.csv", index=False)
    return planted


def same_rows(given: pd.DataFrame, wanted: pd.DataFrame) -> None:
    order = list(wanted.columns)
    tidy = [
        f.astype(object).where(f.notna(), None).sort_values(order[:3]).reset_index(drop=True)
        for f in (given[order], wanted)
    ]
    pd.testing.assert_frame_equal(*tidy, check_dtype=False)


def test_simulated_records_written_as_extracts_come_back(
    simulated: Records, tmp_path: Path
) -> None:
    written(simulated, tmp_path)
    back = read(tmp_path, days_after_return=40_000)
    for name, columns in KEPT.items():
        wanted = table(simulated, name)[columns]
        if name == "protection_plans":
            wanted = wanted[wanted["start_date"].notna() | wanted["end_date"].notna()]
        same_rows(table(back, name), wanted)


def test_every_planted_fault_is_counted_and_no_row_is_lost(
    simulated: Records, tmp_path: Path
) -> None:
    planted = written(simulated, tmp_path, dirty=True)
    back = read(tmp_path, days_after_return=40_000)
    for check, n in planted.items():
        assert flagged(back, check, "closure_reason") == n
    assert len(table(back, "referrals")) == len(table(simulated, "referrals"))


# What stops the reading --------------------------------------------------------------------------


def test_it_passes_the_kit(tmp_path: Path) -> None:
    cin(tmp_path, 2009, *CONFLICTS)
    testing.check_source(
        Npd(), {"paths": ["."]}, base=tmp_path, unreadable=[{"paths": ["nowhere"]}]
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1,2\n", "None of 1 CSV files in .* known by its columns: assessments: CIN_LACHILD"),
        (
            "CIN_LA_SPR09,CIN_LAchildID_Anon,CIN_ReferralDate,CIN_LA_SPR10\n330,A,2008-05-01,330\n",
            r"the column CIN_LA more than once \(columns 1 and 4\)",
        ),
        (
            "CIN_LA,CIN_LAchildID_Anon,CIN_ReferralDate\n330,A,May 2008\n330,B,June 2008\n",
            "column CIN_REFERRALDATE: 2 of 2 dates cannot be read, most of them of the form AAA",
        ),
        (
            "CIN_LA,CIN_LAchildID_Anon,CIN_ReferralDate\n330,A,\n",
            "years of x.csv cannot be told",
        ),
        (
            "CIN_LA_SPR09,CIN_LAchildID_Anon_SPR09,CIN_ReferralDate_SPR09\n330,A,2011-05-01\n",
            "say April 2008 to March 2009, but 1 of 1 rows are dated later",
        ),
        (
            "CIN_LA,CIN_LAchildID_Anon,CIN_ReferralDate\n330,,2008-05-01\n,B,2008-05-01\n",
            "Of the rows of x.csv none is usable",
        ),
    ],
)
def test_what_cannot_be_read_is_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=sentence):
        read(tmp_path)


def test_a_file_that_is_no_extract_is_counted_and_the_others_are_read(tmp_path: Path) -> None:
    cin(tmp_path, 2009, *CONFLICTS)
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    records = read(tmp_path)
    assert records.files == ("CIN_2009.csv",)
    assert flagged(records, "out-of-scope", "notes.csv") == 1


def test_columns_under_other_names_are_named_in_the_setting(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("KID_SPR09,CIN_LA_SPR09,REF_SPR09\nA,330,2008-05-01\n")
    names = {"CIN_LAchildID_Anon": "KID", "CIN_ReferralDate": "ref"}
    assert len(table(read(tmp_path, columns=names), "referrals")) == 1
    with pytest.raises(SosError, match=r"columns.*names 'KID'"):
        read(tmp_path, columns={"KID": "CIN_LA"})


CELL = st.sampled_from(
    ["", "A", "B", "330", "6", "2008-05-01", "31/02/2009", "rc8", "RC 8", "N1", "x" * 80, "\x00",
     "'; DROP", "1", "2", "9", "WBRI", "é", "2008-13-45", "NA", '"', "0", "1e9"]
)  # fmt: skip


@settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.lists(CELL, min_size=11, max_size=13), min_size=1, max_size=12))
def test_no_row_of_any_text_is_lost_uncounted(tmp_path: Path, rows: list[list[str]]) -> None:
    path = tmp_path / "fuzz.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEAD.format(y="09").split(","))
        writer.writerow(["safe", "330", "2008-05-01", *[""] * 9])
        writer.writerow(["safe", "330", "2008-05-02", *[""] * 9])
        writer.writerows(rows)
    try:
        records = read(tmp_path)
    except SosError:
        return
    checks = records.quality.checks
    dropped = checks[(checks["action"] == "dropped") & (checks["table"] == "referrals")]
    merged = checks[
        checks["check"].isin(["duplicate", "recurrence"]) & (checks["table"] == "referrals")
    ]
    lost = int(dropped["n_flagged"].sum()) + int(merged["n_flagged"].sum())
    with_plans = sum(bool(row[6:8] != ["", ""]) for row in rows if len(row) == 12)
    kept = len(table(records, "referrals"))
    assert kept + lost <= len(rows) + 2 <= kept + lost + with_plans


def test_the_number_of_previous_plans_reaches_the_plans(tmp_path: Path) -> None:
    head = "CIN_LAchildID_Anon,CIN_LA,CIN_ReferralDate,CIN_CPPstartDate,"
    head += "CIN_NumberOfPreviousCPP,CIN_DOB"
    rows = ["A,330,2008-05-01,2008-06-01,2,2000-01-02", "B,330,2008-05-01,2008-06-01,,2000-01-02"]
    (tmp_path / "CIN_2009.csv").write_text("\n".join([head, *rows]) + "\n")
    plans = table(read(tmp_path), "protection_plans").sort_values("child")
    told = [None if pd.isna(n) else int(n) for n in plans["n_previous"]]
    assert told == [2, None]
