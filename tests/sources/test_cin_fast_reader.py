"""Census returns read block by block, against the parser: the same rows, whatever a file holds."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from lxml import etree
from sos_sources.cin import fast_reader as cin_plain
from sos_sources.cin.block_parser import NotPlainError
from sos_sources.cin.census import CinCensus, CinCensusSettings
from sos_sources.cin.dates import FIRST_YEAR, LAST_YEAR, read_dates
from sos_sources.cin.fast_reader import PlainFile, read_return
from sos_sources.cin.rows import RAW, SCHEMAS, TEXT, MemorySink
from sos_sources.cin.tag_lookup import (
    ID,
    LONGEST,
    NAMES,
    NOT_HERE,
    PADDING,
    UNKNOWN,
    Vocabulary,
    vocabulary,
)
from sos_sources.cin.xml import RawReturn, parse_return
from source_helpers import Changes, changes, damaged, flagged
from variants import examples

from sos_plugins import Session
from sos_plugins.errors import SosError

SAMPLES = ("CIN_Census_2021", "CIN_Census_2024", "fake_CIN_data")
HUGE = 2_000_000
PLAIN = b"""<?xml version="1.0" encoding="UTF-8"?>
<Message><Header><CollectionDetails><Collection>CIN</Collection><Year>2016</Year>
<ReferenceDate>2016-03-31</ReferenceDate></CollectionDetails><Source><LEA>330</LEA></Source></Header>
<Children>
  <Child>
    <ChildIdentifiers><LAchildID>C1</LAchildID><UPN>A1</UPN><PersonBirthDate>2010-02-03</PersonBirthDate>
      <Sex>F</Sex></ChildIdentifiers>
    <ChildCharacteristics><Ethnicity>WBRI</Ethnicity>
      <Disabilities><Disability>MOB</Disability><Disability>PC</Disability></Disabilities>
    </ChildCharacteristics>
    <CINdetails><CINreferralDate>2015-05-01</CINreferralDate><PrimaryNeedCode>N1</PrimaryNeedCode>
      <Assessments><AssessmentActualStartDate>2015-05-02</AssessmentActualStartDate>
        <FactorsIdentifiedAtAssessment><AssessmentFactors>3A</AssessmentFactors>
        </FactorsIdentifiedAtAssessment></Assessments>
      <Section47><S47ActualStartDate>2015-05-03</S47ActualStartDate>
        <DateOfInitialCPC>2015-05-20</DateOfInitialCPC><ICPCnotRequired>0</ICPCnotRequired></Section47>
      <ReferralNFA>false</ReferralNFA>
      <ChildProtectionPlans><CPPstartDate>2015-09-10</CPPstartDate>
        <Reviews><CPPreviewDate>2015-12-01</CPPreviewDate></Reviews></ChildProtectionPlans>
    </CINdetails>
  </Child>
  <Child>
    <ChildIdentifiers><LAchildID>C2</LAchildID><GenderCurrent/></ChildIdentifiers>
    <ChildCharacteristics><Ethnicity>REFU</Ethnicity><Disabilities/></ChildCharacteristics>
    <CINdetails><CINreferralDate>2015-06-31</CINreferralDate></CINdetails>
    <CINdetails><CINreferralDate>2015-07-01Z</CINreferralDate></CINdetails>
  </Child>
</Children></Message>
"""


FURTHER = ("Team", "FactorsIdentifiedAtAssessment", "UPN", "Reviews", "CINPlanDates", "LocalNote")


def words(*further: str) -> Vocabulary:
    known = vocabulary(further)
    assert known is not None
    return known


def plain(path: Path, *further: str) -> tuple[RawReturn, MemorySink]:
    kept = MemorySink()
    return PlainFile(path, kept, 20, 2, lambda _: None, words(*further)).read(), kept


def parsed(path: Path, *further: str) -> tuple[RawReturn, MemorySink]:
    kept = MemorySink()
    return parse_return(path, kept, extras=further), kept


def frames(kept: MemorySink) -> dict[str, pd.DataFrame]:
    """The rows in order, dates as text; the numbers of rows say their order alone."""
    by_table = {}
    for table in RAW:
        frame = kept.tables[table].sort_by("row_no").to_pandas()
        for column in [c for c in frame if c + TEXT in frame]:
            text = frame[column].astype(str).where(frame[column].notna(), frame[column + TEXT])
            frame[column + TEXT] = text
        dense = {c: frame[c].rank(method="dense") for c in ("row_no", "child_no", "referral_no")}
        dates = [c for c in SCHEMAS[table].names if c + TEXT in SCHEMAS[table].names]
        by_table[table] = frame.assign(**dense).drop(columns=dates).fillna("nothing")
    return by_table


def agree(path: Path) -> None:
    """Compare the readers without further elements, with one and with several."""
    for further in ((), FURTHER[1:2], FURTHER):
        agree_with(path, *further)


def agree_with(path: Path, *further: str) -> None:
    one, mine = plain(path, *further)
    other, theirs = parsed(path, *further)
    told = (
        "extras",
        "header",
        "sha256",
        "root",
        "oddities",
        "lines",
        "n_rows",
        "broken",
        "broken_line",
    )
    for name in told:
        assert getattr(one, name) == getattr(other, name), name
    expected = frames(theirs)
    for table, frame in frames(mine).items():
        pd.testing.assert_frame_equal(frame, expected[table])


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def to_file(data: bytes) -> Path:
        path = tmp_path / "return.xml"
        path.write_bytes(data)
        return path

    return to_file


@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_are_plain_and_read_the_same(shared: Path, name: str) -> None:
    agree(shared / "data" / "cin_census" / f"{name}.xml")


@pytest.mark.parametrize("further", [(), ("FactorsIdentifiedAtAssessment", "UPN", "Reviews")])
def test_the_samples_need_no_parser(
    shared: Path, monkeypatch: pytest.MonkeyPatch, further: tuple[str, ...]
) -> None:
    monkeypatch.setattr(cin_plain, "parse_return", None)
    path = shared / "data" / "cin_census" / f"{SAMPLES[0]}.xml"
    kept = MemorySink()
    read_return(path, kept, extras=further)
    read = [text for table in kept.tables.values() for text in table["extra"].to_pylist() if text]
    assert bool(read) == bool(further)


def test_further_elements_of_a_plain_child_are_read_without_the_parser(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = b"<Team>north</Team><ReferralNFA>"
    path = write(PLAIN.replace(b"<ReferralNFA>", added).replace(b"</UPN>", b"</UPN><Team/>"))
    left: list[Any] = []
    monkeypatch.setattr(PlainFile, "_parse", lambda self, odd, head: left.extend(odd))
    raw, kept = plain(path, "Team", "FactorsIdentifiedAtAssessment", "UPN")
    assert not left
    texts = {table: rows["extra"].to_pylist() for table, rows in kept.tables.items()}
    assert texts == {
        "children": ["\x1f\x1fA1", None],
        "referrals": ["north\x1f\x1f", None, None],
        "assessments": ["\x1f3A\x1f"],
        "section47s": [None],
        "protection_plans": [None],
    }
    assert raw.extras == {
        ("ChildIdentifiers", "UPN"),
        ("ChildIdentifiers", "Team"),
        ("CINdetails", "Team"),
        ("Assessments", "FactorsIdentifiedAtAssessment"),
    }


@pytest.mark.parametrize(("n_odd", "refused"), [(7, True), (4, False)])
def test_a_file_whose_children_are_mostly_odd_is_left_to_the_parser(
    write: Any, monkeypatch: pytest.MonkeyPatch, n_odd: int, refused: bool
) -> None:
    monkeypatch.setattr(cin_plain, "ODD_TOGETHER", 3)
    head, child, _ = PLAIN.split(b"<Child>")
    odd = child.replace(b"<UPN>", b"<Local/><UPN>")
    children = [odd] * n_odd + [child] * (10 - n_odd)
    path = write(b"<Child>".join([head, *children]) + b"</Children></Message>")
    if not refused:
        agree(path)
        return
    with pytest.raises(NotPlainError):
        plain(path)
    kept = MemorySink()
    assert read_return(path, kept) == parsed(path)[0]
    assert kept.tables["children"].num_rows == len(children)


FURTHER_ODD = (
    (b"<UPN>A1</UPN>", b"<UPN>A1</UPN><UPN>A2</UPN>"),
    (b"<UPN>A1</UPN>", b"<UPN> </UPN>"),
    (b"<UPN>A1</UPN>", b"<UPN/><UPN>A2</UPN>"),
    (b"<UPN>A1</UPN>", b"<UPN><Part>A</Part><Part>1</Part></UPN>"),
    (b"<UPN>A1</UPN>", b"<Team>A<!-- 1 --></Team>"),
    (b"</ChildIdentifiers>", b"</ChildIdentifiers><UPN>A2</UPN>"),
    (
        b"<AssessmentFactors>3A</AssessmentFactors>",
        b"loose<AssessmentFactors> 3A</AssessmentFactors>",
    ),
    (b"<AssessmentFactors>3A<", b"<AssessmentFactors>3A</AssessmentFactors><AssessmentFactors>4B<"),
    (b"<Assessments>", b"<Assessments a='1'><UPN>B1</UPN>"),
    (b"<CINdetails>", b"<CINdetails><CINdetails/><LocalNote>x</LocalNote>"),
)


@pytest.mark.parametrize("number", range(len(FURTHER_ODD)))
def test_further_elements_that_are_not_plain_are_read_the_same(write: Any, number: int) -> None:
    old, new = FURTHER_ODD[number]
    assert old in PLAIN
    path = write(PLAIN.replace(old, new, 1))
    for further in (("UPN",), FURTHER):
        kept = MemorySink()
        raw = read_return(path, kept, extras=further)
        expected, theirs = parsed(path, *further)
        assert raw.extras == expected.extras
        assert raw.oddities == expected.oddities
        for table, frame in frames(kept).items():
            pd.testing.assert_frame_equal(frame, frames(theirs)[table])


def test_names_that_cannot_be_told_apart_are_left_to_the_parser(write: Any) -> None:
    alike, long = "AssessmentTruestStartDate", "X" * (LONGEST + 1)
    assert not {alike, long} & set(words(alike, long).names)
    new = f"<{alike}>y</{alike}><{long}>z</{long}><FactorsI".encode()
    path = write(PLAIN.replace(b"<FactorsI", new))
    agree_with(path, alike, long)
    assert vocabulary(("Sex",)) is None


@pytest.mark.parametrize("block", [1 << 22, 700, 1])
def test_blocks_of_any_size_give_the_same_rows(
    write: Any, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(cin_plain, "BLOCK", block)
    agree(write(PLAIN))
    agree(write(PLAIN.replace(b"\n", b"\r\n")))
    agree(write(b"\xef\xbb\xbf" + PLAIN))


ODD = (
    (b"</Sex>", b"</Sex >"),
    (b"<UPN>A1</UPN>", b"<UPN>A&amp;1</UPN>"),
    (b"<Sex>F</Sex>", b"<Sex> F\n</Sex>"),
    (b"<Sex>F</Sex>", b'<Sex code="1">F</Sex>'),
    (b"<Sex>F</Sex>", b"<Sex>F</Sex><Sex>M</Sex>"),
    (b"<Sex>F</Sex>", b"<Sex>F<Deep>x</Deep></Sex>"),
    (b"<Sex>F</Sex>", "<Sex>F</Sex><Näme/>é".encode()),
    (b"<LAchildID>C1", "<LAchildID>Ç1".encode()),
    (b"<LAchildID>C1", b"<LAchildID>C\r\n1"),
    (b"<LAchildID>C1", b"LAchildID<LAchildID>C1"),
    (b"<ReferralNFA>", b"<LocalNote>x</LocalNote><ReferralNFA>"),
    (b"<ReferralNFA>", b"see the notes<ReferralNFA>"),
    (b"<Disability>PC</Disability>", b"<Disability> PC </Disability><Other/>"),
    (b"</ChildCharacteristics>", b"</ChildCharacteristics><ChildCharacteristics/>"),
    (
        b"<Disabilities/>",
        b"<Disabilities/><Disabilities><Disability>VIS</Disability></Disabilities>",
    ),
    (b"<Reviews>", b"notes<Reviews>x"),
    (b"<Header>", b"loose<Header>"),
    (b"</Children>", b"</Children><Appendix/>"),
    (b"</Children></Message>", b"</Children>\n\n<Appendix>\n</Appendix></Message>"),
    (b"<Children>", b"<Children><Kid/>"),
    (b"<Message>", b'<Message xmlns="urn:example" xmlns:x="urn:x">'),
)


@pytest.mark.parametrize("number", range(len(ODD)))
def test_a_child_that_is_not_plain_is_read_by_the_parser_and_the_others_are_not(
    write: Any, number: int
) -> None:
    old, new = ODD[number]
    assert old in PLAIN
    agree(write(PLAIN.replace(old, new, 1)))


NOT_PLAIN = (
    (b"<Sex>F</Sex>", b"<Sex>F<!-- </Child> --></Sex>"),
    (b"<Sex>F</Sex>", b"<Sex><![CDATA[F]]></Sex>"),
    (b"<Sex>F</Sex>", b"<Sex>>F</Sex>"),
    (b"<Sex>F</Sex>", b"<Sex>F</Gender>"),
    (b"<Sex>F</Sex>", b"<Sex>F\x07</Sex>"),
    (b"UTF-8", b"ISO-8859-1"),
    (b"</Child>\n  <Child>", b"</Child>loose<Child>"),
    (b"</Child>\n  <Child>", b"</Child><Kid/><Child>"),
    (b"<Child>", b"<x:Child>"),
    (b"</Children></Message>", b"</Children>"),
    (b"</Children></Message>", b""),
)


@pytest.mark.parametrize("number", range(len(NOT_PLAIN)))
def test_a_file_in_doubt_is_left_to_the_parser_with_nothing_kept(write: Any, number: int) -> None:
    old, new = NOT_PLAIN[number]
    path = write(PLAIN.replace(old, new, 1))
    with pytest.raises(NotPlainError):
        plain(path)
    kept, advanced = MemorySink(), [0]

    def advance(n: int) -> None:
        advanced[0] += n

    raw = read_return(path, kept, advance=advance)
    assert raw == parsed(path)[0]
    assert advanced[0] == path.stat().st_size
    for table, rows in parsed(path)[1].tables.items():
        assert kept.tables[table].equals(rows)


@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes(PLAIN))
def test_damaged_files_read_the_same_or_are_left_to_the_parser(
    tmp_path: Path, changed: Changes
) -> None:
    path = tmp_path / "damaged.xml"
    path.write_bytes(damaged(PLAIN, changed))
    with contextlib.suppress(NotPlainError):
        agree(path)


MUTATIONS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "truncated": lambda data, draw: data[: draw.randrange(len(data))],
    "bytes flipped": lambda data, draw: _flipped(data, draw),
    "elements swapped": lambda data, draw: _swapped(data, draw),
    "utf-16": lambda data, _: data.decode().replace("UTF-8", "UTF-16").encode("utf-16"),
    "latin 1": lambda data, _: data.replace(b"UTF-8", b"ISO-8859-1").replace(b"WBRI", b"W\xc9"),
    "not utf-8": lambda data, _: data.replace(b"WBRI", b"W\xc9"),
    "byte order mark": lambda data, _: b"\xef\xbb\xbf" + data,
    "crlf": lambda data, _: data.replace(b"\n", b"\r\n"),
    "huge field": lambda data, _: data.replace(
        b"</LAchildID>", b"9" * 2_000_000 + b"</LAchildID>", 1
    ),
    "doubled": lambda data, _: data + data,
}
DRAWN = ("truncated", "bytes flipped", "elements swapped")


CONTAINERS = ("CINdetails", "Assessments", "Section47", "ChildProtectionPlans", "ChildIdentifiers")
LEAVES = ("CINreferralDate", "AssessmentActualStartDate", "S47ActualStartDate", "CPPstartDate")


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", CONTAINERS)
def test_what_an_odd_child_holds_never_lands_in_its_neighbour(
    write: Any, name: str, seed: int
) -> None:
    """Many odd containers at once and few dates, so that nothing that stands twice tells."""
    draw = random.Random(seed)
    head, *children = PLAIN.split(b"<Child>")
    children = [draw.choice(children[:1]) for _ in range(40)]
    for leaf in LEAVES[1:]:
        children = [
            re.sub(f"<{leaf}>[^<]*</{leaf}>".encode(), b"", child) if draw.random() < 0.5 else child
            for child in children
        ]
    children = [
        child.replace(b"C1", f"K{i}".encode()).replace(
            b"2015-0", f"201{draw.randint(4, 6)}-0".encode()
        )
        for i, child in enumerate(children)
    ]
    share = draw.choice((0.1, 0.5, 1.0))
    children = [
        child.replace(f"<{name}>".encode(), f"<{name} a='1'>".encode())
        if draw.random() < share
        else child
        for child in children
    ]
    agree(write(head + b"<Child>" + b"<Child>".join(children) + b"</Children></Message>"))


def _flipped(data: bytes, draw: random.Random) -> bytes:
    result = bytearray(data)
    for _ in range(5):
        result[draw.randrange(len(result))] ^= 1 << draw.randrange(8)
    return bytes(result)


def _swapped(data: bytes, draw: random.Random) -> bytes:
    root = etree.fromstring(data)
    for _ in range(20):
        parent = draw.choice([e for e in root.iter() if len(e) > 1])
        children = list(parent)
        draw.shuffle(children)
        parent[:] = children
    return bytes(etree.tostring(root))


@pytest.mark.parametrize("kind", MUTATIONS)
def test_mutated_real_files_are_records_or_a_sentence_and_no_referral_is_lost(
    shared: Path, tmp_path: Path, kind: str
) -> None:
    draw = random.Random(kind)
    for name in SAMPLES[:2]:
        data = (shared / "data" / "cin_census" / f"{name}.xml").read_bytes()
        for number in range(2 if kind in DRAWN else 1):
            path = tmp_path / f"{name}_{number}.xml"
            path.write_bytes(MUTATIONS[kind](data, draw))
            _read_or_refused(path)
            path.unlink()


def _read_or_refused(path: Path) -> None:
    settings_ = CinCensusSettings(paths=(path.name,), broken_files="keep")
    try:
        records = CinCensus().read(settings_, Session(base=path.parent))
    except SosError:
        return
    n_read = parsed(path)[0].n_rows["referrals"]
    kept = records.tables["referrals"].count().execute()
    merged = flagged(records, "referrals", "", "duplicate")
    dropped = flagged(records, "referrals", "referral_date", "missing")
    assert kept + merged + dropped == n_read


LAYOUTS = (
    ("2016", b"<NumberOfPreviousCPP>1</NumberOfPreviousCPP><SeenSocialWorker>1</SeenSocialWorker>"),
    ("2022", b"<CINPlanDates><CINPlanStartDate>2015-06-01</CINPlanStartDate></CINPlanDates>"),
    ("2026", b"<Sex>M</Sex>"),
)


def elements_of(schema: Path) -> dict[str, set[str]]:
    """The elements of each element of a schema, those of nameless types among them."""
    ns = {"xs": "http://www.w3.org/2001/XMLSchema"}
    root = etree.parse(schema).getroot()
    types = {t.get("name"): t for t in root.findall("xs:complexType", ns)}
    inner: dict[str, set[str]] = {}
    for element in root.iterfind(".//xs:element", ns):
        inside = element.find("xs:complexType", ns)
        if inside is None:
            inside = types.get(element.get("type"))
        if inside is not None:
            names = {str(e.get("name")) for e in inside.findall("xs:sequence/xs:element", ns)}
            inner.setdefault(str(element.get("name")), set()).update(names)
    return inner


@pytest.mark.parametrize("year", range(2017, 2025))
def test_every_element_of_every_schema_is_known_in_its_place(shared: Path, year: int) -> None:
    elements = elements_of(shared / "data" / "cin_census" / "xsd" / f"CIN_schema_{year}.xsd")
    places = [(outer, inner) for outer, names in elements.items() for inner in names]
    inside = [p for p in places if p[0] not in ("Message", "Header", "CollectionDetails", "Source")]
    assert len(inside) > 35
    known = words()
    for outer, inner in inside:
        place = known.top if outer == "Children" else ID[outer]
        assert known.actions[place, ID[inner]] != NOT_HERE, (outer, inner)


@pytest.mark.parametrize("layout", LAYOUTS, ids=[year for year, _ in LAYOUTS])
def test_elements_of_older_and_newer_layouts_are_no_faults(
    write: Any, layout: tuple[str, bytes]
) -> None:
    _, new = layout
    places = {b"<Num": b"<Reviews>", b"<CIN": b"<ReferralNFA>", b"<Sex": b"<GenderCurrent/>"}
    old = places[new[:4]]
    text = PLAIN.replace(old, new + (old if old != b"<GenderCurrent/>" else b""), 1)
    assert text != PLAIN
    agree(write(text))
    assert not plain(write(text))[0].oddities


@pytest.mark.spark
@pytest.mark.filterwarnings("ignore:The copy keyword is deprecated")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_session_of_spark_gets_the_same_records(write: Any, spark: Any) -> None:
    path = write(PLAIN)
    settings_ = CinCensusSettings(paths=(path.name,))
    here = CinCensus().read(settings_, Session(base=path.parent))
    session = Session(backend=spark, base=path.parent)
    there = CinCensus().read(settings_, session)
    for name in CinCensus.gives:
        assert there.tables[name].get_backend().name == "pyspark"
        left, right = (r.tables[name].to_pyarrow().to_pylist() for r in (here, there))
        assert sorted(left, key=str) == sorted(right, key=str)
    assert here.quality.checks.equals(there.quality.checks)
    session.release()


# What is recognised in the bytes.


def test_every_known_name_is_known_and_no_other() -> None:
    others = ["", "x", "Childs", "CHILD", "Chil", "AssessmentActuolStartDate", "A" * 40]
    others += [name[:-1] for name in NAMES[1:]] + [name + "2" for name in NAMES[1:]]
    others = [name for name in others if name not in ID or not name]
    names = [*NAMES[1:], *others]
    text = "".join(names).encode()
    lengths = np.array([len(name) for name in names])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    ids = words().ids(text + PADDING, starts, lengths)
    assert [NAMES[i] for i in ids[: len(NAMES) - 1]] == list(NAMES[1:])
    assert set(ids[len(NAMES) - 1 :]) == {UNKNOWN}


def test_every_day_of_the_years_is_read_and_nothing_else() -> None:
    days = pd.date_range(f"{FIRST_YEAR}-01-01", f"{LAST_YEAR}-12-31", freq="D", unit="s")
    wrong = ["2015-02-29", "2015-13-01", "2015-00-10", "2015-04-00", "2015-04-31", "1899-12-31"]
    wrong += ["2200-01-01", "20150101", "2015-1-01", "2015/01/01", "2O15-01-01", "2015-01-0x"]
    wrong += ["\x80015-01-01", "2015-01-:1", "/015-01-01", "2015-01-011", "", "201é-01-01"]
    texts = [day.encode() for day in [*days.strftime("%Y-%m-%d"), *wrong]]
    lengths = np.array([len(text) for text in texts])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    numbers, good = read_dates(b"".join(texts) + PADDING, starts, lengths)
    assert good[: len(days)].all()
    assert not good[len(days) :].any()
    expected = days.to_numpy().astype("datetime64[D]").astype(np.int64)
    assert (numbers[: len(days)] == expected).all()
