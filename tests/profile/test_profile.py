"""The data-quality profile: what it counts, where, and what it makes of series and of pilots."""

from __future__ import annotations

import datetime as dt
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import outcome_helpers
import pandas as pd
import pytest
import study_helpers
from click.testing import CliRunner, Result
from lxml import html as lxml_html
from outcome_helpers import END, START, day, random_tables
from sos_sources.tables.tidy import Tidy

from sos_plugins import Pilot, QualityProfile, Records, Session
from sos_plugins.cli import main
from sos_plugins.contract.record_tables import RECORD_TABLES
from sos_plugins.host.registry import load_plugins
from sos_plugins.profile.build import profile_records
from sos_plugins.profile.coverage import pilot_coverage
from sos_plugins.profile.looked_for import LOOKED_FOR
from sos_plugins.profile.record_profile import RecordProfile
from sos_plugins.profile.rules_of import rules_for
from sos_plugins.profile.series import breaks_in_filling, breaks_in_numbers, missing_years
from sos_plugins.profile.settings import ProfileSettings
from sos_plugins.report.labels import Labels
from sos_plugins.report.trust import trust_map
from sos_plugins.study.result import StudyResult
from sos_plugins.study.study import Study

ONE_DAY = dt.timedelta(days=1)
LAST = END + dt.timedelta(days=92)
"""Last day on which an event is possible by default."""


def test_every_table_but_that_of_neighbours_is_looked_at() -> None:
    assert set(RECORD_TABLES) - set(LOOKED_FOR) == {"neighbours"}
    for name, looked_for in LOOKED_FOR.items():
        named = {*looked_for.filled, *looked_for.conflicts, looked_for.variable or "unit"}
        assert named <= set(RECORD_TABLES[name].columns.names)


def profiled(session: Session, **tables: Any) -> RecordProfile:
    """Profile rows by the rules that hold for every source."""
    return profile_records(outcome_helpers.records(session, **tables), (), session)


def referral(number: int, date: dt.date, **values: Any) -> dict[str, Any]:
    sound = {"referral_source": "1A", "primary_need": "N1", "nfa": False}
    return {"child": f"c{number}", "referral_date": date, **sound, **values}


def told(profile: RecordProfile, fault: str) -> list[tuple[Any, ...]]:
    rows = profile.faults[profile.faults["fault"] == fault]
    return list(
        rows[["table", "unit", "period", "n", "n_flagged"]].itertuples(index=False, name=None)
    )


# What is counted ----------------------------------------------------------------------------------


def test_completeness_is_counted_by_column_authority_and_year(session: Session) -> None:
    rows = [
        referral(1, day("2015-03-31")),
        referral(2, day("2015-04-01"), referral_source=None),
        referral(3, day("2016-03-31")),
        referral(4, day("2015-04-01"), unit="331", referral_source=None),
    ]
    frame = profiled(session, referrals=rows).completeness
    part = frame[(frame["table"] == "referrals") & (frame["column"] == "referral_source")]
    assert list(part[["unit", "period", "n", "n_filled"]].itertuples(index=False, name=None)) == [
        ("330", 2014, 1, 1),
        ("330", 2015, 2, 1),
        ("331", 2015, 1, 0),
    ]


def test_what_is_always_filled_is_missing_where_it_is_not(session: Session) -> None:
    rows = [
        referral(1, START, primary_need=None),
        referral(2, START, primary_need=None, nfa=True),
        referral(3, START),
    ]
    profile = profiled(session, referrals=rows)
    assert told(profile, "missing:primary_need") == [("referrals", "330", 2010, 3, 1)]
    assert profile.found("missing:referral_source") == 0


def test_a_column_that_the_source_never_fills_is_not_missing_row_by_row(session: Session) -> None:
    rows = [referral(n, START, referral_source=None) for n in range(3)]
    profile = profiled(session, referrals=rows)
    assert profile.found("missing:referral_source") == 0
    assert profile.filling().set_index("column").loc["referral_source", "share"] == 0


@pytest.mark.parametrize(
    ("column", "date", "n"),
    [
        ("closure_date", LAST, 0),
        ("closure_date", LAST + ONE_DAY, 1),
        ("closure_date", day("1990-01-01"), 0),
        ("closure_date", day("1989-12-31"), 1),
    ],
)
def test_an_impossible_date_is_told_from_the_last_possible_one(
    session: Session, column: str, date: dt.date, n: int
) -> None:
    profile = profiled(session, referrals=[referral(1, START, **{column: date})])
    assert profile.found("impossible-date") == n


def test_a_child_may_be_expected_after_the_records_end_and_born_before_they_start(
    session: Session,
) -> None:
    last = END + dt.timedelta(days=366)
    dates: list[tuple[str, dt.date, int]] = [
        ("expected_birth_date", last, 0),
        ("expected_birth_date", last + ONE_DAY, 1),
        ("birth_date", day("1980-01-01"), 0),
        ("birth_date", day("1979-12-31"), 1),
    ]
    children = [{"child": str(n), column: date} for n, (column, date, _) in enumerate(dates)]
    profile = profiled(session, children=children, referrals=[])
    assert profile.found("impossible-date") == sum(n for _, _, n in dates)


def test_a_plan_that_ends_before_it_starts_is_out_of_order(session: Session) -> None:
    rows = [
        {"child": "a", "start_date": START, "end_date": START - ONE_DAY},
        {"child": "b", "start_date": START, "end_date": START},
    ]
    assert profiled(session, protection_plans=rows).found("out-of-order") == 1


def test_rows_of_the_same_thing_are_duplicates_and_may_contradict_each_other(
    session: Session,
) -> None:
    rows = [
        referral(1, START, closure_reason="RC1"),
        referral(1, START, closure_reason="RC2"),
        referral(2, START, return_year=2010),
        referral(2, START, return_year=2011, primary_need="N2"),
        referral(3, START),
    ]
    children = [{"child": "c1", "sex": "male"}, {"child": "c1", "sex": "female"}, {"child": "c2"}]
    profile = profiled(session, children=children, referrals=rows)
    assert told(profile, "duplicate") == [
        ("children", "330", 2010, 3, 1),
        ("referrals", "330", 2010, 5, 1),
    ]
    assert told(profile, "conflict-between-years") == [
        ("referrals", "330", 2010, 5, 1),
        ("referrals", "330", 2010, 5, 1),
    ]
    assert told(profile, "conflicting-gender") == [("children", "330", 2010, 3, 1)]


def test_a_row_with_several_faults_counts_once_in_its_cell(session: Session) -> None:
    bad = referral(
        1, START, primary_need=None, referral_source=None, closure_date=day("1950-01-01")
    )
    profile = profiled(session, referrals=[bad, *(referral(n, START) for n in range(2, 5))])
    (row,) = profile.rows[profile.rows["table"] == "referrals"].to_dict("records")
    assert (row["n"], row["n_faulty"]) == (4, 1)


def test_rows_that_the_source_dropped_or_emptied_count_against_a_cell(session: Session) -> None:
    given = outcome_helpers.records(
        session, children=[], referrals=[referral(n, START) for n in range(8)]
    )
    check = {"source": "s", "table": "referrals", "column": "", "unit": "330", "period": 2010}
    checks = [
        {**check, "check": "unreadable", "n": 10, "n_flagged": 2, "action": "dropped"},
        {**check, "check": "impossible-date", "n": 8, "n_flagged": 1, "action": "set to missing"},
        {**check, "check": "out-of-scope", "n": 9, "n_flagged": 9, "action": "dropped"},
        {**check, "check": "missing", "n": 9, "n_flagged": 9, "action": "kept"},
    ]
    profile = profile_records(replace(given, quality=QualityProfile.of(checks)), (), session)
    cell = profile.cells[profile.cells["period"] == 2010].iloc[0]
    assert (cell["n"], cell["n_faulty"], cell["share"]) == (10, 3, 0.3)


def test_tables_without_rules_have_a_profile(session: Session) -> None:
    rows = [
        {"period": 2015, "measure": "rate", "value": 1.0},
        {"period": 2015, "measure": "other-rate", "value": None},
        {"period": 2016, "measure": "rate", "value": 2.0},
    ]
    cases = [{"period": 2015, "value": 1.0}, {"period": 2015, "value": None}]
    given = outcome_helpers.records(session, children=[], published=rows, cases=cases)
    profile = profile_records(given, rules_for(load_plugins(), given), session)
    filled = profile.filling().set_index(["table", "column"])["share"].to_dict()
    assert filled["published", "rate"] == 1.0
    assert filled["published", "other-rate"] == 0.0
    assert filled["cases", "value"] == 0.5
    assert profile.found("missing:value") == 2


def test_a_rule_whose_table_is_not_there_is_not_asked_and_told(session: Session) -> None:
    given = outcome_helpers.records(session, referrals=[referral(1, START, nfa=True)])
    asked = rules_for(load_plugins(), given)
    rules = profile_records(given, asked, session).rules
    left_out = set(rules.loc[~rules["judged"], "fault"])
    assert left_out == {rule.name for rule in asked if set(rule.needs) - {*given.tables}}
    assert {"cin:8831", "cin:2990"} <= left_out
    assert "cin:1103" not in left_out


def test_records_without_rows_have_an_empty_profile(session: Session) -> None:
    profile = profiled(session, referrals=[], episodes=[])
    assert profile.cells.empty
    assert profile.summary().empty
    assert profile.filling().empty
    assert trust_map(profile, Labels({}), "map") is None


def test_rows_are_counted_as_plain_pandas_counts_them(session: Session) -> None:
    tables = random_tables(5)
    given = outcome_helpers.records(session, **tables)
    profile = profile_records(given, rules_for(load_plugins(), given), session)
    episodes = pd.DataFrame(tables["episodes"])
    one_alone = episodes["end_date"].isna() != episodes["reason_end"].isna()
    assert profile.found("ssda903:148") == one_alone.sum() > 0
    referrals = pd.DataFrame(tables["referrals"])
    no_reason = referrals["closure_date"].notna() & referrals["closure_reason"].isna()
    assert profile.found("cin:8805") == no_reason.sum() > 0
    for name in ("referrals", "assessments", "episodes"):
        assert profile.rows.loc[profile.rows["table"] == name, "n"].sum() == len(tables[name])


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.filterwarnings("ignore:The copy keyword is deprecated")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_spark_gives_the_same_profile(session: Session, spark: Any) -> None:
    chosen = ("referrals", "section47s", "protection_plans", "episodes")
    tables = {name: rows for name, rows in random_tables(1, 40).items() if name in chosen}
    tables["children"] = []
    there = Session(backend=spark)
    profiles = []
    for place in (session, there):
        given = outcome_helpers.records(place, **tables)
        profiles.append(profile_records(given, rules_for(load_plugins(), given), place))
    there.release()
    here, far = (
        replace(p, completeness=p.completeness.sort_values(["table", "column", "unit", "period"]))
        for p in profiles
    )
    assert len(here.faults) > 20
    for name in ("completeness", "faults", "cells", "rows", "rules"):
        pd.testing.assert_frame_equal(
            getattr(here, name).reset_index(drop=True),
            getattr(far, name).reset_index(drop=True),
            check_dtype=False,
        )


# Series -------------------------------------------------------------------------------------------

YEARS = range(2010, 2020)
SETTINGS = ProfileSettings()


def series(*counts: list[int], filled: list[list[int]] | None = None) -> pd.DataFrame:
    """Rows of referrals by authority (900, 901, ...) and year."""
    rows = [
        {"table": "referrals", "column": "nfa", "unit": str(900 + i), "period": year, "n": n}
        | ({"n_filled": filled[i][k]} if filled else {})
        for i, own in enumerate(counts)
        for k, (year, n) in enumerate(zip(YEARS, own, strict=True))
        if n
    ]
    return pd.DataFrame(rows)


def places(cells: pd.DataFrame) -> list[tuple[str, int]]:
    return list(zip(cells["unit"], cells["period"], strict=True))


STEADY = [[200 + 3 * i + (7 * k + i) % 11 for k in range(10)] for i in range(7)]


def test_a_year_without_rows_is_missing_where_others_have_many() -> None:
    gap, few, enough = [200] * 10, [19] * 10, [20] * 10
    gap[3] = few[4] = enough[5] = 0
    breaks = missing_years(series(gap, few, enough), YEARS, SETTINGS)
    assert places(breaks) == [("900", 2013), ("902", 2015)]
    assert list(breaks["n"]) == [200, 20]


def test_a_year_that_jumps_is_a_break_and_the_next_one_is_not() -> None:
    spike = [200, 200, 200, 200, 400, 200, 200, 200, 200, 200]
    breaks = breaks_in_numbers(series(spike, *STEADY), YEARS, SETTINGS)
    assert places(breaks) == [("900", 2014)]


def test_a_new_level_is_told_once() -> None:
    level = [200] * 6 + [100] * 4
    breaks = breaks_in_numbers(series(level, *STEADY), YEARS, SETTINGS)
    assert places(breaks) == [("900", 2016)]


def test_what_all_authorities_share_is_no_break() -> None:
    shared = [[n * (3 if k >= 5 else 1) for k, n in enumerate(own)] for own in STEADY]
    own = [200] * 10
    breaks = breaks_in_numbers(series(own, *shared), YEARS, SETTINGS)
    assert places(breaks) == [("900", 2015)]


@pytest.mark.parametrize(("n", "breaks"), [(1390, []), (1415, [("900", 2015)])])
def test_a_break_needs_the_ratio_of_the_settings(n: int, breaks: list[tuple[str, int]]) -> None:
    big = [[1000] * 10 for _ in range(8)]
    big[0][5] = n
    assert places(breaks_in_numbers(series(*big), YEARS, SETTINGS)) == breaks


def test_small_numbers_vary_by_chance() -> None:
    small = [31, 52, 40, 60, 33, 45, 58, 31, 49, 36]
    assert breaks_in_numbers(series(small, *STEADY), YEARS, SETTINGS).empty


def test_a_column_that_is_no_longer_filled_breaks_its_series() -> None:
    counts = [[100] * 10 for _ in range(5)]
    filled = [[90] * 10 for _ in range(5)]
    filled[2][4:] = [60] * 6
    breaks = breaks_in_filling(series(*counts, filled=filled), YEARS, SETTINGS)
    assert places(breaks) == [("902", 2014)]
    assert list(breaks["column"]) == ["nfa"]
    filled[2][4:] = [70] * 6
    assert breaks_in_filling(series(*counts, filled=filled), YEARS, SETTINGS).empty


def test_years_count_as_covered_by_the_records_or_by_most_authorities(session: Session) -> None:
    rows = [
        referral(n, day(f"{2010 + n}-06-01"), unit=str(900 + k)) for n in range(6) for k in (0, 1)
    ]
    rows.append(referral(99, day("2001-06-01"), unit="902"))
    given = outcome_helpers.records(session, children=[], referrals=rows)
    profile = profile_records(given, (), session)
    assert (profile.first_year, profile.last_year) == (START.year, END.year - 1)
    profile = profile_records(replace(given, start=None, end=None), (), session)
    assert (profile.first_year, profile.last_year) == (2010, 2015)


# Pilots -------------------------------------------------------------------------------------------


def test_the_coverage_of_a_pilot_tells_years_and_faults_before_and_after() -> None:
    cells = pd.DataFrame(
        {
            "unit": "901",
            "period": [2010, 2011, 2012, 2013],
            "n": [10, 30, 0, 20],
            "n_faulty": [1, 1, 0, 10],
            "share": [0.1, 1 / 30, None, 0.5],
            "missing": [0, 0, 1, 0],
            "breaks": [0, 1, 0, 0],
        }
    )
    pilots = (Pilot("901", None, None, 2012), Pilot("902", None, None, 2012))
    coverage = pilot_coverage(RecordProfile(cells=cells), pilots, {"901": "Here"})
    first, second = coverage.to_dict("records")
    years = {"years_before": 2, "years_after": 1, "years_missing": 1, "breaks": 1}
    shares = {"share_before": 0.05, "share_after": 0.5}
    assert first == {"unit": "901", "name": "Here", "cohort": 2012, **years, **shares}
    assert (second["years_before"], second["years_after"], second["breaks"]) == (0, 0, 0)


# The map ------------------------------------------------------------------------------------------


def cells_of(n_units: int, years: range = YEARS) -> RecordProfile:
    rows = [
        {"unit": f"{i:03d}", "period": y, "n": 100, "n_faulty": i % 50, "share": (i % 50) / 100}
        for i in range(n_units)
        for y in years
    ]
    cells = pd.DataFrame(rows).assign(missing=0, breaks=0)
    cells.loc[cells["unit"] == "005", ["n", "n_faulty", "missing"]] = (0, 0, 1)
    cells.loc[cells["unit"] == "005", "share"] = None
    return RecordProfile(cells=cells, first_year=years[0], last_year=years[-1])


@pytest.mark.pictures
def test_the_map_puts_pilots_first_then_missing_years_then_the_worst() -> None:
    names = Labels({f"{i:03d}": f"Authority {i}" for i in range(12)})
    chart = trust_map(cells_of(12), names, "map", {"003"})
    assert chart is not None
    order = [row["unit"] for row in chart.table.frame.to_dict("records")]
    assert order[:3] == ["003", "005", "011"]
    labels = lxml_html.fromstring(f"<div>{chart.svg}</div>").xpath("//text/text()")
    drawn = [label for label in labels if label.startswith("Authority")]
    assert drawn[:3] == ["Authority 3", "Authority 5", "Authority 11"]
    assert labels.count("none") == len(YEARS)


@pytest.mark.pictures
def test_a_map_of_every_authority_is_drawn_in_parts_that_fit_a_page() -> None:
    names = Labels({f"{i:03d}": f"Authority {i}" for i in range(152)})
    chart = trust_map(cells_of(152), names, "map", {"003"})
    assert chart is not None
    pictures = lxml_html.fromstring(f"<div>{chart.svg}</div>").xpath("//svg")
    assert len(pictures) == 4
    ids = [p.get("aria-labelledby") for p in pictures]
    assert len(set(ids)) == 4
    drawn = [t for p in pictures for t in p.xpath(".//text/text()") if t.startswith("Authority")]
    assert len(drawn) == len(set(drawn)) == 152
    assert len(chart.table.frame) == 152


# The commands -------------------------------------------------------------------------------------


def call(*words: object) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cases = study_helpers.table(cases=10)
    cases.loc[(cases["unit"] == "901") & (cases["period"] == 2010), "sex"] = None
    return study_helpers.write(tmp_path_factory.mktemp("profile"), cases=cases)


def test_a_study_is_profiled_with_its_pilots_and_steps_and_not_analysed(study: Path) -> None:
    result = call("profile", study)
    assert result.exit_code == 0, result.output
    for words in ("A small study: 17 authorities, April 2008 to March 2020.", "Pilots", "sex",
                  "901 2010 0.0%", "Rows dropped on the way to cases"):  # fmt: skip
        assert words in result.stdout


def test_a_source_is_profiled_without_a_study(study: Path) -> None:
    words = ("profile", "--source", "tidy", "--set", "path=cases.csv", "--data", study.parent)
    result = call(*words, "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["first_year"] == 2008
    sums = {row["table"]: row["n"] for row in data["rows"] if row["unit"] == "901"}
    assert sums == {"cases": 10}
    assert data["coverage"] == []


@pytest.mark.pictures
def test_the_profile_is_written_as_a_page_figures_and_tables(study: Path, tmp_path: Path) -> None:
    result = call("profile", study, "--out", tmp_path / "out", "--html", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out" / "profile.html").read_text(encoding="utf-8")
    assert page == (tmp_path / "page.html").read_text(encoding="utf-8")
    tree = lxml_html.fromstring(page)
    assert tree.xpath("//figure//svg[@role='img']")
    assert tree.xpath("//table[@id='trust-table']//th[@scope='row']")
    assert "http:" not in page
    data = json.loads((tmp_path / "out" / "profile.json").read_text(encoding="utf-8"))
    assert len(data["coverage"]) == len(study_helpers.PILOTS)
    cells = pd.read_csv(tmp_path / "out" / "cells.csv")
    assert len(cells) == 17 * 12
    assert not [p for p in (tmp_path / "out").iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "Name a study file, or a source with --source, and not both."),
        (["{study}", "--source", "tidy"], "Name a study file, or a source with --source, and not"),
        (["--source", "tydi"], "Source 'tydi' is not registered. Registered: "),
        (["--source", "tidy", "--set", "path=none.csv"], "There is no file "),
        (["--source", "ssda903", "--set", 'paths=["none"]', "--set", 'authority="901"'], "none"),
        (["--source", "tidy", "--set", "pth=x"], "unknown setting 'pth'. "),
        (["nothing.toml"], "There is no study file at nothing.toml."),
        (["--source", "tidy", "--memory", "banana"], "'banana' must be a size of memory such as"),
        (["--source", "tidy", "--memory", "-1GB"], "'-1GB' must be a size of memory such as"),
        (["{study}", "--memory", "0"], "must be a size of memory such as"),
        (["{study}", "--out", "{file}/out"], "cannot be written"),
        (["{study}", "--html", "{file}/x.html"], "cannot be written"),
    ],
)
def test_every_error_is_a_sentence(
    study: Path, words: list[str], error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.parent)
    file = study.parent / "cases.csv"
    result = call("profile", *(word.format(study=study, file=file) for word in words))
    assert result.exit_code != 0
    assert error in result.stderr
    assert "Traceback" not in result.output


def test_the_cut_offs_are_settings_of_the_study(study: Path, tmp_path: Path) -> None:
    text = study_helpers.STUDY + "\n[profile]\nbreak_ratio = 1.05\nbreak_rows = 5\n"
    other = study_helpers.write(tmp_path, text)
    assert Study.from_toml(other).plan.file.profile.break_ratio == 1.05
    bad = study_helpers.write(tmp_path, study_helpers.STUDY + "\n[profile]\nbreak_ratio = 1\n")
    assert "profile.break_ratio" in call("profile", bad).stderr


# The study ----------------------------------------------------------------------------------------


def test_a_result_carries_the_profile_and_is_read_back_as_it_was(study: Path) -> None:
    result = Study.from_toml(study).run(workers=1)
    assert result.profile is not None
    assert result.profile.found("missing:value") == 0
    assert len(result.coverage) == len(study_helpers.PILOTS)
    quality = result.outcomes[0].quality
    assert (quality["faulty_share_before"], quality["faulty_share_after"]) == (0.0, 0.0)
    again = StudyResult.from_json(result.to_json())
    assert again.to_json() == result.to_json()
    assert again.profile is not None
    pd.testing.assert_frame_equal(
        again.profile.cells, result.profile.cells, check_dtype=False, check_column_type=False
    )


def test_rows_at_fault_are_counted_in_the_tables_that_an_outcome_reads() -> None:
    rows = pd.DataFrame(
        {
            "table": ["referrals", "children", "episodes"],
            "unit": "901",
            "period": 2010,
            "n": [10, 20, 40],
            "n_faulty": [1, 2, 40],
        }
    )
    profile = RecordProfile(rows=rows).at_fault(("referrals", "children"))
    assert profile.to_dict("records") == [{"unit": "901", "period": 2010, "n": 30, "n_faulty": 3}]
    assert RecordProfile().at_fault(("referrals",)).empty


# Made-up returns of others ------------------------------------------------------------------------


def read(source: str, shared: Path, **values: Any) -> tuple[Records, RecordProfile]:
    registry, session = load_plugins(), Session(base=shared / "data")
    settings = registry.settings("source", source, values, "test")
    records = registry.source(source).read(settings, session)
    return records, profile_records(records, rules_for(registry, records), session)


def test_a_made_up_return_breaks_the_checks_that_plain_pandas_counts(shared: Path) -> None:
    _, profile = read("ssda903", shared, paths=["ssda903"], authority="900")
    plain = pd.read_csv(shared / "data/ssda903/episodes.csv", dtype=str)
    temporary = plain["PLACE"].isin(["T0", "T1", "T2", "T3", "T4"])
    expected = {
        "ssda903:148": (plain["DEC"].isna() != plain["REC"].isna()).sum(),
        "ssda903:380": (temporary & ~plain["RNE"].isin(["P", "B"])).sum(),
        "ssda903:381": (temporary & (plain["REC"] != "X1") & plain["REC"].notna()).sum(),
    }
    assert {name: profile.found(name) for name in expected} == expected
    assert min(expected.values()) > 0


def test_published_figures_are_missing_where_they_are_suppressed(shared: Path) -> None:
    records, profile = read("published", shared, folder="published")
    checks = records.quality.checks
    suppressed = checks.loc[checks["check"] == "suppressed", "n_flagged"].sum()
    assert profile.found("missing:value") == suppressed > 0
    assert set(profile.completeness["column"]) == set(
        records.table("published").select("measure").distinct().to_pandas()["measure"]
    )


# What a run minds, a profile minds too ------------------------------------------------------


SECRETS = ("anna", "pw1234", "hunter2")


def test_no_password_and_no_home_is_in_what_is_written(tmp_path: Path) -> None:
    text = study_helpers.STUDY.replace("A small study", "From /home/anna/records, token=hunter2")
    path = study_helpers.write(tmp_path / "study", text)
    pilots = path.parent / "pilots.csv"
    pilots.write_text(pilots.read_text().replace("Pilot 901", "sftp://a:pw1234@host/x"))
    result = call("profile", path, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    written = [file.read_text("utf-8") for file in (tmp_path / "out").iterdir()]
    assert [text for text in (*written, result.stdout) if any(s in text for s in SECRETS)] == []
    assert json.loads(result.stdout)["title"] == "From ~/records, token=***"
    names = pd.read_csv(tmp_path / "out" / "coverage.csv")["name"]
    assert list(names[:2]) == ["sftp://a:***@host/x", "Pilot 902"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such mask")
@pytest.mark.parametrize("of_study", [True, False])
def test_files_made_while_a_profile_is_made_are_private(
    study: Path, monkeypatch: pytest.MonkeyPatch, of_study: bool
) -> None:
    masks = []
    original = Tidy.read

    def read(*given: Any) -> Records:
        mask = os.umask(0o022)
        os.umask(mask)
        masks.append(mask)
        return original(*given)

    monkeypatch.setattr(Tidy, "read", read)
    words = [study] if of_study else ["--source", "tidy", "--set", f"path={study.parent}/cases.csv"]
    assert call("profile", *words, "-q").exit_code == 0
    assert masks == [0o077]


@pytest.mark.parametrize("of_study", [True, False])
def test_a_profile_that_took_more_memory_than_asked_says_so(
    study: Path, monkeypatch: pytest.MonkeyPatch, of_study: bool
) -> None:
    monkeypatch.setattr("sos_plugins.system.memory.most_taken", lambda: 10**13)
    words = [study] if of_study else ["--source", "tidy", "--set", f"path={study.parent}/cases.csv"]
    result = call("profile", *words, "--memory", "8GB", "--json", "-q")
    assert result.exit_code == 0, result.output
    (told,) = [note for note in json.loads(result.stdout)["notes"] if "memory" in note]
    assert "more than the 8GB of 'memory'" in told
    assert "by the end of profiling" in told
