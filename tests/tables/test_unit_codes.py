"""Authorities by any name and code, held against what the Department has published."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sos_sources.published.reorganised import REORGANISATIONS

from sos_plugins.errors import DataError
from sos_plugins.tables.csv_text import read_frame
from sos_plugins.tables.file_columns import read_columns
from sos_plugins.tables.unit_codes import (
    KnownUnits,
    UnclearUnitError,
    authorities,
    codes_meant,
    same_authorities,
    units_of,
)

SHARED = Path(os.environ.get("SOS_SHARED", Path(__file__).parents[2].parent / "shared"))
PUBLISHED = SHARED / "data" / "published"
FIGURES = "c4_children_in_need_section_47s_and_icpcs_2013_to_2024.csv"
NEIGHBOURS = "sn_model_2025_wide.csv"


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason=f"no published files in {PUBLISHED}")
def test_every_authority_of_the_published_files_is_found_by_its_codes_and_names() -> None:
    frame = read_frame(PUBLISHED / FIGURES)
    rows = frame[frame["old_la_code"] != ""][["old_la_code", "new_la_code", "la_name"]]
    assert len(rows) > 1_500
    for code, ons, name in rows.drop_duplicates().to_numpy():
        assert codes_meant(ons) == {code}
        assert code in codes_meant(name)
    for code, name in read_frame(PUBLISHED / NEIGHBOURS)[["old_la_code", "la_name"]].to_numpy():
        if code.isdigit():
            assert code in codes_meant(name), name


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("841", "841"),
        ("841.0", "841"),  # as a column with gaps leaves some programs
        ("e06000005", "841"),
        ("DARLINGTON Borough Council", "841"),
        ("Bristol", "801"),
        ("City of Bristol", "801"),
        ("Bournemouth, Christchurch & Poole", "839"),
        ("Royal Borough of Kensington and Chelsea", "207"),
        ("Kingston-upon-Hull", "810"),
        ("St Helens", "342"),
        ("Leicester City Council", "856"),
        ("Leicestershire", "855"),
        ("City of London", "201"),
        ("City of London Corporation", "201"),
    ],
)
def test_an_authority_goes_by_many_names(text: str, code: str) -> None:
    assert codes_meant(text) == {code}


@pytest.mark.parametrize("text", ["", "London", "England", "E12000003", "999", "Council", "12"])
def test_what_is_no_authority_is_none(text: str) -> None:
    assert codes_meant(text) == frozenset()


def test_reorganised_authorities_are_authorities_of_their_own() -> None:
    by_code = {one.code: one for one in authorities()}
    for change in REORGANISATIONS:
        assert {by_code[code].until for code in change.old} == {change.year}
        assert {by_code[code].since for code in change.new} == {change.year}
    assert codes_meant("Dorset") == {"835", "838"}  # before and since April 2019
    assert codes_meant("E10000009") == {"835"}
    assert codes_meant("E06000059") == {"838"}


def test_the_records_form_is_met_whichever_it_is() -> None:
    names = {"841": "Darlington"}
    assert KnownUnits(["841", "838"], names).find("E06000005") == "841"
    assert KnownUnits(["E06000005", "E06000059"], {}).find("Darlington Council") == "E06000005"
    assert KnownUnits(["Darlington"], {}).find("841") == "Darlington"
    assert KnownUnits(["838"], {}).find("Dorset") == "838"
    assert KnownUnits(["x1"], {"x1": "North Shire"}).find("north  shire") == "x1"
    assert KnownUnits(["841"], names).find("Leeds") is None
    with pytest.raises(UnclearUnitError, match=r"835, 838 of the records.*until March 2019"):
        KnownUnits(["835", "838"], {}).find("Dorset")
    with pytest.raises(UnclearUnitError, match="841, E06000005"):
        KnownUnits(["841", "E06000005"], {}).find("Darlington")


def test_one_authority_in_two_forms_is_seen() -> None:
    units = ["841", "E06000005", "Leeds", "835", "838", "Dorset"]
    assert same_authorities(units) == {"841": ("841", "E06000005")}


def test_a_column_becomes_three_digit_codes_and_what_was_merged_is_told(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text("la\nDarlington\nE10000027\nE06000066\n\n")
    columns = read_columns(path)
    assert units_of(columns, "la", "dfe").to_pylist() == ["841", "933", "933"]
    assert columns.notes() == (
        "cases.csv, column 'la': several forms of one authority were read as one: E06000066, "
        "E10000027 as 933.",
    )
    path.write_text("la\nDarlington\nDarlingtn\n")
    with pytest.raises(DataError, match=r"Did you mean 'Darlington'.*'Darlingtn' \(line 3\)"):
        units_of(read_columns(path), "la", "dfe")
    path.write_text("la\nDarlington\nDorset\n")
    with pytest.raises(DataError, match=r"838 Dorset, E06000059, since April 2019.*\(line 3\)"):
        units_of(read_columns(path), "la", "dfe")
