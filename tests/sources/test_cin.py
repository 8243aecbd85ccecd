"""The census reader against the standard library's parser, and every oddity by hand."""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sos_sources.cin.census import CinCensus, CinCensusSettings
from source_helpers import Changes, changes, damaged, flagged, rows
from source_helpers import faults as all_faults
from variants import examples

from sos_plugins import Records, Session
from sos_plugins.contract.record_tables import TABLES
from sos_plugins.contract.types import EXAMPLE_COLUMNS, QUALITY_COLUMNS
from sos_plugins.errors import DataError, SosError
from sos_plugins.host.settings import validate

DAY = dt.date


def read(folder: Path, *, paths: Any = ".", **values: Any) -> Records:
    settings_ = validate(CinCensusSettings, {"paths": paths, **values}, where="test")
    return CinCensus().read(settings_, Session(base=folder))


def faults(records: Records) -> dict[tuple[str, str, str], int]:
    return {key: n for key, n in all_faults(records).items() if key[2] != "missing"}


def details(date: str = "2015-05-01", *inside: str, nfa: str = "false") -> str:
    referral = f"<CINreferralDate>{date}</CINreferralDate>" if date else ""
    return f"<CINdetails>{referral}{''.join(inside)}<ReferralNFA>{nfa}</ReferralNFA></CINdetails>"


def child(name: str = "C1", *inside: str, birth: str = "2010-02-03", sex: str = "1") -> str:
    identifier = f"<LAchildID>{name}</LAchildID>" if name else ""
    born = f"<PersonBirthDate>{birth}</PersonBirthDate>" if birth else ""
    return (
        f"<Child><ChildIdentifiers>{identifier}{born}<GenderCurrent>{sex}</GenderCurrent>"
        "</ChildIdentifiers><ChildCharacteristics><Ethnicity>WBRI</Ethnicity>"
        f"</ChildCharacteristics>{''.join(inside or (details(),))}</Child>"
    )


def message(*children: str, unit: str = "330", reference: str = "2016-03-31") -> str:
    lea = f"<Source><LEA>{unit}</LEA></Source>" if unit else ""
    day = f"<ReferenceDate>{reference}</ReferenceDate>" if reference else ""
    return (
        "<Message><Header><CollectionDetails><Collection>CIN</Collection>"
        f"{day}</CollectionDetails>{lea}</Header><Children>{''.join(children)}</Children></Message>"
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def to_files(*texts: str) -> Path:
        for i, text in enumerate(texts):
            (tmp_path / f"return_{i}.xml").write_text(text, encoding="utf-8")
        return tmp_path

    return to_files


# The sample returns, counted with the parser of the standard library.


def _texts(parent: ET.Element, name: str) -> list[str | None]:
    return [(e.text or "").strip() or None for e in parent.findall(name)]


def _day(text: str | None) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text) if text else None
    except ValueError:
        return None


@pytest.mark.parametrize("name", ["CIN_Census_2021", "CIN_Census_2024", "fake_CIN_data"])
def test_every_row_of_the_samples_is_accounted_for(shared: Path, name: str) -> None:
    path = shared / "data" / "cin_census" / f"{name}.xml"
    low, days_after = DAY(1900, 1, 1), 92
    records = read(
        path.parent,
        paths=path.name,
        earliest_event=low,
        earliest_birth=low,
        days_after_return=days_after,
    )
    root = ET.parse(path).getroot()
    assert records.end is not None
    last = records.end + dt.timedelta(days=days_after)
    children = root.findall("./Children/Child")
    assert len(rows(records, "children")) == len(
        {c.findtext("ChildIdentifiers/LAchildID") for c in children}
    )

    dated, undated = set(), 0
    for one in children:
        for part in one.findall("CINdetails"):
            day = _day(part.findtext("CINreferralDate"))
            if day and low <= day <= last:
                dated.add((one.findtext("ChildIdentifiers/LAchildID"), day))
            else:
                undated += 1
    referrals = {(r["child"], r["referral_date"]) for r in rows(records, "referrals")}
    assert referrals == dated
    n_details = len(root.findall("./Children/Child/CINdetails"))
    merged = flagged(records, "referrals", "", "duplicate")
    assert flagged(records, "referrals", "referral_date", "missing") == undated
    assert len(referrals) + undated + merged == n_details
    for table, tag in (
        ("assessments", "Assessments"),
        ("section47s", "Section47"),
        ("protection_plans", "ChildProtectionPlans"),
    ):
        n = len(root.findall(f"./Children/Child/CINdetails/{tag}"))
        assert len(rows(records, table)) + flagged(records, table, "", "duplicate") == n


def test_values_of_a_sample_return(shared: Path) -> None:
    folder = shared / "data" / "cin_census"
    records = read(folder, paths="fake_CIN_data.xml")
    root = ET.parse(folder / "fake_CIN_data.xml").getroot()
    expected = Counter(
        (part.findtext("PrimaryNeedCode"), part.findtext("ReferralSource"))
        for part in root.findall("./Children/Child/CINdetails")
        if (part.findtext("CINreferralDate") or "") <= "2023-07-01"
    )
    counts = Counter((r["primary_need"], r["referral_source"]) for r in rows(records, "referrals"))
    assert counts == expected
    assert all(r["nfa"] is True for r in rows(records, "referrals"))
    ethnic = Counter(e for c in root.iter("ChildCharacteristics") for e in _texts(c, "Ethnicity"))
    assert Counter(r["ethnicity"] for r in rows(records, "children")) == ethnic


# Each oddity alone.


def test_tables_have_the_schema_and_the_profile_its_columns(write: Any) -> None:
    records = read(write(message(child())))
    for name in CinCensus.gives:
        assert records.tables[name].to_pyarrow().schema.equals(TABLES[name])
    assert tuple(records.quality.checks.columns) == QUALITY_COLUMNS
    assert tuple(records.quality.examples.columns) == EXAMPLE_COLUMNS
    assert (records.start, records.end) == (DAY(2015, 4, 1), DAY(2016, 3, 31))
    assert records.files == ("return_0.xml",)
    assert faults(records) == {}


@pytest.mark.parametrize(
    ("tag", "code", "sex"),
    [
        ("GenderCurrent", "1", "male"),
        ("GenderCurrent", "2", "female"),
        ("GenderCurrent", "0", None),
        ("GenderCurrent", "9", "indeterminate"),
        ("Sex", "M", "male"),
        ("Sex", "f", "female"),
        ("Sex", "U", None),
    ],
)
def test_sex_in_either_element(write: Any, tag: str, code: str, sex: str | None) -> None:
    text = message(child(sex=code)).replace("GenderCurrent", tag)
    records = read(write(text))
    assert rows(records, "children")[0]["sex"] == sex
    assert flagged(records, "children", "sex", "unknown-code") == 0


def test_unknown_codes_are_counted_and_kept_but_sex_has_no_room_for_them(write: Any) -> None:
    text = message(
        child("C1", details("2015-05-01", "<PrimaryNeedCode>n77</PrimaryNeedCode>"), sex="7")
    )
    records = read(write(text))
    assert rows(records, "referrals")[0]["primary_need"] == "N77"
    assert rows(records, "children")[0]["sex"] is None
    assert faults(records) == {
        ("referrals", "primary_need", "unknown-code"): 1,
        ("children", "sex", "unknown-code"): 1,
    }
    examples = records.quality.examples
    assert set(examples.loc[examples["check"] == "unknown-code", "text"]) == {"N77", "7"}


def test_an_unborn_child(write: Any) -> None:
    text = message(
        child(birth="", sex="0").replace(
            "<GenderCurrent>",
            "<ExpectedPersonBirthDate>2016-08-01</ExpectedPersonBirthDate><GenderCurrent>",
        )
    )
    records = read(write(text))
    one = rows(records, "children")[0]
    assert (one["birth_date"], one["expected_birth_date"]) == (None, DAY(2016, 8, 1))
    assert flagged(records, "children", "birth_date", "missing") == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("TRUE", True), ("1", True), ("False", False), ("0", False), ("yes", None)],
)
def test_referral_nfa_in_every_spelling(write: Any, text: str, value: bool | None) -> None:
    records = read(write(message(child("C1", details(nfa=text)))))
    assert rows(records, "referrals")[0]["nfa"] is value
    assert flagged(records, "referrals", "nfa", "unreadable") == (value is None)


def test_several_referrals_and_modules_and_a_conference_in_either_place(write: Any) -> None:
    section47 = (
        "<Section47><S47ActualStartDate>2015-05-03</S47ActualStartDate>"
        "<InitialCPCtarget>2015-05-24</InitialCPCtarget>"
        "<DateOfInitialCPC>2015-05-20</DateOfInitialCPC><ICPCnotRequired>0</ICPCnotRequired></Section47>"
    )
    # The conference of the referral stands after the section 47 module, out of the schema's order.
    first = details("2015-05-01", section47, "<DateOfInitialCPC>2015-05-21</DateOfInitialCPC>")
    assessment = (
        "<Assessments><AssessmentActualStartDate>{}</AssessmentActualStartDate>"
        "<AssessmentAuthorisationDate>2015-09-30</AssessmentAuthorisationDate>"
        "<FactorsIdentifiedAtAssessment><AssessmentFactors>3A</AssessmentFactors>"
        "</FactorsIdentifiedAtAssessment></Assessments>"
    )
    plan = (
        "<ChildProtectionPlans><CPPstartDate>2015-09-10</CPPstartDate>"
        "<InitialCategoryOfAbuse>NEG</InitialCategoryOfAbuse>"
        "<LatestCategoryOfAbuse>EMO</LatestCategoryOfAbuse><NumberOfPreviousCPP>2</NumberOfPreviousCPP>"
        "<Reviews><CPPreviewDate>2015-12-01</CPPreviewDate></Reviews></ChildProtectionPlans>"
    )
    second = details(
        "2015-08-01", assessment.format("2015-08-02"), assessment.format("2015-09-01"), plan
    )
    records = read(write(message(child("C1", first, second))))
    assert [r["icpc_date"] for r in rows(records, "referrals")] == [DAY(2015, 5, 21), None]
    one = rows(records, "section47s")[0]
    assert (one["referral_date"], one["icpc_date"]) == (DAY(2015, 5, 1), DAY(2015, 5, 20))
    assert (one["icpc_target_date"], one["icpc_not_required"]) == (DAY(2015, 5, 24), False)
    assert [(r["referral_date"], r["start_date"]) for r in rows(records, "assessments")] == [
        (DAY(2015, 8, 1), DAY(2015, 8, 2)),
        (DAY(2015, 8, 1), DAY(2015, 9, 1)),
    ]
    assert rows(records, "protection_plans") == [
        {
            "unit": "330",
            "child": "C1",
            "referral_date": DAY(2015, 8, 1),
            "start_date": DAY(2015, 9, 10),
            "end_date": None,
            "initial_category": "NEG",
            "latest_category": "EMO",
            "n_previous": 2,
        }
    ]
    assert faults(records) == {}


@pytest.mark.parametrize(
    ("inside", "disabled"),
    [
        ("<Disabilities><Disability>NONE</Disability></Disabilities>", False),
        (
            "<Disabilities><Disability>hand</Disability><Disability>NONE</Disability></Disabilities>",
            True,
        ),
        ("<Disabilities/>", None),
        ("", None),
    ],
)
def test_disabilities(write: Any, inside: str, disabled: bool | None) -> None:
    text = message(child()).replace("</ChildCharacteristics>", f"{inside}</ChildCharacteristics>")
    records = read(write(text))
    assert rows(records, "children")[0]["disabled"] is disabled
    assert faults(records) == {}


def test_stray_text_and_unknown_elements_are_counted_where_they_stand(write: Any) -> None:
    text = (
        message(child("C1", details("2015-05-01", "<Wrong>x</Wrong>Closure")))
        .replace("<LAchildID>", "LAchildID<LAchildID>")
        .replace("</Child>", "</Child>\n<Kid/>loose")
        .replace("</Header>", "</Header><Appendix/>")
    )
    records = read(write(text))
    assert len(rows(records, "referrals")) == 1
    assert faults(records) == {
        ("returns", "ChildIdentifiers", "unreadable"): 1,
        ("returns", "CINdetails", "unreadable"): 1,
        ("returns", "Children", "unreadable"): 1,
        ("returns", "CINdetails/Wrong", "unknown-element"): 1,
        ("returns", "Children/Kid", "unknown-element"): 1,
        ("returns", "Message/Appendix", "unknown-element"): 1,
    }
    lines = records.quality.examples
    assert set(lines["line"]) == {1, 2}


def test_stray_text_between_children_is_seen_although_children_are_freed(write: Any) -> None:
    records = read(write(message(child("C1"), "loose", child("C2"), "<Kid/>", child("C3"))))
    assert {r["child"] for r in rows(records, "children")} == {"C1", "C2", "C3"}
    assert flagged(records, "returns", "Children", "unreadable") == 1
    assert flagged(records, "returns", "Children/Kid", "unknown-element") == 1


def test_a_namespace_a_comment_and_an_encoding_change_nothing(tmp_path: Path) -> None:
    text = (
        message(child("Ç1"))
        .replace("<Message>", '<Message xmlns="urn:example">')
        .replace("2010-02-03", "2010-<!-- checked -->02-03")
    )
    (tmp_path / "latin.XML").write_bytes(
        b'<?xml version="1.0" encoding="ISO-8859-1"?>' + text.encode("latin-1")
    )
    one = rows(read(tmp_path), "children")[0]
    assert (one["child"], one["birth_date"]) == ("Ç1", DAY(2010, 2, 3))


@pytest.mark.parametrize(
    ("date", "check", "shown"),
    [
        ("01/05/2015", "unreadable", "99/99/9999"),
        ("2015-02-30", "unreadable", "9999-99-99"),
        ("Mr Smith", "unreadable", "AA AAAAA"),
        ("1066-04-13", "impossible-date", "too early"),
        ("2016-07-02", "impossible-date", "too late"),
        ("2161-05-01", "impossible-date", "too late"),
    ],
)
def test_a_bad_date_is_missing_counted_and_located(
    write: Any, date: str, check: str, shown: str
) -> None:
    bad = f"\n\n<CINclosureDate>{date}</CINclosureDate>"
    records = read(write(message(child("C1", details("2015-05-01", bad)))))
    assert rows(records, "referrals")[0]["closure_date"] is None
    assert faults(records) == {("referrals", "closure_date", check): 1}
    example = records.quality.examples.query("column == 'closure_date'").iloc[0]
    assert (example["file"], example["text"]) == ("return_0.xml", shown)
    assert example["line"] == 1


@pytest.mark.parametrize(
    "date",
    [
        "2015-06-01Z",
        "2015-06-01+01:00",
        "2015-06-01T00:00:00",
        "2015-06-01 00:00:00",
        " 2015-06-01\n",
    ],
)
def test_dates_with_a_zone_a_time_or_space_are_read(write: Any, date: str) -> None:
    closing = f"<CINclosureDate>{date}</CINclosureDate>"
    records = read(write(message(child("C1", details("2015-05-01", closing)))))
    assert rows(records, "referrals")[0]["closure_date"] == DAY(2015, 6, 1)


def test_the_last_possible_day_is_a_setting(write: Any) -> None:
    folder = write(message(child("C1", details("2016-04-01"), details("2016-03-31"))))
    kept = rows(read(folder), "referrals")
    strict = read(folder, days_after_return=0)
    assert [r["referral_date"] for r in kept] == [DAY(2016, 3, 31), DAY(2016, 4, 1)]
    assert [r["referral_date"] for r in rows(strict, "referrals")] == [DAY(2016, 3, 31)]
    assert flagged(strict, "referrals", "referral_date", "impossible-date") == 1


def test_a_child_without_identifier_keeps_its_records_under_one_of_its_own(write: Any) -> None:
    start = "<AssessmentActualStartDate>2015-05-02</AssessmentActualStartDate>"
    module = f"<Assessments>{start}</Assessments>"
    text = message(child("", details("2015-05-01", module)), child("C2"), child(""))
    records = read(write(text))
    assert [r["child"] for r in rows(records, "children")] == ["C2", "no-id-2015-1", "no-id-2015-2"]
    assert rows(records, "assessments")[0]["child"] == "no-id-2015-1"
    assert len(rows(records, "referrals")) == 3
    assert flagged(records, "children", "child", "missing") == 2


def test_a_referral_without_date_is_dropped_and_what_hangs_on_it_kept(write: Any) -> None:
    plan = "<ChildProtectionPlans><CPPstartDate>2015-09-10</CPPstartDate></ChildProtectionPlans>"
    records = read(write(message(child("C1", details("", plan), details("2015-05-01")))))
    assert [r["referral_date"] for r in rows(records, "referrals")] == [DAY(2015, 5, 1)]
    assert [(r["referral_date"], r["start_date"]) for r in rows(records, "protection_plans")] == [
        (None, DAY(2015, 9, 10))
    ]
    frame = records.quality.checks
    dropped = frame[(frame["column"] == "referral_date") & (frame["action"] == "dropped")]
    assert dropped[["unit", "period", "n", "n_flagged"]].values.tolist() == [["330", 2015, 2, 1]]
    assert flagged(records, "protection_plans", "referral_date", "missing") == 1


def test_an_element_given_twice_is_a_conflict_when_it_differs(write: Any) -> None:
    twice = "<PrimaryNeedCode>N1</PrimaryNeedCode><PrimaryNeedCode>{}</PrimaryNeedCode>"
    same = read(write(message(child("C1", details("2015-05-01", twice.format("N1"))))))
    assert faults(same) == {}
    other = read(write(message(child("C1", details("2015-05-01", twice.format("N2"))))))
    assert rows(other, "referrals")[0]["primary_need"] == "N1"
    assert faults(other) == {("returns", "CINdetails/PrimaryNeedCode", "conflict"): 1}


def test_dates_out_of_order_are_kept_and_counted(write: Any) -> None:
    closing = "<CINclosureDate>2015-04-01</CINclosureDate><ReasonForClosure>RC7</ReasonForClosure>"
    records = read(write(message(child("C1", details("2015-05-01", closing)))))
    assert rows(records, "referrals")[0]["closure_date"] == DAY(2015, 4, 1)
    assert faults(records) == {("referrals", "closure_date", "out-of-order"): 1}


# The header.


@pytest.mark.parametrize(
    ("reference", "year", "expected"),
    [
        ("2016-03-31", "2016", 2015),
        ("2024-03-31", "2023", 2023),
        ("2022-07-21", "2022", 2022),
        ("", "2016", 2015),
        ("20160331?", "2016", 2015),
    ],
)
def test_the_year_of_a_return(write: Any, reference: str, year: str, expected: int) -> None:
    text = message(child("C1", details(f"{expected}-05-01")), reference=reference)
    text = text.replace("</CollectionDetails>", f"<Year>{year}</Year></CollectionDetails>")
    records = read(write(text))
    assert rows(records, "referrals")[0]["return_year"] == expected
    assert records.start == DAY(expected, 4, 1)


def test_settings_stand_in_for_what_the_header_lacks(write: Any) -> None:
    folder = write(message(child(), unit="", reference=""))
    with pytest.raises(
        DataError, match=r"return_0.xml: the header names no authority.*'authority'"
    ):
        read(folder)
    with pytest.raises(DataError, match=r"return_0.xml: the header names no year .*'return_year'"):
        read(folder, authority="330")
    one = rows(read(folder, authority="330", return_year=2015), "referrals")[0]
    assert (one["unit"], one["return_year"]) == ("330", 2015)


def test_the_header_wins_over_settings(write: Any) -> None:
    records = read(write(message(child(), unit="006")), authority="999", return_year=1999)
    assert rows(records, "referrals")[0]["unit"] == "006"


# Years of returns.


def closing(date: str, reason: str = "RC7") -> str:
    return f"<CINclosureDate>{date}</CINclosureDate><ReasonForClosure>{reason}</ReasonForClosure>"


def test_the_latest_return_wins(write: Any) -> None:
    need = "<PrimaryNeedCode>{}</PrimaryNeedCode>".format
    early = message(child("C1", details("2015-05-01", need("N1")), sex="1"))
    late = message(
        child("C1", details("2015-05-01", need("N4"), closing("2016-06-01")), sex="2"),
        reference="2017-03-31",
    )
    for order in ((early, late), (late, early)):  # file names must not decide
        records = read(write(*order))
        (one,) = rows(records, "referrals")
        assert (one["primary_need"], one["closure_date"]) == ("N4", DAY(2016, 6, 1))
        assert (one["closure_reason"], one["return_year"]) == ("RC7", 2016)
        assert rows(records, "children")[0]["sex"] == "female"
        assert faults(records) == {
            ("referrals", "", "recurrence"): 1,
            ("children", "", "recurrence"): 1,
            ("referrals", "primary_need", "conflict"): 1,
            ("children", "sex", "conflict"): 1,
        }
        assert (records.start, records.end) == (DAY(2015, 4, 1), DAY(2017, 3, 31))


def test_a_case_that_a_later_return_shows_open_is_open(write: Any) -> None:
    early = message(child("C1", details("2015-05-01", closing("2015-08-01"))))
    late = message(child("C1", details("2015-05-01")), reference="2017-03-31")
    records = read(write(early, late))
    (one,) = rows(records, "referrals")
    assert (one["closure_date"], one["closure_reason"]) == (None, None)
    assert flagged(records, "referrals", "closure_date", "conflict") == 1


def test_twice_in_one_return_keeps_the_closure(write: Any) -> None:
    text = message(child("C1", details("2015-05-01", closing("2015-08-01")), details("2015-05-01")))
    records = read(write(text))
    (one,) = rows(records, "referrals")
    assert (one["closure_date"], one["closure_reason"]) == (DAY(2015, 8, 1), "RC7")
    assert faults(records) == {("referrals", "", "duplicate"): 1}


def test_modules_are_united_over_years_and_ends_filled_in(write: Any) -> None:
    plan = "<ChildProtectionPlans><CPPstartDate>{}</CPPstartDate>{}</ChildProtectionPlans>".format
    early = message(child("C1", details("2015-05-01", plan("2015-06-01", ""))))
    ended = "<CPPendDate>2016-05-05</CPPendDate>"
    late = message(
        child("C1", details("2015-05-01", plan("2015-06-01", ended), plan("2016-10-01", ""))),
        reference="2017-03-31",
    )
    got = rows(read(write(early, late)), "protection_plans")
    assert [(r["start_date"], r["end_date"]) for r in got] == [
        (DAY(2015, 6, 1), DAY(2016, 5, 5)),
        (DAY(2016, 10, 1), None),
    ]


def test_a_stated_ethnicity_is_not_lost_to_a_refusal(write: Any) -> None:
    early = message(child())
    late = message(child(), reference="2017-03-31").replace("WBRI", "REFU")
    records = read(write(early, late))
    assert rows(records, "children")[0]["ethnicity"] == "WBRI"
    assert flagged(records, "children", "ethnicity", "conflict") == 0


def test_the_same_child_identifier_in_two_authorities_is_two_children(write: Any) -> None:
    records = read(write(message(child()), message(child(birth="2011-01-01"), unit="331")))
    assert {(r["unit"], r["birth_date"]) for r in rows(records, "children")} == {
        ("330", DAY(2010, 2, 3)),
        ("331", DAY(2011, 1, 1)),
    }


def test_years_without_a_return_are_named(write: Any) -> None:
    records = read(
        write(
            message(child()),
            message(child("C1", details("2017-05-01")), reference="2018-03-31"),
            message(child("C1", details("2016-05-01")), reference="2017-03-31", unit="331"),
        )
    )
    frame = records.quality.checks.query("check == 'missing-return' and n_flagged > 0")
    assert list(zip(frame["unit"], frame["period"], strict=True)) == [
        ("330", 2016),
        ("331", 2015),
        ("331", 2017),
    ]


Parts = Mapping[tuple[str, str, dt.date], list[tuple[int, dict[str, Any]]]]


def _expected_referrals(seen: Parts) -> set[tuple[Any, ...]]:
    """Merge by the rules in the documentation, in plain Python."""
    merged = set()
    for (unit, name, date), alike in seen.items():
        last_year = max(year for year, _ in alike)
        need = next((r["need"] for _, r in reversed(alike) if r["need"]), None)
        last = [r for year, r in alike if year == last_year]
        closed = [r["closure"] for r in last if r["closure"]]
        merged.add((unit, name, date, need, closed[-1] if closed else None, last_year))
    return merged


@pytest.mark.parametrize("seed", range(3))
def test_merging_against_plain_python_on_random_returns(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    days = [DAY(2014, 5, 1) + dt.timedelta(days=30 * i) for i in range(6)]
    seen: dict[tuple[str, str, dt.date], list[tuple[int, dict[str, Any]]]] = {}
    for year in (2014, 2015, 2016):
        for unit in ("201", "202"):
            parts = []
            for name in [f"C{draw.randrange(6)}" for _ in range(10)]:
                date = draw.choice(days)
                need = draw.choice(["", "N1", "N2"])
                closure = draw.choice([None, DAY(2014, 12, 1), DAY(2015, 1, 1)])
                inside = [f"<PrimaryNeedCode>{need}</PrimaryNeedCode>"]
                inside += [closing(str(closure))] if closure else []
                parts.append(child(name, details(str(date), *inside)))
                entry = (year, {"need": need or None, "closure": closure})
                seen.setdefault((unit, name, date), []).append(entry)
            text = message(*parts, unit=unit, reference=f"{year + 1}-03-31")
            (tmp_path / f"{draw.random()}.xml").write_text(text)
    records = read(tmp_path)
    columns = ("unit", "child", "referral_date", "primary_need", "closure_date", "return_year")
    referrals = {tuple(r[c] for c in columns) for r in rows(records, "referrals")}
    assert referrals == _expected_referrals(seen)
    n_read = sum(len(entries) for entries in seen.values())
    n_merged = flagged(records, "referrals", "", "duplicate")
    n_merged += flagged(records, "referrals", "", "recurrence")
    assert len(referrals) + n_merged == n_read


# Files.


def test_processes_give_what_one_process_gives(write: Any) -> None:
    texts = [
        message(*(child(f"C{i}") for i in range(50)), reference=f"{year}-03-31", unit=unit)
        for year in (2016, 2017)
        for unit in ("330", "331")
    ]
    folder = write(*texts)
    alone = read(folder, workers=1)
    together = read(folder, workers=2, parallel_from_mb=0.0)
    assert together.data_hash == alone.data_hash
    for name in CinCensus.gives:
        assert together.tables[name].to_pyarrow().equals(alone.tables[name].to_pyarrow())
    assert together.quality.checks.equals(alone.quality.checks)


def test_files_are_read_outside_this_process(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("read in this process")

    folder = write(message(child()), message(child("C2")))
    monkeypatch.setattr("sos_sources.cin.worker.read_return", refuse)
    records = read(folder, workers=2, parallel_from_mb=0.0)
    assert len(rows(records, "children")) == 2


def test_a_worker_that_cannot_start_leaves_the_work_to_this_process(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(message(child()), message(child("C2")))
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    records = read(folder, workers=2, parallel_from_mb=0.0)
    assert len(rows(records, "children")) == 2


def test_files_folders_and_patterns_each_once(write: Any) -> None:
    folder = write(message(child()), message(child("C2"), reference="2017-03-31"))
    records = read(folder, paths=["return_0.xml", ".", "*.xml", str(folder / "return_1.xml")])
    assert records.files == ("return_0.xml", "return_1.xml")
    assert flagged(records, "children", "", "duplicate") == 0


def test_the_hash_is_of_the_content(write: Any, tmp_path: Path) -> None:
    first = read(write(message(child()))).data_hash
    (tmp_path / "return_0.xml").rename(tmp_path / "other.xml")
    assert read(tmp_path).data_hash == first
    (tmp_path / "other.xml").write_text(message(child("C2")))
    assert read(tmp_path).data_hash != first


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"return_0.xml, line \d: the XML breaks off here"),
        ("no xml at all", r"return_0.xml, line 1: the XML breaks off here"),
        ("<Message><Header>\n</Message>", r"line 2: the XML breaks off here"),
        ("<School/>", r"holds <School>, expected <Message>"),
        (message(child()).replace(">CIN<", ">903<"), r"holds the collection '903'"),
        (message(), "none is usable: the files hold no child"),
        (message(child("C1", details("1066-01-01"))), "none has a date that can be read"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(write: Any, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(write(text))


def test_a_path_that_names_nothing(tmp_path: Path) -> None:
    for path in ("absent.xml", ".", "*.xml"):
        with pytest.raises(DataError, match=r"names no \.xml file"):
            read(tmp_path, paths=path)


def test_a_file_that_breaks_midway_is_never_silently_short(write: Any) -> None:
    whole = message(child("C1"), "\n", child("C2"), "\n", child("C3"))
    broken = whole[: whole.index("C3") + 2] + "<&"
    folder = write(broken, message(child("C9"), reference="2017-03-31"), "<Mess")
    with pytest.raises(DataError, match=r"return_0.xml, line 3: the XML breaks off here"):
        read(folder)
    records = read(folder, broken_files="keep")
    assert [r["child"] for r in rows(records, "children")] == ["C1", "C2", "C9"]
    assert flagged(records, "returns", "file", "unreadable") == 2
    examples = records.quality.examples.query("column == 'file'")
    assert list(zip(examples["file"], examples["line"], strict=True)) == [
        ("return_0.xml", 3),
        ("return_2.xml", 1),
    ]
    (folder / "return_0.xml").write_text("<Mess")
    (folder / "return_1.xml").write_text("<Mess")
    with pytest.raises(DataError, match="None of 3 census files can be read"):
        read(folder, broken_files="keep")


def test_entities_are_not_expanded(write: Any) -> None:
    text = (
        '<!DOCTYPE Message [<!ENTITY who SYSTEM "file:///etc/passwd"><!ENTITY c "C1">]>'
        + message(child("&who;"), child("C2", details("&c;"), details("2015-05-01")))
    )
    records = read(write(text))
    assert {r["child"] for r in rows(records, "children")} == {"C2", "no-id-2015-1"}
    assert flagged(records, "returns", "LAchildID/entity", "unknown-element") == 1


BASE = message(
    child(
        "C1",
        details(
            "2015-05-01",
            closing("2015-08-01"),
            "<Section47><DateOfInitialCPC>2015-05-20</DateOfInitialCPC></Section47>",
        ),
    ),
    child(
        "C2",
        details(
            "2015-05-01",
            "<Assessments><AssessmentActualStartDate>2015-05-02</AssessmentActualStartDate></Assessments>",
        ),
    ),
).encode()


@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes(BASE), st.sampled_from(["error", "keep"]))
def test_mutated_files_are_records_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, changed: Changes, broken: str
) -> None:
    folder = tmp_path_factory.mktemp("mutated")
    (folder / "return.xml").write_bytes(damaged(BASE, changed))
    with contextlib.suppress(SosError):
        assert rows(read(folder, broken_files=broken), "referrals")


# Further elements of the return.


def with_further(*factors: str, own: str = "north", upn: str = "A1") -> str:
    listed = "".join(f"<AssessmentFactors>{code}</AssessmentFactors>" for code in factors)
    return child(
        "C1",
        details(
            "2015-05-01",
            f"<Team>{own}</Team>",
            "<Assessments><AssessmentActualStartDate>2015-05-02</AssessmentActualStartDate>"
            f"<FactorsIdentifiedAtAssessment>{listed}</FactorsIdentifiedAtAssessment>"
            "</Assessments>",
        ),
    ).replace("</LAchildID>", f"</LAchildID><UPN>{upn}</UPN>")


FURTHER = ("UPN", "Team", "FactorsIdentifiedAtAssessment")


@pytest.mark.parametrize("workers", [1, 2])
def test_further_elements_are_carried_into_the_table_of_their_part(
    tmp_path: Path, workers: int
) -> None:
    for year, own, upn in ((2016, "north", "A1"), (2017, "", "B2")):
        text = message(with_further("2A", "3B", own=own, upn=upn), reference=f"{year}-03-31")
        (tmp_path / f"{year}.xml").write_text(text)
    records = read(tmp_path, extra=FURTHER, workers=workers, parallel_from_mb=0)
    (one,) = rows(records, "children")
    assert one["UPN"] == "B2"  # the latest value that is not missing
    (referral,) = rows(records, "referrals")
    assert referral["Team"] == "north"
    (assessment,) = rows(records, "assessments")
    assert assessment["FactorsIdentifiedAtAssessment"] == "2A,3B"
    assert "unknown-element" not in {check for _, _, check in faults(records)}
    told = records.quality.checks.to_csv() + records.quality.examples.to_csv()
    assert "north" not in told
    less = read(tmp_path)
    for name, table in less.tables.items():
        assert table.columns == tuple(TABLES[name].names)
        known = [{k: r[k] for k in TABLES[name].names} for r in rows(records, name)]
        assert known == rows(less, name)
    assert ("returns", "CINdetails/Team", "unknown-element") in faults(less)


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ("Teem", "no 'Teem' in the returns. Did you mean 'Team'"),
        ("Sex", "'Sex' is read without it"),
        ("Unit", "record table referrals has a column 'unit' already"),
    ],
)
def test_a_further_element_that_cannot_be_is_a_sentence(
    tmp_path: Path, extra: str, sentence: str
) -> None:
    text = message(with_further()).replace("</Team>", "</Team><Unit>x</Unit>")
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(DataError, match=sentence):
        read(tmp_path, extra=[extra])


def test_a_further_element_twice_with_other_contents_is_a_conflict(tmp_path: Path) -> None:
    text = message(with_further()).replace("</Team>", "</Team><Team>south</Team>")
    (tmp_path / "a.xml").write_text(text)
    records = read(tmp_path, extra=["Team"])
    assert rows(records, "referrals")[0]["Team"] == "north"
    assert faults(records)["returns", "CINdetails/Team", "conflict"] == 1


def test_a_return_of_2026_is_read_as_its_schema_has_it(write: Any) -> None:
    plan = (
        "<ChildProtectionPlans><CPPstartDate>2025-06-02</CPPstartDate>"
        "<InitialCategoryOfAbuse>NEG</InitialCategoryOfAbuse>"
        "<LatestCategoryOfAbuse>NEG</LatestCategoryOfAbuse>"
        "<NumberOfPreviousCPP>0</NumberOfPreviousCPP></ChildProtectionPlans>"
    )
    one = child("C1", details("2025-05-01", plan, nfa="0"), sex="F")
    other = child("C2", details("2025-05-01", nfa="1"), sex="U")
    text = message(one, other, reference="2026-03-31").replace("GenderCurrent", "Sex")
    records = read(write(text))
    assert [(r["child"], r["nfa"]) for r in rows(records, "referrals")] == [
        ("C1", False),
        ("C2", True),
    ]
    assert {r["child"]: r["sex"] for r in rows(records, "children")} == {"C1": "female", "C2": None}
    assert [r["n_previous"] for r in rows(records, "protection_plans")] == [0]
    assert faults(records) == {}
