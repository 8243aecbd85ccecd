"""What a study is refused for before any record is read, and how it finds its authorities."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from sos_simulator import SimulatedSettings, simulate
from sos_sources.cin.census import CinCensus
from sos_sources.ssda903.source import Ssda903
from sos_sources.tables.records import RecordTables
from sos_sources.tables.tidy import Tidy
from study_helpers import PILOTS, STUDY, write

from sos_plugins import Session
from sos_plugins.errors import DesignError, SettingsError, SosError
from sos_plugins.host.settings import validate
from sos_plugins.study.authorities import AuthorityFile, read_authorities
from sos_plugins.study.design import make_design
from sos_plugins.study.file import DesignTable
from sos_plugins.study.pilots import read_pilots
from sos_plugins.study.pilots_and_pool import Design
from sos_plugins.study.study import OutcomeStep, Study
from sos_plugins.tables.unit_codes import KnownUnits

GIVEN = 'units = { plugin = "given-groups", file = "groups.csv" }'
MATCHED = 'units = { plugin = "pre-outcomes-units", ratio = 2 }'


def edited(**changes: str) -> str:
    """The study with lines of its design added, or its matcher replaced."""
    added = "".join(f"{key} = {value}\n" for key, value in changes.items())
    return STUDY.replace('pilots = "pilots.csv"\n', f'pilots = "pilots.csv"\n{added}')


@pytest.mark.parametrize(
    ("text", "pilots", "groups", "sentence"),
    [
        (STUDY, "unit,cohort\n841,2014\nDarlington,2014\n", "", "841 and Darlington, one auth"),
        (STUDY, "unit,cohort\n841,2014\n841,2015\n", "", "the pilots 841 more than once"),
        (edited(exclude='["E06000005"]'), "unit,cohort\n841,2014\n", "",
         r"841 is a pilot and stands in exclude too \(as E06000005\)"),
        (edited(pool='["901", "910"]'), "unit,cohort\n901,2014\n", "", "901 .* stands in pool too"),
        (STUDY, "unit,start,end\n901,01/04/2014,03/04/2014\n", "",
         r"no cell tells which: .*'01/04/2014' \(line 2, column 'start'\)"),
        (STUDY, "unit,start,end\n901,2014-04-01,31/03/2015\n", "", "written in one way"),
        (edited(authorities='"none.csv"'), "unit,cohort\n901,2014\n", "", "no file of authorities"),
        (STUDY.replace(MATCHED, GIVEN), "unit,cohort\n901,2014\n902,2014\n",
         "pilot,comparator\n901,910\n", "gives no comparator for pilot 902"),
        (STUDY.replace(MATCHED, GIVEN), "unit,cohort\n901,2014\n902,2014\n",
         "pilot,comparator\n901,902\n902,911\n", "902 is itself a pilot"),
    ],
)  # fmt: skip
def test_what_needs_no_records_is_told_before_they_are_read(
    tmp_path: Path, monkeypatch: Any, text: str, pilots: str, groups: str, sentence: str
) -> None:
    path = write(tmp_path, text)
    (tmp_path / "pilots.csv").write_text(pilots)
    (tmp_path / "groups.csv").write_text(groups)
    monkeypatch.setattr(Tidy, "read", lambda *_: pytest.fail("it began to read"))
    with pytest.raises(SosError, match=sentence):
        Study.from_toml(path).run()


def test_the_pilots_are_those_that_were_checked_before_records_were_read(
    tmp_path: Path, monkeypatch: Any
) -> None:
    path, read = write(tmp_path, STUDY), Tidy.read

    def changed_while_reading(*args: Any) -> Any:
        (tmp_path / "pilots.csv").write_text("unit,cohort\n910,2014\n")
        return read(*args)

    def told(_: OutcomeStep, design: Design, *rest: Any, **more: Any) -> None:
        assert [pilot.unit for pilot in design.pilots] == list(PILOTS)
        raise StopIteration

    monkeypatch.setattr(Tidy, "read", changed_while_reading)
    monkeypatch.setattr(OutcomeStep, "derive", told)
    with pytest.raises(StopIteration):
        Study.from_toml(path).run()


RECORDS = STUDY.replace(
    'plugin = "tidy"\npath = "cases.csv"\ncovariates = ["sex"]',
    'plugin = "records"\nfolder = "records"',
)
SIZE = {"authorities": 3, "pilots": 1, "external_pilots": 0, "escalation_pretrend_pilots": 1}


def test_pilots_that_the_records_lack_are_told_before_they_are_read(
    tmp_path: Path, monkeypatch: Any
) -> None:
    few = SimulatedSettings(**SIZE, referrals_per_year=20, care_starts_per_year=10)
    path = write(tmp_path, RECORDS)
    (tmp_path / "records").mkdir()
    for name, table in simulate(few).tables().items():
        pd.DataFrame(table.to_pandas()).to_parquet(tmp_path / "records" / f"{name}.parquet")
    (tmp_path / "pilots.csv").write_text("unit,cohort\nDarlingtn,2014\n")
    monkeypatch.setattr(RecordTables, "read", lambda *_: pytest.fail("it began to read"))
    with pytest.raises(DesignError, match=r"none of the pilots Darlingtn.*mean 'Darlington'"):
        Study.from_toml(path).run()


def test_sources_tell_their_authorities_from_headers_and_folders(tmp_path: Path) -> None:
    header = "<Message><Header><Source>{}<LEA>{}</LEA></Source></Header><Children/></Message>"
    (tmp_path / "a.xml").write_text(header.format("", "841"))
    (tmp_path / "b.xml").write_text(header.format("", " 330 "))
    source, session = CinCensus(), Session(base=tmp_path)
    settings = validate(source.Settings, {"paths": ["*.xml"]}, where="test")
    assert source.units(settings, session) == {"841", "330"}
    (tmp_path / "b.xml").write_text(header.format("<!-- <LEA>1</LEA> -->", "330"))
    assert source.units(settings, session) is None  # left to the reader
    for code in ("841", "330"):
        (tmp_path / code).mkdir()
        (tmp_path / code / "episodes.csv").write_text("CHILD\n")
    looked_after = Ssda903()
    values = {"paths": ["."], "authority": "folder"}
    folders = validate(looked_after.Settings, values, where="test")
    assert looked_after.units(folders, session) == {"841", "330"}


def design(tmp_path: Path, units: list[str], names: dict[str, str] | None = None, **table: Any):
    return make_design(DesignTable(**table), tmp_path, units, names or {})


def test_authorities_of_the_study_are_found_by_any_name_or_code(tmp_path: Path) -> None:
    made, notes = design(
        tmp_path,
        ["841", "330", "331", "x9"],
        {"x9": "North Shire"},
        pilots=({"unit": "E06000005", "cohort": 2014},),
        exclude=("Birmingham City Council",),
        contaminated={"north shire": "trained its staff"},
    )
    assert [pilot.unit for pilot in made.pilots] == ["841"]
    assert made.pool == ("331",)
    assert made.contaminated == {"x9": "trained its staff"}
    (told,) = [note for note in notes if "in brackets" in note]
    assert "Birmingham City Council (330), E06000005 (841), north shire (x9)" in told


def test_a_misspelt_pilot_is_refused_and_one_without_records_is_a_warning(tmp_path: Path) -> None:
    units = ["841", "330", "331"]
    rows = [{"unit": "841", "cohort": 2014}, {"unit": "Birmingam", "cohort": 2014}]
    with pytest.raises(DesignError, match=r"'Birmingam' is not .* Did you mean 'Birmingham'"):
        design(tmp_path, units, pilots=rows)
    made, notes = design(tmp_path, units, pilots=(rows[0], {"unit": "Leeds", "cohort": 2014}))
    assert [pilot.unit for pilot in made.pilots] == ["841"]
    assert any("It is 383 Leeds" in note for note in notes)


def test_a_name_of_two_authorities_is_refused_with_both(tmp_path: Path) -> None:
    with pytest.raises(DesignError, match=r"'Dorset' may mean 835, 838 .*until March 2019"):
        design(tmp_path, ["835", "838"], pilots=({"unit": "Dorset", "cohort": 2014},))
    made, _ = design(tmp_path, ["835", "838"], pilots=({"unit": "E10000009", "cohort": 2014},))
    assert (made.pilots[0].unit, made.pool) == ("835", ("838",))


def test_one_authority_in_two_forms_in_the_records_is_a_warning(tmp_path: Path) -> None:
    _, notes = design(
        tmp_path, ["1", "E10000027", "E06000066"], pilots=({"unit": "1", "cohort": 2014},)
    )
    assert any("E06000066 and E10000027 (933 Somerset" in note for note in notes)


def test_pilots_may_stand_in_a_workbook_with_columns_of_its_own(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (
        ["Council", "From", "To", "external_support"],
        ["Darlington", dt.date(2014, 4, 1), dt.date(2015, 3, 31), "yes"],
        ["Leeds", dt.date(2014, 4, 1), dt.date(2015, 3, 31), "no"],
    ):
        book.active.append(row)
    book.create_sheet("Notes")["A1"] = "x"
    book.active.title = "Pilots"
    book.save(tmp_path / "pilots.xlsx")
    table = DesignTable(
        pilots="pilots.xlsx",
        pilot_sheet="Pilots",
        pilot_columns={"unit": "Council", "start": "From", "end": "To"},
    )
    first, second = read_pilots(table, tmp_path)
    assert (first.unit, first.start, first.cohort) == ("Darlington", dt.date(2014, 4, 1), 2015)
    assert (first.attributes["external_support"], second.attributes["external_support"]) == (
        True,
        False,
    )
    other = table.model_copy(update={"pilot_columns": {"unit": "Counci"}})
    with pytest.raises(DesignError, match=r"no column 'Counci'.*Did you mean 'Council'"):
        read_pilots(other, tmp_path)


@pytest.mark.parametrize("start", ["01/04/2014", "1 April 2014", "2014-04-01", dt.date(2014, 4, 1)])
def test_windows_in_the_study_file_may_be_text(start: Any) -> None:
    end = {"01/04/2014": "31/03/2015", "1 April 2014": "31 March 2015"}.get(
        str(start), "2015-03-31"
    )
    (pilot,) = read_pilots(DesignTable(pilots=({"unit": "1", "start": start, "end": end},)), Path())
    assert (pilot.start, pilot.end) == (dt.date(2014, 4, 1), dt.date(2015, 3, 31))


def test_windows_that_can_be_read_in_two_ways_need_a_word(tmp_path: Path) -> None:
    rows = [{"unit": "1", "start": "01/04/2014", "end": "03/04/2014"}]
    with pytest.raises(SettingsError, match="no cell tells which"):
        validate(DesignTable, {"pilots": rows}, where="[design]")
    table = validate(DesignTable, {"pilots": rows, "dates": "day-first"}, where="[design]")
    assert read_pilots(table, tmp_path)[0].end == dt.date(2014, 4, 3)


def test_characteristics_meet_the_form_of_the_records(tmp_path: Path) -> None:
    path = tmp_path / "authorities.csv"
    path.write_text("LA,Year,size\nDarlington,2014/15,3\nE06000001,2014/15,5\n")
    known = KnownUnits({"841", "805"}, {})
    file = AuthorityFile(path, {"unit": "LA", "period": "Year"}, known=known)
    rows = read_authorities(file).rows
    assert rows.to_dict("list") == {
        "unit": ["841", "805"],
        "period": [2014, 2014],
        "size": [3.0, 5.0],
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_study_file_of_notepad_is_read(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path)
    text = STUDY.replace("A small study", "Eine größere Studie")
    path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    assert Study.from_toml(path).plan.file.study.title == "Eine größere Studie"


def test_cases_of_a_workbook_with_its_own_columns_are_those_of_the_csv(tmp_path: Path) -> None:
    plain = write(tmp_path / "csv")
    named = 'columns = { unit = "LA code", period = "Year", value = "Score out of 40" }'
    text = STUDY.replace('"cases.csv"', f'"cases.xlsx"\n{named}')
    other = write(tmp_path / "xlsx", text)
    cases = pd.read_csv(tmp_path / "csv" / "cases.csv", dtype={"unit": str})
    few = cases.groupby(["unit", "period"]).head(1)
    few.to_csv(tmp_path / "csv" / "cases.csv", index=False)
    names = {"unit": "LA code", "period": "Year", "value": "Score out of 40"}
    few.rename(columns=names).to_excel(tmp_path / "xlsx" / "cases.xlsx", index=False)
    first, second = (
        study.read(study.session()).tables["cases"].to_pandas()
        for study in (Study.from_toml(plain), Study.from_toml(other))
    )
    pd.testing.assert_frame_equal(first, second)
