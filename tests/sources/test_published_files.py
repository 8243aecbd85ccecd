"""Releases under new names, answers of the statistics service, and what a folder holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sos_sources.published.files import PublishedFile
from sos_sources.published.meanings import meaning
from sos_sources.published.measures import MEASURES
from sos_sources.published.source import Published, PublishedSettings
from source_helpers import flagged, rows

from sos_plugins import FileDescription, Records, Session
from sos_plugins.cli import main
from sos_plugins.errors import DataError
from sos_plugins.host.settings import validate

HEAD = "time_period,time_identifier,geographic_level,old_la_code,new_la_code,la_name"


def read(folder: Path, **values: Any) -> Records:
    settings = validate(PublishedSettings, {"folder": ".", **values}, where="test")
    return Published().read(settings, Session(base=folder))


def figures(folder: Path) -> dict[tuple[str, str, int], float | None]:
    return {
        (f["measure"], f["unit"], f["period"]): f["value"] for f in rows(read(folder), "published")
    }


def put(folder: Path, name: str, columns: str, *lines: str) -> None:
    """Write a release: a line has the year, the code of an authority, and the figures."""
    text = [f"{HEAD},{columns}"]
    for line in lines:
        year, code, values = line.split(",", 2)
        text.append(f"{year},Reporting year,Local authority,{code},E{code},Town {code},{values}")
    (folder / name).write_text("\n".join(text) + "\n")


# What names mean.


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Re_referrals_percent", "rereferral_percent"),
        ("Re_referrals_percent", "Percentage of re-referrals"),
        ("referral_count", "Number of referrals in the year"),
        ("Section47_rate", "section_47_enquiries_per_10000_children"),
        ("ICPC", "initial_child_protection_conference_count"),
        ("CPP_At31_rate", "Rate of child protection plans at 31 March per 10,000 children"),
        ("CPP_start", "number_of_child_protection_plans_starting_during_the_year"),
        ("No_Further_Action_percent", "nfa_pct"),
        ("Assessments_completed_rate", "completed assessments rate per 10,000"),
        ("old_la_code", "la_oldCode"),
        ("time_period", "timePeriod"),
    ],
)
def test_names_of_one_meaning(name: str, other: str) -> None:
    assert meaning(name) == meaning(other)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("referral_count", "referral_child_count"),
        ("referral_count", "rereferral_count"),
        ("rereferral_percent", "rereferral_child_percent"),
        ("rereferral_percent", "rereferral_rate"),
        ("CPP_start", "CPP_subsequent"),
        ("CPP_At31", "CPP_At31_3Months"),
        ("At31_episodes", "At31_episodes_disability_recorded"),
        ("Assessments_completed", "Awaiting_assessment"),
        ("Median_days", "25th_Percentile_days"),
        ("old_la_code", "new_la_code"),
        ("not_in_need_percent", "children_in_need_percent"),
    ],
)
def test_names_of_different_meaning(name: str, other: str) -> None:
    assert meaning(name) != meaning(other)


@pytest.mark.parametrize(
    ("columns", "measures"),
    [
        (
            "Anypoint_episodes,Anypoint_child,Started_episodes,Started_child,Ended_episodes,"
            "Ended_child,At31_episodes,awaiting_assessment",
            {"cin-rate"},
        ),
        (
            "referral_count,rereferral_count,rereferral_percent,no_further_action_count,"
            "no_further_action_percent,not_in_need_count,not_in_need_percent,referral_child_count,"
            "rereferral_child_count,rereferral_child_percent",
            {"referral-rate", "rereferral-rate", "nfa-percent", "not-in-need-percent"},
        ),
        ("CPP_start,CPP_subsequent,CPP_subsequent_percent", {"cpp-start-rate"}),
        ("CPP_At31,3_months_or_less,3_months_or_less_percent,2_years_or_more", {"cpp-rate"}),
        (
            "population_type,population_estimate,children_count,rate_per_10000",
            {"cla-rate", "cla-start-rate", "cla-end-rate"},
        ),
        ("age_group,population_estimate", {"child-population"}),
        ("characteristic,breakdown,children_count,children_percent", set()),
        ("cla_group,placement_stability,children_count,children_percent", set()),
        ("CPP_At31_3Months,Reviewed_within_timescales,Reviewed_within_timescales_percent", set()),
    ],
)
def test_the_tables_of_2025_give_what_they_hold_and_no_more(
    columns: str, measures: set[str]
) -> None:
    """Columns of tables B1, C1, D3, D5, D6 and of the looked-after release of 2025."""
    file = PublishedFile(Path("x"), (*HEAD.split(","), "category", *columns.split(",")))
    assert {m.name for m in MEASURES if file.holds(m) or file.counts(m)} == measures


def test_a_bare_median_is_that_of_the_count_beside_it(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "completed_assessments,median_days", "2025,330,10,34")
    put(tmp_path, "b.csv", "icpc_count,median_days", "2025,330,10,14")
    assert figures(tmp_path) == {
        ("assessment-duration-median", "330", 2024): 34.0,
        ("icpc-duration-median", "330", 2024): 14.0,
    }
    put(tmp_path, "b.csv", "icpc_count,assessments_completed,median_days", "2025,330,10,9,14")
    assert ("icpc-duration-median", "330", 2024) not in figures(tmp_path)


def test_two_columns_of_one_meaning_are_refused(tmp_path: Path) -> None:
    columns = "Re_referrals_percent,rereferral_percent"
    put(tmp_path, "a.csv", columns, "2025,330,20,21")
    sentence = r"a\.csv: the columns 'Re_referrals_percent' and 'rereferral_percent' mean the same"
    with pytest.raises(DataError, match=sentence):
        read(tmp_path)
    (told,) = Published().describe_files(tmp_path, Session(base=tmp_path))
    assert not told.is_known
    assert "mean the same" in told.why


def test_of_a_breakdown_the_total_is_read(tmp_path: Path) -> None:
    lines = ("2025,330,Total,400,22.5", "2025,330,Female,190,20", "2025,330,Male,210,25")
    put(tmp_path, "a.csv", "gender,referral_count,rereferral_percent", *lines)
    assert figures(tmp_path) == {("rereferral-rate", "330", 2024): 22.5}
    assert flagged(read(tmp_path), "published", "breakdown", "out-of-scope") == 2


def test_a_published_rate_goes_before_one_of_counts(tmp_path: Path) -> None:
    put(tmp_path, "d1.csv", "CPP_At31,CPP_At31_rate", "2024,330,40,50.3")
    put(tmp_path, "d5.csv", "CPP_At31,2_years_or_more", "2024,330,40,3")
    put(tmp_path, "p.csv", "age_group,population_estimate", "2023,330,Children aged 0 to 17,8000")
    assert figures(tmp_path)["cpp-rate", "330", 2023] == 50.3
    put(tmp_path, "d5.csv", "CPP_At31,2_years_or_more", "2024,330,40,3", "2025,330,44,3")
    assert figures(tmp_path)["cpp-rate", "330", 2023] == 50.0  # the release that reaches further


# Answers of the statistics service.

INDICATORS = {"04nTr": "referral_count", "9bQx1": "rereferral_percent"}
PLACES = {"pTFVh": ("330", "E08000025", "Birmingham"), "e0768": ("302", "E09000003", "Barnet")}
META = {
    "filters": [
        {
            "id": "gIyO9",
            "column": "gender",
            "label": "Gender",
            "options": [
                {"id": "1oX7c", "label": "Total", "isAggregate": True},
                {"id": "uKR2K", "label": "Male"},
            ],
        }
    ],
    "indicators": [{"id": i, "column": c, "label": c.title()} for i, c in INDICATORS.items()],
    "geographicLevels": [{"code": "LA", "label": "Local authority"}],
    "locations": [
        {
            "level": {"code": "NAT", "label": "National"},
            "options": [{"id": "2FmYX", "code": "E92000001", "label": "England"}],
        },
        {
            "level": {"code": "LA", "label": "Local authority"},
            "options": [
                {"id": i, "oldCode": old, "code": code, "label": name}
                for i, (old, code, name) in PLACES.items()
            ],
        },
    ],
    "timePeriods": [{"code": "RY", "period": "2025", "label": "2025"}],
}
FIGURES = (
    ("2025", "pTFVh", "1oX7c", ("1200", "22.5")),
    ("2025", "pTFVh", "uKR2K", ("600", "23.5")),
    ("2025", "e0768", "1oX7c", ("900", "c")),
    ("2025", None, "1oX7c", ("632830", "22.6")),
    ("2024", "pTFVh", "1oX7c", ("1100", "21.5")),
    ("2024", "e0768", "1oX7c", ("800", "18")),
)
EXPECTED = {
    ("rereferral-rate", "330", 2024): 22.5,
    ("rereferral-rate", "302", 2024): None,
    ("rereferral-rate", "330", 2023): 21.5,
    ("rereferral-rate", "302", 2023): 18.0,
}


def results(*, debug: bool = False) -> list[dict[str, Any]]:
    """The figures as the service gives them."""
    labels = {"1oX7c": "Total", "uKR2K": "Male"}

    def words(one: str, text: str) -> str:
        return f"{one} :: {text}" if debug else one

    made = []
    for period, place, item, values in FIGURES:
        locations = {"NAT": words("2FmYX", "England (code = E92000001)")}
        if place is not None:
            old, code, name = PLACES[place]
            locations["LA"] = words(place, f"{name} (code = {code}, oldCode = {old})")
        made.append(
            {
                "timePeriod": {"code": "RY", "period": period},
                "geographicLevel": "NAT" if place is None else "LA",
                "locations": locations,
                "filters": {words("gIyO9", "gender"): words(item, labels[item])},
                "values": {
                    words(i, column): value
                    for (i, column), value in zip(INDICATORS.items(), values, strict=True)
                },
            }
        )
    return made


def answer(some: list[dict[str, Any]], page: int = 1, of: int = 1) -> dict[str, Any]:
    paging = {"page": page, "pageSize": 3, "totalResults": len(FIGURES), "totalPages": of}
    return {"paging": paging, "warnings": [], "results": some}


def save(folder: Path, **files: Any) -> Path:
    for name, data in files.items():
        (folder / f"{name}.json").write_text(json.dumps(data))
    return folder


@pytest.mark.parametrize(
    "files",
    [
        {"all": answer(results()), "meta": META},
        {"p1": answer(results()[:3], 1, 2), "p2": answer(results()[3:], 2, 2), "meta": META},
        {"pages": [answer(results()[:3], 1, 2), answer(results()[3:], 2, 2)], "meta": META},
        {"rows": results(), "meta": META},
        {"words": answer(results(debug=True))},
    ],
    ids=["one page", "two files", "two pages in a file", "results alone", "debug"],
)
def test_answers_are_read_as_the_csv_file_is(tmp_path: Path, files: Mapping[str, Any]) -> None:
    records = read(save(tmp_path, **files))
    assert figures(tmp_path) == EXPECTED
    by_key = {(f["unit"], f["period"]): f for f in rows(records, "published")}
    assert by_key["302", 2024]["symbol"] == "c"
    assert by_key["330", 2024]["denominator"] == 1200.0
    assert records.unit_names == {"330": "Birmingham", "302": "Barnet"}
    assert set(records.files) == {f"{name}.json" for name in files}


def test_pages_of_one_answer_are_one_release(tmp_path: Path) -> None:
    """The page with the earlier years goes before an older release that reaches as far as it."""
    put(tmp_path, "old.csv", "referral_count,rereferral_percent", "2024,330,1,99")
    save(tmp_path, p1=answer(results()[:4], 1, 2), p2=answer(results()[4:], 2, 2), meta=META)
    assert figures(tmp_path) == EXPECTED
    told = Published().describe_files(tmp_path, Session(base=tmp_path))
    assert {one.release for one in told if one.file.startswith("p")} == {"Children in need 2025"}


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    meta: dict[str, Any] = json.loads(json.dumps(META))
    change(meta)
    return meta


def other_places(meta: dict[str, Any]) -> None:
    for place in meta["locations"][1]["options"]:
        place["oldCode"] = "999"


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "no file of metadata here explains them"),
        ({"meta": changed(lambda m: m["indicators"].pop())}, "no file of metadata here explains"),
        ({"meta": META, "other": changed(other_places)}, "explained differently by meta.json, ot"),
        ({"meta": changed(lambda m: m["locations"][1].pop("level"))}, "no file of metadata here"),
    ],
)
def test_ids_that_are_not_explained_are_never_guessed(
    tmp_path: Path, files: Mapping[str, Any], sentence: str
) -> None:
    put(tmp_path, "a.csv", "referral_count,rereferral_percent", "2024,330,10,20")
    save(tmp_path, results=answer(results()), **files)
    assert figures(tmp_path) == {("rereferral-rate", "330", 2023): 20.0}
    assert flagged(read(tmp_path), "files", "results.json", "unreadable") == 1
    told = {one.file: one for one in Published().describe_files(tmp_path, Session(base=tmp_path))}
    assert sentence in told["results.json"].why


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is no JSON that can be read"),
        ('{"a": 1}', "no answer of the statistics service"),
        ('{"results": [{"values": {"a": "1"}}]}', "result 1: expected timePeriod"),
        ('{"results": [{"timePeriod": {}, "values": {}, "filters": {"a": 1}}]}', "result 1: expec"),
        ('{"indicators": [{}], "locations": [], "timePeriods": []}', "metadata of a data set"),
        ('{"results": []}', "no column of published statistics"),
    ],
)
def test_other_json_is_told(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "x.json").write_text(text)
    (told,) = Published().describe_files(tmp_path, Session(base=tmp_path))
    assert (told.file, told.is_known) == ("x.json", False)
    assert sentence in told.why


def test_a_missing_page_is_refused(tmp_path: Path) -> None:
    save(tmp_path, p2=answer(results()[3:], 2, 3), meta=META)
    with pytest.raises(DataError, match=r"p2\.json is page 2 of 3 .* lacks pages 1, 3\. Fetch"):
        read(tmp_path)


def test_tables_that_clients_make_of_answers_are_read(tmp_path: Path) -> None:
    """Codes of levels and years, and the code of the authority as ``la_oldCode``."""
    (tmp_path / "client.csv").write_text(
        "time_period,time_identifier,geographic_level,nat_code,la_name,la_code,la_oldCode,"
        "rereferral_percent\n"
        "2025,RY,LA,E92000001,Barnet,E09000003,302,18\n2025,RY,NAT,E92000001,,,,22.6\n"
    )
    assert figures(tmp_path) == {("rereferral-rate", "302", 2024): 18.0}


# What a folder holds.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(
        tmp_path,
        "c1.csv",
        "category,referral_count,rereferral_percent,referral_child_count",
        "2024,330,Referrals,10,20,9",
        "2025,330,Referrals,10,21,9",
    )
    put(tmp_path, "c9.csv", "category,re_referrals_within_a_year_pct", "2025,330,Return,21")
    (tmp_path / "national.csv").write_text(
        "time_period,time_identifier,geographic_level,country_name,referrals\n"
        "202425,Academic year,National,England,632830\n"
    )
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "packed.csv").write_bytes(b"\x1f\x8b\x08\x00")
    return tmp_path


def test_files_are_described(folder: Path) -> None:
    told = {one.file: one for one in Published().describe_files(folder, Session(base=folder))}
    assert told["c1.csv"] == FileDescription(
        "c1.csv",
        release="Children in need 2025",
        about="Referrals",
        first_period=2023,
        last_period=2024,
        levels=("Local authority",),
        gives=("rereferral-rate",),
        unread=("referral_child_count",),
        why="made of a count and the child population, of which no file is here, and so not read: "
        "referral-rate",
    )
    assert "'re_referrals_within_a_year_pct' is most like rereferral_percent" in told["c9.csv"].why
    assert told["c9.csv"].unread == ("re_referrals_within_a_year_pct",)
    assert told["national.csv"].why.startswith("no column old_la_code")
    assert told["national.csv"].first_period is None
    assert told["notes.txt"].why == "no .csv or .json file, by its name"
    assert "gzip" in told["packed.csv"].why
    assert [one.file for one in told.values() if one.is_known] == ["c1.csv"]


def call(*words: object) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_the_command_tells_what_a_folder_holds(folder: Path) -> None:
    page = call("files", folder)
    assert page.exit_code == 0, page.output
    assert "published: 1 of 5 files is read." in page.stdout
    assert "Children in need 2025, April 2023 to March 2025, Local authority" in page.stdout
    order = [page.stdout.index(text) for text in ("c1.csv", "Not read:", "c9.csv")]
    assert order == sorted(order)
    found = {one["file"]: one for one in json.loads(call("files", folder, "--json").stdout)}
    assert found["c1.csv"]["source"] == "published"
    assert found["c1.csv"]["gives"] == ["rereferral-rate"]
    assert not found["c9.csv"]["is_known"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("absent",), "There is no folder"),
        ((".", "--source", "tidy"), "tidy cannot tell what the files of a folder are"),
        ((".", "--source", "publshed"), "'publshed' is not registered"),
    ],
)
def test_the_command_says_what_it_cannot(words: tuple[str, ...], sentence: str) -> None:
    told = call("files", *words)
    assert told.exit_code == 1
    assert sentence in told.stderr
