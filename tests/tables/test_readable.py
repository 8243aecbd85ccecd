"""What a setting covers is read, refused or counted; nothing is passed over in silence."""

from __future__ import annotations

import glob
import gzip
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st
from sos_simulator.source import Simulated
from sos_sources.cin.census import CinCensus
from sos_sources.npd.source import Npd
from sos_sources.paths import _matching, cover, find_files, shown
from sos_sources.published.source import Published
from sos_sources.ssda903.source import Ssda903
from sos_sources.tables.records import RecordTables
from sos_sources.tables.tidy import Tidy
from study_helpers import STUDY, write
from variants import examples

from sos_plugins import Records, Session
from sos_plugins.errors import DataError, SettingsError, SosError, StudyError
from sos_plugins.host.settings import validate
from sos_plugins.study.study import Study
from sos_plugins.tables.row_accounts import accounts, files_left_out

NPD = "CIN_LAchildID_Anon_SPR{y},CIN_LA_SPR{y},CIN_ReferralDate_SPR{y},CIN_ReferralNFA_SPR{y}"
EPISODES = "CHILD,DECOM,RNE,LS,CIN,PLACE,PLACE_PROVIDER,DEC,REC\nA,01/05/2015,S,C1,N1,U1,PR0,,\n"
XML = (
    "<Message><Header><CollectionDetails><Collection>CIN</Collection><ReferenceDate>2016-03-31"
    "</ReferenceDate></CollectionDetails><Source><LEA>330</LEA></Source></Header><Children><Child>"
    "<ChildIdentifiers><LAchildID>A</LAchildID></ChildIdentifiers><CINdetails><CINreferralDate>"
    "2015-05-01</CINreferralDate></CINdetails></Child></Children></Message>"
)
PUBLISHED = (
    "time_period,time_identifier,geographic_level,old_la_code,new_la_code,la_name,Referrals,"
    "Re_referrals_percent\n2023,Reporting year,Local authority,330,E1,Town,10,21\n"
)
TIDY = "unit,period,value\n330,2015,1\n331,2015,2\n"


def npd(year: int, separator: str = ",") -> str:
    head = NPD.format(y=f"{year % 100:02d}")
    rows = [f"{child},330,{year - 1}-05-01,0" for child in ("A", "B")]
    return "\n".join(line.replace(",", separator) for line in (head, *rows)) + "\n"


def read(source: Any, base: Path, /, **values: Any) -> Records:
    settings = validate(source.Settings, values, where="test")
    return source().read(settings, Session(base=base))


SOURCES: dict[str, tuple[Any, str, str, dict[str, Any]]] = {
    "cin-census": (CinCensus, "330/return.xml", XML, {"paths": "."}),
    "ssda903": (Ssda903, "330/episodes.csv", EPISODES, {"paths": ".", "authority": "folder"}),
    "npd-extract": (Npd, "330/cin_2016.csv", npd(2016), {"paths": "."}),
    "published": (Published, "330/c1.csv", PUBLISHED, {"folder": "."}),
    "tidy": (Tidy, "330/cases.csv", TIDY, {"path": "330/cases.csv"}),
}


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(folder: Path) -> Path:
    """Write neighbours as a record table."""
    frame = pd.DataFrame({"unit": ["330"], "neighbour": ["331"], "rank": [1], "closeness": ["a"]})
    path = folder / "neighbours.parquet"
    frame.to_parquet(path, index=False)
    return path


def denied(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """Take the right to list or open a place away, from root too."""
    scandir, opened = os.scandir, io.open

    def refuse(path: Any) -> None:
        if not isinstance(path, int) and Path(os.fspath(path)) == place:
            raise PermissionError(13, "Permission denied", str(path))

    def list_it(path: Any = ".") -> Any:
        refuse(path)
        return scandir(path)

    def open_it(path: Any, *args: Any, **kwargs: Any) -> Any:
        refuse(path)
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(os, "scandir", list_it)
    monkeypatch.setattr(io, "open", open_it)


# Folders and files that may not be read.


@pytest.mark.parametrize("pattern", [".", "*", "**/*", "33?"])
@pytest.mark.parametrize("source", ["cin-census", "ssda903", "npd-extract"])
def test_a_folder_that_cannot_be_listed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, pattern: str
) -> None:
    kind, name, content, values = SOURCES[source]
    put(tmp_path, name, content)
    put(tmp_path, name.replace("330", "331"), content.replace("330", "331"))
    denied(monkeypatch, tmp_path / "331")
    with pytest.raises(DataError, match=r"folder .*331 cannot be listed: Permission denied"):
        read(kind, tmp_path, **{**values, "paths": pattern})


def test_folders_of_published_figures_and_record_tables_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "c1.csv", PUBLISHED)
    put(tmp_path, "further/c2.csv", PUBLISHED)
    parquet(tmp_path / "further")
    denied(monkeypatch, tmp_path / "further")
    with pytest.raises(DataError, match="further cannot be listed"):
        read(Published, tmp_path, folder=".")
    with pytest.raises(DataError, match="further cannot be listed"):
        read(RecordTables, tmp_path, folder="further")


@pytest.mark.parametrize("source", SOURCES)
def test_a_file_that_cannot_be_opened_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    kind, name, content, values = SOURCES[source]
    put(tmp_path, name, content)
    put(tmp_path, name.replace("330", "331"), content.replace("330", "331"))
    refused = name if source == "tidy" else name.replace("330", "331")
    denied(monkeypatch, tmp_path / refused)
    with pytest.raises(DataError, match=f"file .*{refused} cannot be opened: Permission denied"):
        read(kind, tmp_path, **values)


@pytest.mark.parametrize("source", [s for s in SOURCES if s != "tidy"])
@pytest.mark.parametrize("what", ["dangling", "pipe", "folder"])
def test_what_is_named_like_a_file_and_is_none(tmp_path: Path, source: str, what: str) -> None:
    kind, name, content, values = SOURCES[source]
    put(tmp_path, name, content)
    other = tmp_path / "331" / Path(name).name
    other.parent.mkdir()
    if what == "dangling":
        other.symlink_to(tmp_path / "gone")
    elif what == "pipe":
        os.mkfifo(other)
    else:
        other.mkdir()
    said = {"dangling": "is a link to .*gone", "pipe": "a pipe", "folder": "is a folder where"}
    with pytest.raises(DataError, match=f"{other.name} {'is no file but ' * (what == 'pipe')}"
                       f"{said[what]}"):  # fmt: skip
        read(kind, tmp_path, **values)


def workbook() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return data.getvalue()


CONTENTS: dict[str, tuple[bytes, str]] = {
    "gzip": (gzip.compress(TIDY.encode()), "gzip archive"),
    "cut gzip": (gzip.compress(TIDY.encode())[:20], "gzip archive"),
    "workbook": (workbook(), "Excel workbook"),
    "parquet": (b"PAR1\x15\x04", "Parquet"),
    "page": (b"<!DOCTYPE html><html>", "an HTML page"),
    "no text": (b"a,b\n\x00\x01\x02", "no text"),
    "empty": (b"", "is empty"),
}


@pytest.mark.parametrize("source", ["ssda903", "npd-extract", "tidy"])
@pytest.mark.parametrize("content", CONTENTS)
def test_other_content_under_csv_is_a_sentence(tmp_path: Path, source: str, content: str) -> None:
    kind, name, _, values = SOURCES[source]
    data, said = CONTENTS[content]
    put(tmp_path, name, data)
    with pytest.raises(DataError, match=said) as caught:
        read(kind, tmp_path, **values)
    assert name.split("/")[1] in str(caught.value)


@pytest.mark.parametrize("content", CONTENTS)
def test_other_content_among_published_figures_is_counted_and_told(
    tmp_path: Path, content: str
) -> None:
    put(tmp_path, "c1.csv", PUBLISHED)
    put(tmp_path, "c2.csv", CONTENTS[content][0])
    checks = read(Published, tmp_path, folder=".").quality.checks
    assert "c2.csv" in files_left_out(checks)[0]
    assert accounts(checks).set_index("table").loc["files", "n_dropped"] == 1


@pytest.mark.parametrize("content", ["gzip", "workbook", "parquet", "page"])
def test_other_content_under_xml_is_a_sentence(tmp_path: Path, content: str) -> None:
    put(tmp_path, "a.xml", CONTENTS[content][0])
    with pytest.raises(DataError, match=rf"a\.xml holds .*{CONTENTS[content][1]}"):
        read(CinCensus, tmp_path, paths=".")


@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.95])
def test_damaged_parquet_is_records_or_a_sentence(tmp_path: Path, place: float) -> None:
    path = parquet(tmp_path)
    data = bytearray(path.read_bytes())
    at = int(place * len(data))
    data[at : at + 8] = b"\xff" * 8
    path.write_bytes(bytes(data))
    try:
        read(RecordTables, tmp_path, folder=".").tables["neighbours"].to_pyarrow()
    except SosError as error:
        said = str(error)
    else:
        said = "neighbours"
    assert "neighbours" in said


def test_cut_parquet_and_parquet_that_is_a_workbook(tmp_path: Path) -> None:
    path = parquet(tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read(RecordTables, tmp_path, folder=".")
    path.write_bytes(workbook())
    with pytest.raises(DataError, match=r"holds .*Excel workbook, not Parquet"):
        read(RecordTables, tmp_path, folder=".")


def test_a_record_table_whose_name_is_a_pattern_is_itself(tmp_path: Path) -> None:
    for name, unit in (("run*", "330"), ("runs", "999")):
        (tmp_path / name).mkdir()
        parquet(tmp_path / name)
        frame = pd.read_parquet(tmp_path / name / "neighbours.parquet").assign(unit=unit)
        frame.to_parquet(tmp_path / name / "neighbours.parquet", index=False)
    table = read(RecordTables, tmp_path, folder="run*").tables["neighbours"].to_pyarrow()
    assert table["unit"].to_pylist() == ["330"]


@pytest.mark.parametrize("broken", ["", "{", "\xff"])
def test_a_damaged_simulation_is_a_sentence(tmp_path: Path, broken: str) -> None:
    put(tmp_path, "truth.json", broken.encode("latin-1"))
    with pytest.raises(DataError, match=r"truth\.json"):
        read(Simulated, tmp_path, folder=".")
    put(tmp_path, "truth.json", "{}")
    with pytest.raises(DataError, match=r"authorities\.csv"):
        read(Simulated, tmp_path, folder=".")


# Titles and separators.


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_year_between_other_separators_is_read(tmp_path: Path, separator: str) -> None:
    put(tmp_path, "cin_2015.csv", npd(2015))
    put(tmp_path, "cin_2016.csv", npd(2016, separator))
    records = read(Npd, tmp_path, paths=".")
    assert records.table("referrals").count().execute() == 4


@pytest.mark.parametrize("separator", ["^", "~", ":", " "])
def test_a_year_between_separators_that_are_not_read_is_refused(
    tmp_path: Path, separator: str
) -> None:
    put(tmp_path, "cin_2015.csv", npd(2015))
    put(tmp_path, "cin_2016.csv", npd(2016, separator))
    with pytest.raises(DataError, match=r"cin_2016\.csv: the columns are separated by"):
        read(Npd, tmp_path, paths=".")


TITLES = [
    "Children in need 2016\n",
    "Title,,,\n\n",
    "sep=,\n",
    '"A title, with commas"\n\n\n',
    "\ta\n",
]


@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize("source", ["ssda903", "npd-extract", "published", "tidy"])
@pytest.mark.parametrize("separator", [",", ";", "|"])
def test_a_title_above_the_names_of_columns_is_refused(
    tmp_path: Path, source: str, title: str, separator: str
) -> None:
    kind, name, content, values = SOURCES[source]
    if source != "tidy":
        put(tmp_path, "330/2014/" + Path(name).name, content)
    put(tmp_path, name, title + content.replace(",", separator))
    with pytest.raises(DataError, match=r"names of the columns stand in line \d; expected in"):
        read(kind, tmp_path, **values)


@rules(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    above=st.lists(st.text('aä,;\t|"= 2016', max_size=12), max_size=3),
    separator=st.sampled_from(",;\t|^~: "),
    mark=st.booleans(),
)
def test_an_extract_is_read_or_refused_and_never_passed_over(
    tmp_path: Path, above: list[str], separator: str, mark: bool
) -> None:
    put(tmp_path, "cin_2015.csv", npd(2015))
    text = "".join(f"{line}\n" for line in above) + npd(2016, separator)
    put(tmp_path, "cin_2016.csv", text.encode("utf-8-sig" if mark else "utf-8"))
    try:
        records = read(Npd, tmp_path, paths=".")
    except DataError as error:
        outcome: int | str = str(error)
    else:
        outcome = int(records.table("referrals").count().execute())
    assert outcome == 4 or "cin_2016.csv" in str(outcome)


def test_an_extract_without_its_identifiers_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "cin_2015.csv", npd(2015))
    put(tmp_path, "cin_2016.csv", npd(2016).replace("LAchildID_Anon", "Pupil"))
    with pytest.raises(DataError, match=r"cin_2016\.csv has the dates of children in need"):
        read(Npd, tmp_path, paths=".")


def test_a_return_under_another_name_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "330/episodes.csv", EPISODES)
    put(tmp_path, "331/eps.csv", EPISODES)
    with pytest.raises(DataError, match=r"eps\.csv has the columns of a file of episodes"):
        read(Ssda903, tmp_path, paths=".", authority="folder")


# Counted, or found after all.


def test_links_to_folders_are_followed_and_circles_end(tmp_path: Path) -> None:
    put(tmp_path / "far", "331/return.xml", XML)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "331").symlink_to(tmp_path / "far" / "331")
    (tmp_path / "here" / "again").symlink_to(tmp_path / "here")
    session = Session(base=tmp_path)
    assert len(find_files(["here"], session, suffix=".xml")) == 1
    covered = cover(["here"], session, suffix=".xml")
    assert [one.path.name for one in covered.left_out] == ["again"]


@rules(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    names=st.lists(
        st.sampled_from(
            ["a/x.csv", "a/x.CSV", "a/x.csv.gz", "b/.x.csv", "b/x.txt", "b/c/x.csv", "d/Thumbs.db"]
        ),
        unique=True,
    ),
    empty=st.booleans(),
)
def test_every_path_is_read_or_left_out(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], empty: bool
) -> None:
    folder = tmp_path_factory.mktemp("covered")
    put(folder, "one.csv", "a\n")
    for name in names:
        put(folder, name, "a\n")
    if empty:
        (folder / "empty").mkdir()
    covered = cover(["."], Session(base=folder), suffix=".csv")
    paths = [*covered.files, *(one.path for one in covered.left_out)]
    wanted = {folder / "one.csv", *(folder / n for n in names), *([folder / "empty"] * empty)}
    assert len(paths) == len(set(paths))
    assert {path.resolve() for path in paths} == {path.resolve() for path in wanted}
    assert {p.name.lower() for p in covered.files} <= {"one.csv", "x.csv"}


PATTERNS = ["*", "*/*", "**/*", "**/*.csv", "a/**/*", "?/x.*", "[ab]/*", "a*/b*/*.csv"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_mean_what_they_mean_in_the_library(tmp_path: Path, pattern: str) -> None:
    for name in ("a/x.csv", "a/b/y.csv", "b/x.txt", "b/.h/z.csv", ".k/z.csv", "x.csv"):
        put(tmp_path, name, "a\n")
    ours = {path.resolve() for path in _matching(tmp_path / pattern)}
    theirs = {Path(p).resolve() for p in glob.glob(str(tmp_path / pattern), recursive=True)}  # noqa: PTH207
    assert ours == theirs


def test_the_study_tells_what_was_left_out(tmp_path: Path) -> None:
    path = write(tmp_path)
    study = Study.from_toml(path)
    put(tmp_path, "npd/cin_2016.csv", npd(2016))
    put(tmp_path, "npd/cin_2015.csv.gz", gzip.compress(npd(2015).encode()))
    put(tmp_path, "npd/notes.csv", "a,b\n1,2\n")
    records = read(Npd, tmp_path, paths="npd")
    (sentence,) = files_left_out(records.quality.checks)
    assert "left out 2 paths" in sentence
    assert "npd/cin_2015.csv.gz" in sentence
    assert "npd/notes.csv" in sentence
    assert files_left_out(study.read(study.session()).quality.checks) == ()


# Settings, and files twice.


@pytest.mark.parametrize(
    ("source", "values", "said"),
    [
        (CinCensus, {"paths": ".", "return_year": 99999}, "return_year"),
        (CinCensus, {"paths": ".", "return_year": -1}, "return_year"),
        (CinCensus, {"paths": ".", "days_after_return": 10**12}, "days_after_return"),
        (CinCensus, {"paths": ".", "earliest_event": "9998-01-01"}, "earliest_event"),
        (Ssda903, {"paths": ".", "authority": "1", "max_gap_days": 10**10}, "max_gap_days"),
        (Ssda903, {"paths": ".", "authority": "1", "end": "0001-01-01"}, "end"),
        (Npd, {"paths": ".", "days_after_return": 10**10}, "days_after_return"),
        (Published, {"folder": ".", "first_period": 99999}, "first_period"),
        (Tidy, {"path": "x", "start": "2016-01-01", "end": "2015-01-01"}, "after 'end'"),
        (RecordTables, {"folder": "x", "start": "9999-12-31"}, "start"),
    ],
)
def test_years_and_days_beyond_any_calendar_are_refused_before_reading(
    tmp_path: Path, source: Any, values: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        read(source, tmp_path, **values)


def test_a_window_that_ends_before_it_starts_or_far_away_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    study = Study.from_toml(path)
    for window, said in (
        ("2015-06-01,2015-01-01", "embedding window ends"),
        ("9998-01-01,9998-06-01", "expected a date from 1900"),
    ):
        (tmp_path / "pilots.csv").write_text(f"unit,start,end\n901,{window}\n")
        with pytest.raises(SosError, match=said):
            study.run()


def test_a_file_named_by_two_sources_is_refused(tmp_path: Path) -> None:
    source = STUDY[STUDY.index("[[sources]]") : STUDY.index("[design]")]
    path = write(tmp_path, STUDY.replace(source, source + source))
    study = Study.from_toml(path)
    with pytest.raises(StudyError, match=r"\[\[sources\]\] 2 \(tidy\) reads the file cases\.csv"):
        study.run()


def test_a_file_named_twice_in_one_source_is_read_once(tmp_path: Path) -> None:
    put(tmp_path, "a.xml", XML)
    records = read(CinCensus, tmp_path, paths=["a.xml", "./a.xml", "*.xml", "."])
    assert records.files == ("a.xml",)


# Paths in results.


@pytest.mark.parametrize(
    ("base", "path", "seen"),
    [
        ("/srv/study", "/srv/study/data/a.csv", "data/a.csv"),
        ("/srv/office/study", "/srv/office/data/a.csv", "../data/a.csv"),
        ("/home/anna/study", "/home/anna/data/a.csv", "../data/a.csv"),
        ("/srv/study", "/home/anna/data/2016/a.csv", ".../data/2016/a.csv"),
        ("/home/bert/study", "/home/anna/data/2016/a.csv", ".../data/2016/a.csv"),
    ],
)
def test_paths_in_results_tell_no_homes(base: str, path: str, seen: str) -> None:
    assert shown(Path(path), Session(base=Path(base))) == seen


def test_the_helper_denies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, "a/b.csv", "x")
    attempts: list[Callable[[], Any]] = [lambda: path.open("rb"), lambda: os.scandir(path.parent)]
    denied(monkeypatch, path)
    with pytest.raises(PermissionError):
        attempts[0]()
    denied(monkeypatch, path.parent)
    with pytest.raises(PermissionError):
        attempts[1]()
