"""The reader of looked-after returns against the csv module, and every oddity by hand."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import io
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from sos_sources.ssda903.source import Ssda903, Ssda903Settings, april_year
from source_helpers import Changes, changes, damaged, flagged, rows
from source_helpers import faults as all_faults
from variants import examples

from sos_plugins import Records, Session
from sos_plugins.cli.main import main
from sos_plugins.contract.record_tables import TABLES
from sos_plugins.errors import DataError, SosError
from sos_plugins.host.settings import validate

DAY = dt.date
HEADER = "CHILD,DECOM,RNE,LS,CIN,PLACE,PLACE_PROVIDER,DEC,REC"


def read(folder: Path, *, paths: Any = ".", authority: str = "330", **values: Any) -> Records:
    given_ = {"paths": paths, "authority": authority, **values}
    settings_ = validate(Ssda903Settings, given_, where="test")
    return Ssda903().read(settings_, Session(base=folder))


def episodes(records: Records) -> list[dict[str, Any]]:
    return rows(records, "episodes")


def faults(records: Records) -> dict[tuple[str, str, str], int]:
    return {key: n for key, n in all_faults(records).items() if key[0] != "children"}


def put(folder: Path, *lines: str, name: str = "episodes.csv", header: str = HEADER) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join([header, *lines]) + "\n")
    return folder


def periods(records: Records) -> list[int]:
    return [r["period_of_care"] for r in episodes(records)]


# The sample return, read again with the csv module.


def uk(text: str) -> dt.date | None:
    return dt.datetime.strptime(text, "%d/%m/%Y").date() if text else None


def chain(episodes: Iterable[dict[str, Any]], gap: int = 0) -> dict[tuple[str, dt.date], int]:
    """Number periods of care one child at a time, in plain Python."""
    numbers: dict[tuple[str, dt.date], int] = {}
    before: dict[str, Any] | None = None
    for one in sorted(episodes, key=lambda e: (e["child"], e["start"])):
        if before is None or before["child"] != one["child"]:
            number = 1
        else:
            near = before["end"] is None or (one["start"] - before["end"]).days <= gap
            reason = before["reason"]
            goes_on = near and (reason == "X1" or (not reason and one["rne"] != "S"))
            number += not goes_on
        numbers[one["child"], one["start"]] = number
        before = one
    return numbers


def test_every_row_of_the_sample_is_accounted_for(shared: Path) -> None:
    folder = shared / "data" / "ssda903"
    records = read(folder)
    with (folder / "episodes.csv").open() as file:
        raw: list[dict[str, Any]] = [
            {
                "child": r["CHILD"],
                "start": uk(r["DECOM"]),
                "end": uk(r["DEC"]),
                "reason": r["REC"],
                "rne": r["RNE"],
                "codes": (r["LS"], r["CIN"], r["PLACE"], r["PLACE_PROVIDER"]),
            }
            for r in csv.DictReader(file)
        ]
    given = episodes(records)
    assert len(given) == len(raw) == 5050
    assert {
        (r["child"], r["start_date"], r["end_date"], r["reason_end"], r["reason_start"])
        for r in given
    } == {(e["child"], e["start"], e["end"], e["reason"], e["rne"]) for e in raw}
    assert {
        (
            r["child"],
            r["start_date"],
            r["legal_status"],
            r["cin"],
            r["placement"],
            r["placement_provider"],
        )
        for r in given
    } == {(e["child"], e["start"], *e["codes"]) for e in raw}
    assert {(r["child"], r["start_date"]): r["period_of_care"] for r in given} == chain(raw)

    with (folder / "header.csv").open() as file:
        header = {
            r["CHILD"]: (uk(r["DOB"]), {"1": "male", "2": "female"}[r["SEX"]], r["ETHNIC"])
            for r in csv.DictReader(file)
        }
    with (folder / "uasc.csv").open() as file:
        alone = {r["CHILD"] for r in csv.DictReader(file)}
    children = rows(records, "children")
    assert {r["child"]: (r["birth_date"], r["sex"], r["ethnicity"]) for r in children} == header
    assert {r["child"] for r in children if r["uasc"]} == alone
    assert {r["uasc"] for r in children} == {True, False}


def test_coverage_of_the_sample_ends_with_the_year_of_its_last_start(shared: Path) -> None:
    # One episode ends on 1 April 2018; that day must not add a year of follow-up.
    records = read(shared / "data" / "ssda903")
    assert (records.start, records.end) == (DAY(2017, 4, 1), DAY(2018, 3, 31))


# Periods of care.


@pytest.mark.parametrize(
    ("episodes", "expected"),
    [
        (["01/05/2015,S,..,01/06/2015,X1", "01/06/2015,L,..,,"], [1, 1]),
        (["01/05/2015,S,..,01/06/2015,E4A", "01/06/2015,S,..,,"], [1, 2]),
        (["01/05/2015,S,..,01/06/2015,E4A", "01/09/2015,S,..,,"], [1, 2]),
        # X1, but the next episode starts later: not one period.
        (["01/05/2015,S,..,01/06/2015,X1", "03/06/2015,L,..,,"], [1, 2]),
        # No reason: RNE decides, and a gap does.
        (["01/05/2015,S,..,01/06/2015,", "01/06/2015,P,..,,"], [1, 1]),
        (["01/05/2015,S,..,01/06/2015,", "01/06/2015,S,..,,"], [1, 2]),
        (["01/05/2015,S,..,01/06/2015,", "02/06/2015,P,..,,"], [1, 2]),
        (["01/05/2015,S,..,,", "01/06/2015,P,..,,"], [1, 1]),
        # Overlapping episodes joined by X1 stay one period.
        (["01/05/2015,S,..,01/07/2015,X1", "01/06/2015,L,..,,"], [1, 1]),
        # A period over three episodes and a second one.
        (
            [
                "01/05/2015,S,..,01/06/2015,X1",
                "01/06/2015,P,..,01/08/2015,X1",
                "01/08/2015,L,..,01/09/2015,E45",
                "01/12/2015,S,..,,",
            ],
            [1, 1, 1, 2],
        ),
    ],
)
def test_chaining(tmp_path: Path, episodes: list[str], expected: list[int]) -> None:
    lines = ["A," + e.replace("..", "C2,N1,U1,PR0") for e in episodes]
    random.Random(1).shuffle(lines)
    assert periods(read(put(tmp_path, *lines))) == expected


def test_the_gap_that_still_joins_is_a_setting(tmp_path: Path) -> None:
    put(
        tmp_path,
        "A,01/05/2015,S,C2,N1,U1,PR0,01/06/2015,X1",
        "A,03/06/2015,L,C2,N1,U1,PR0,,",
    )
    assert periods(read(tmp_path)) == [1, 2]
    assert periods(read(tmp_path, max_gap_days=1)) == [1, 2]
    assert periods(read(tmp_path, max_gap_days=2)) == [1, 1]


def test_contradictions_between_reasons_are_counted(tmp_path: Path) -> None:
    put(
        tmp_path,
        "A,01/05/2015,S,C2,N1,U1,PR0,01/06/2015,X1",
        "A,01/06/2015,S,C2,N1,U1,PR0,01/07/2015,X1",  # starts anew, but X1 joins it
        "A,05/07/2015,L,C2,N1,U1,PR0,01/07/2015,E4A",  # goes on, but late; ends before it starts
        "A,06/07/2015,L,C2,N1,U1,PR0,,",  # goes on, but the period had ended
    )
    assert faults(read(tmp_path)) == {
        ("episodes", "reason_start", "conflict"): 3,
        ("episodes", "reason_end", "conflict"): 1,
        ("episodes", "end_date", "out-of-order"): 1,
    }


def test_children_are_not_chained_to_one_another(tmp_path: Path) -> None:
    put(
        tmp_path / "330",
        "A,01/05/2015,S,C2,N1,U1,PR0,01/06/2015,X1",
        "B,01/06/2015,L,C2,N1,U1,PR0,,",
    )
    put(tmp_path / "331", "A,01/06/2015,L,C2,N1,U1,PR0,,")
    records = read(tmp_path, authority="folder")
    assert [(r["unit"], r["child"], r["period_of_care"]) for r in episodes(records)] == [
        ("330", "A", 1),
        ("330", "B", 1),
        ("331", "A", 1),
    ]


# Several years.


def test_an_open_episode_is_closed_by_a_later_return(tmp_path: Path) -> None:
    put(tmp_path / "2015-16", "A,01/05/2015,S,C1,N1,U1,PR0,,")
    put(
        tmp_path / "2016-17",
        "A,01/05/2015,S,C1,N1,U1,PR0,01/06/2016,X1",
        "A,01/06/2016,L,C2,N1,U1,PR0,,",
    )
    records = read(tmp_path)
    assert [(r["end_date"], r["reason_end"], r["period_of_care"]) for r in episodes(records)] == [
        (DAY(2016, 6, 1), "X1", 1),
        (None, None, 1),
    ]
    assert faults(records) == {("episodes", "", "recurrence"): 1}
    assert (records.start, records.end) == (DAY(2015, 4, 1), DAY(2017, 3, 31))


def test_the_latest_return_wins_and_a_disagreement_is_counted(tmp_path: Path) -> None:
    put(tmp_path / "1617", "A,01/05/2015,S,C2,N1,U3,PR0,,")
    put(tmp_path / "1516", "A,01/05/2015,S,C1,N1,U1,PR0,01/02/2016,E4A")
    records = read(tmp_path)
    (one,) = episodes(records)
    assert (one["legal_status"], one["placement"], one["end_date"]) == ("C2", "U3", None)
    assert faults(records) == {
        ("episodes", "", "recurrence"): 1,
        ("episodes", "legal_status", "conflict"): 1,
        ("episodes", "placement", "conflict"): 1,
        ("episodes", "end_date", "conflict"): 1,
        ("episodes", "reason_end", "conflict"): 1,
    }


def test_the_same_episode_twice_in_a_return(tmp_path: Path) -> None:
    put(
        tmp_path,
        "A,01/05/2015,S,C1,N1,U1,PR0,01/06/2015,E4A",
        "A,01/05/2015,S,C1,N1,U1,PR0,,",
    )
    records = read(tmp_path)
    assert [r["end_date"] for r in episodes(records)] == [DAY(2015, 6, 1)]
    assert faults(records) == {("episodes", "", "duplicate"): 1}


@pytest.mark.parametrize("seed", range(3))
def test_merging_and_chaining_against_plain_python(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    starts = [DAY(2014, 5, 1) + dt.timedelta(days=20 * i) for i in range(10)]
    seen: dict[tuple[str, dt.date], list[tuple[int, tuple[Any, ...]]]] = {}
    for year in (2014, 2015):
        lines = []
        for _ in range(60):
            name, start = f"C{draw.randrange(8)}", draw.choice(starts)
            end = draw.choice([None, start + dt.timedelta(days=20), start + dt.timedelta(days=25)])
            reason = draw.choice(["X1", "E4A", ""]) if end else ""
            rne = draw.choice("SLP")
            shown = f"{end:%d/%m/%Y}" if end else ""
            lines.append(f"{name},{start:%d/%m/%Y},{rne},C2,N1,U1,PR0,{shown},{reason}")
            seen.setdefault((name, start), []).append((year, (rne, end, reason)))
        put(tmp_path / f"{year}-{year + 1 - 2000}", *lines)
    expected = []
    for (name, start), alike in seen.items():
        rne = alike[-1][1][0]
        last = [values for year, values in alike if year == alike[-1][0]]
        closed = [v for v in last if v[1] or v[2]] or [(rne, None, "")]
        expected.append(
            {
                "child": name,
                "start": start,
                "rne": rne,
                "end": closed[-1][1],
                "reason": closed[-1][2],
            }
        )
    records = read(tmp_path)
    got = episodes(records)
    assert {(r["child"], r["start_date"], r["end_date"], r["reason_end"]) for r in got} == {
        (e["child"], e["start"], e["end"], e["reason"] or None) for e in expected
    }
    assert {(r["child"], r["start_date"]): r["period_of_care"] for r in got} == chain(expected)
    merged = flagged(records, "episodes", "", "duplicate")
    merged += flagged(records, "episodes", "", "recurrence")
    assert len(got) + merged == 120


# Folders, names, years.


@pytest.mark.parametrize(
    ("name", "year"),
    [
        ("2015-16", 2015),
        ("2015_2016", 2015),
        ("SSDA903_1516_episodes", 2015),
        ("201516", 2015),
        ("2016", 2015),
        ("year to March 2016", 2015),
        ("1999-00", None),
        ("330", None),
        ("SSDA903", None),
        ("20160331", None),
        ("returns", None),
    ],
)
def test_the_year_in_a_name(name: str, year: int | None) -> None:
    assert april_year(name) == year


def test_a_tree_of_authorities_and_years(tmp_path: Path) -> None:
    put(tmp_path / "006 Town" / "2015-16", "A,01/05/2015,S,C1,N1,U1,PR0,,")
    put(tmp_path / "006 Town" / "2017-18", "B,01/05/2017,S,C1,N1,U1,PR0,,")
    put(tmp_path / "SSDA903_331", "A,01/05/2016,S,C1,N1,U1,PR0,,", name="SSDA903_1617_EPISODES.CSV")
    put(tmp_path / "SSDA903_331", "A", name="SSDA903_1617_uasc.csv", header="child")
    (tmp_path / "006 Town" / "2015-16" / "reviews.csv").write_text("CHILD\nZ\n")
    records = read(tmp_path, authority="folder")
    assert [(r["unit"], r["start_date"].year) for r in episodes(records)] == [
        ("006", 2015),
        ("006", 2017),
        ("331", 2016),
    ]
    assert {(r["unit"], r["child"], r["uasc"]) for r in rows(records, "children")} == {
        ("006", "A", None),
        ("006", "B", None),
        ("331", "A", True),
    }
    gaps = records.quality.checks.query("check == 'missing-return' and n_flagged > 0")
    assert list(zip(gaps["unit"], gaps["period"], strict=True)) == [
        ("006", 2016),
        ("331", 2015),
        ("331", 2017),
    ]


def test_a_folder_without_a_code(tmp_path: Path) -> None:
    put(tmp_path / "Town" / "2015-16", "A,01/05/2015,S,C1,N1,U1,PR0,,")
    with pytest.raises(DataError, match=r"names no authority: expected one three-digit code"):
        read(tmp_path, authority="folder")


def test_a_name_that_contradicts_the_dates(tmp_path: Path) -> None:
    put(tmp_path / "2013-14", "A,01/05/2015,S,C1,N1,U1,PR0,,")
    with pytest.raises(
        DataError, match=r"April 2013 to March 2014, but 1 of 1 episodes start later"
    ):
        read(tmp_path)
    records = read(tmp_path, years="data")
    assert records.end == DAY(2016, 3, 31)


def test_coverage_can_be_given(tmp_path: Path) -> None:
    put(tmp_path, "A,01/05/2015,S,C1,N1,U1,PR0,,")
    records = read(tmp_path, start=DAY(2014, 1, 1), end=DAY(2015, 12, 31))
    assert (records.start, records.end) == (DAY(2014, 1, 1), DAY(2015, 12, 31))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"names no \.csv file"):
        read(tmp_path)
    (tmp_path / "header.csv").write_text("CHILD,SEX,DOB,ETHNIC\n")
    with pytest.raises(DataError, match="No file with 'episodes' in its name"):
        read(tmp_path)
    put(tmp_path / "2016", "A,01/05/2015,S,C1,N1,U1,PR0,,")
    with pytest.raises(
        DataError, match=r"header.csv belongs to a return without a file of episodes"
    ):
        read(tmp_path)
    (tmp_path / "header.csv").unlink()
    put(tmp_path / "2016", "A,01/05/2015,S,C1,N1,U1,PR0,,", name="episodes_.csv")
    with pytest.raises(DataError, match="two files of one return that hold 'episodes'"):
        read(tmp_path)


# Columns and cells.


def test_columns_in_any_order_and_case_and_older_returns_without_provider(tmp_path: Path) -> None:
    put(
        tmp_path,
        "E4a,u1,c2,s,01/05/2015,02/05/2015,A",
        header="rec,Place,LS,rne,DECOM,dec,child",
        name="Episodes.csv",
    )
    records = read(tmp_path)
    assert episodes(records) == [
        {
            "unit": "330",
            "child": "A",
            "start_date": DAY(2015, 5, 1),
            "reason_start": "S",
            "legal_status": "C2",
            "cin": None,
            "placement": "U1",
            "placement_provider": None,
            "end_date": DAY(2015, 5, 2),
            "reason_end": "E4A",
            "period_of_care": 1,
        }
    ]
    assert set(records.tables) == set(Ssda903.gives) - {"deprivation_orders"}
    for name, table in records.tables.items():
        assert table.to_pyarrow().schema.equals(TABLES[name])


def test_a_wrong_or_doubled_column_is_a_sentence(tmp_path: Path) -> None:
    put(tmp_path, header=HEADER.replace("DECOM", "DECOMM"))
    said = r"episodes.csv has no column DECOM. Did you mean 'DECOMM'\? Expected CHILD, DECOM"
    with pytest.raises(DataError, match=said):
        read(tmp_path)
    put(tmp_path, header=HEADER + ",Child")
    with pytest.raises(DataError, match="2 columns named CHILD"):
        read(tmp_path)


def test_faulty_cells_are_counted_with_their_lines(tmp_path: Path) -> None:
    put(
        tmp_path,
        "A,01/05/2015,S,C2,N1,U1,PR0,,",
        "",
        "B,2015-05-01,S,C2,N1,U1,PR0,,",  # not the format: dropped
        ",01/05/2015,S,C2,N1,U1,PR0,,",  # no child: dropped
        "C,01/05/2015,S,C9,N1,Q1,PR0,31/02/2016,E99",
        "D,01/05/1066,S,C2,N1,U1,PR0,,",  # impossible: dropped
        "E,01/05/2015,S,C2,N1,U1",  # too short: dropped
        '"F\nF",1/5/2015,S,C2,N1,U1,PR0,,',
        "G,01/05/2015,S,C2,N1,U1,PR0,01/05/2025,E4A",
    )
    records = read(tmp_path)
    assert {r["child"] for r in episodes(records)} == {"A", "C", "F\nF", "G"}
    assert faults(records) == {
        ("files", "episodes.csv", "line-break"): 1,
        ("episodes", "", "unreadable"): 1,
        ("episodes", "child", "missing"): 1,
        ("episodes", "start_date", "unreadable"): 1,
        ("episodes", "start_date", "impossible-date"): 1,
        ("episodes", "start_date", "missing"): 2,
        ("episodes", "legal_status", "unknown-code"): 1,
        ("episodes", "placement", "code-of-another-year"): 1,
        ("episodes", "reason_end", "unknown-code"): 1,
        ("episodes", "end_date", "unreadable"): 1,
        ("episodes", "end_date", "impossible-date"): 1,
        ("episodes", "end_date", "missing"): 2,
    }
    examples = records.quality.examples
    shown = examples[examples["table"] == "episodes"].set_index(["column", "check"])["line"]
    assert shown["", "unreadable"] == 8
    assert shown["start_date", "unreadable"] == 4
    assert shown["end_date", "impossible-date"] == 11


def test_placement_codes_of_all_years_are_known_and_counted_outside_their_years(
    tmp_path: Path,
) -> None:
    told = [
        ("Q1", "01/05/2014", "01/06/2015", False),  # began while the code was there
        ("Q2", "01/04/2015", "01/06/2015", True),
        ("U1", "01/03/2015", "01/06/2015", False),
        ("U6", "01/05/2014", "31/03/2015", True),
        ("Z1", "31/03/2025", "", False),
        ("H5", "01/04/2025", "", True),
        ("K3", "01/05/2024", "", False),
        ("Z11", "01/04/2025", "", False),
        ("Z14", "01/05/2014", "01/06/2014", True),
    ]
    lines = [
        f"C{i},{start},S,C2,N1,{code},PR1,{end},{'E11' if end else ''}"
        for i, (code, start, end, _) in enumerate(told)
    ]
    records = read(put(tmp_path, *lines), years="data", year_share=0.0)
    assert flagged(records, "episodes", "placement", "unknown-code") == 0
    assert flagged(records, "episodes", "placement", "code-of-another-year") == 4
    kept = {row["child"]: row["placement"] for row in episodes(records)}
    assert kept == {f"C{i}": code for i, (code, *_) in enumerate(told)}


def test_children_without_a_header_row_stay_and_are_counted(tmp_path: Path) -> None:
    put(tmp_path, "A,01/05/2015,S,C2,N1,U1,PR0,,", "B,01/05/2015,S,C2,N1,U1,PR0,,")
    put(
        tmp_path,
        "A,1,01/02/2005,wbri",
        "A,2,01/02/2005,NOBT",
        "Z,3,01/02/1950,WBRI",
        ",1,01/02/2005,WBRI",
        header="CHILD,SEX,DOB,ETHNIC",
        name="header.csv",
    )
    records = read(tmp_path)
    assert [
        (r["child"], r["sex"], r["birth_date"], r["ethnicity"]) for r in rows(records, "children")
    ] == [
        ("A", "female", DAY(2005, 2, 1), "WBRI"),
        ("B", None, None, None),
        ("Z", None, None, "WBRI"),
    ]
    for column, check, n in (
        ("header", "missing", 1),
        ("", "duplicate", 1),
        ("sex", "conflict", 1),
        ("ethnicity", "conflict", 0),
        ("sex", "unknown-code", 1),
        ("birth_date", "impossible-date", 1),
        ("child", "missing", 1),
    ):
        assert flagged(records, "children", column, check) == n, (column, check)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = HEADER.replace(",", ";") + "\r\nÇé1;01/05/2015;S;C2;N1;U1;PR0;;\r\n"
    (tmp_path / "episodes.csv").write_bytes(text.encode(encoding))
    assert episodes(read(tmp_path))[0]["child"] == "Çé1"


def test_nothing_usable_is_a_sentence(tmp_path: Path) -> None:
    put(tmp_path, "A,2015-05-01,S,C2,N1,U1,PR0,,")
    with pytest.raises(DataError, match=r"no start of an episode \(DECOM\) can be read"):
        read(tmp_path, unreadable_share=1)
    put(tmp_path, ",01/05/2015,S,C2,N1,U1,PR0,,")
    with pytest.raises(
        DataError, match=r"Of 1 looked-after episodes in episodes\.csv none is usable"
    ):
        read(tmp_path)
    (tmp_path / "episodes.csv").write_text("")
    with pytest.raises(DataError, match="is empty"):
        read(tmp_path)


def test_a_file_with_dates_of_another_format_is_refused(tmp_path: Path) -> None:
    good = [
        f"{c},01/05/2015,S,C2,N1,U1,PR0,,".replace("01", f"{i + 1:02}") for i, c in enumerate("AB")
    ]
    bad = [f"{c},2015-05-01,S,C2,N1,U1,PR0,," for c in "CDE"]
    put(tmp_path, *good, *bad[:2], ",,S,C2,N1,U1,PR0,,")
    assert len(episodes(read(tmp_path))) == 2  # half is not more than half
    put(tmp_path, *good, *bad)
    said = r"episodes\.csv, column DECOM: 3 of 5 dates .* form 9999-99-99; expected dd/mm/yyyy"
    with pytest.raises(DataError, match=said):
        read(tmp_path)
    assert len(episodes(read(tmp_path, unreadable_share=0.6))) == 2


def test_births_of_another_format_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "A,01/05/2015,S,C2,N1,U1,PR0,,")
    births = ["A,1,2 May 2001,WBRI", "B,1,,WBRI"]
    put(tmp_path, *births, name="header.csv", header="CHILD,SEX,DOB,ETHNIC")
    with pytest.raises(DataError, match=r"header\.csv, column DOB: 1 of 1 dates .* 9 AAA 9999"):
        read(tmp_path)


BASE = "\n".join(
    [
        HEADER,
        "A,01/05/2015,S,C2,N1,U1,PR0,01/06/2015,X1",
        "A,01/06/2015,L,C2,N1,U1,PR0,,",
        '"B",01/06/2015,L,C2,N1,"U1",PR0,,',
    ]
).encode()


@settings(max_examples=examples(40), deadline=None)
@given(changes(BASE))
def test_mutated_files_are_records_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, changed: Changes
) -> None:
    folder = tmp_path_factory.mktemp("mutated")
    (folder / "episodes.csv").write_bytes(damaged(BASE, changed))
    with contextlib.suppress(SosError):
        assert episodes(read(folder))


# The sample with its files damaged.

LINES = 300
"""Lines of the sample that are damaged: what can go wrong does in a few."""


def _flipped(text: bytes, draw: random.Random) -> bytes:
    result = bytearray(text)
    for _ in range(5):
        result[draw.randrange(len(result))] ^= 1 << draw.randrange(8)
    return bytes(result)


def _swapped(text: bytes, draw: random.Random) -> bytes:
    head, *lines = text.splitlines(keepends=True)
    cells = [line.split(b",") for line in lines]
    for _ in range(20):
        draw.shuffle(draw.choice(cells))
    return head + b"".join(b",".join(row) for row in cells)


MUTATIONS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "truncated": lambda text, draw: text[: draw.randrange(200, len(text))],
    "bytes flipped": _flipped,
    "cells swapped": _swapped,
    "utf-16": lambda text, _: text.decode().encode("utf-16"),
    "windows-1252": lambda text, _: text.replace(b"N1", b"N\xe9"),
    "byte order mark": lambda text, _: b"\xef\xbb\xbf" + text,
    "crlf": lambda text, _: text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
    "huge field": lambda text, _: text.replace(b",S,", b"," + b"S" * 100_000 + b",", 1),
    "quotation mark": lambda text, _: text.replace(b",S,", b',"S,', 1),
    "header twice": lambda text, _: text.split(b"\n", 1)[0] + b"\n" + text,
    "column twice": lambda text, _: text.replace(b"CHILD,", b"CHILD,CHILD,", 1),
    "column missing": lambda text, _: text.replace(b"DECOM", b"STARTED", 1),
}


@pytest.mark.parametrize("kind", MUTATIONS)
def test_mutated_samples_are_records_or_a_sentence_and_no_episode_is_lost(
    shared: Path, tmp_path: Path, kind: str
) -> None:
    draw = random.Random(kind)
    text = (shared / "data" / "ssda903" / "episodes.csv").read_bytes()
    some = b"".join(text.splitlines(keepends=True)[:LINES])
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "episodes.csv").write_bytes(MUTATIONS[kind](some, draw))
        try:
            records = read(folder)
        except SosError:
            continue
        merged, dropped = _merged_and_dropped(records)
        assert len(episodes(records)) + merged + dropped == _n_rows(folder / "episodes.csv")


def _n_rows(path: Path) -> int:
    """Rows below the header that hold anything, by the csv module."""
    data = path.read_bytes()
    text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1")
    return sum(1 for row in csv.reader(io.StringIO(text, newline="")) if row) - 1


def _merged_and_dropped(records: Records) -> tuple[int, int]:
    frame = records.quality.checks[records.quality.checks["table"] == "episodes"]
    merged = frame["check"].isin(["duplicate", "recurrence"])
    dropped = (frame["action"] == "dropped") & frame["check"].isin(["missing", "unreadable"])
    return int(frame.loc[merged, "n_flagged"].sum()), int(frame.loc[dropped, "n_flagged"].sum())


# Orders that deprive a child of liberty, in returns from 2026-27 on.


DOLO = "CHILD,DOB,DOLO_START,DOLO_END"


def test_orders_of_two_returns_are_united_and_one_that_was_open_ends(tmp_path: Path) -> None:
    first, second = tmp_path / "2026-27", tmp_path / "2027-28"
    put(first, "A,01/05/2026,S,C2,N1,K2,PR1,,")
    put(second, "A,01/05/2026,S,C2,N1,K2,PR1,,")
    put(
        first,
        "A,03/04/2012,01/06/2026,01/07/2026",
        "A,03/04/2012,02/03/2027,",
        name="dolo.csv",
        header=DOLO,
    )
    put(second, "A,03/04/2012,02/03/2027,30/04/2027", name="DoLo.csv", header=DOLO.lower())
    records = read(tmp_path, authority="330")
    own = {"unit": "330", "child": "A"}
    june, march = (DAY(2026, 6, 1), DAY(2026, 7, 1)), (DAY(2027, 3, 2), DAY(2027, 4, 30))
    assert rows(records, "deprivation_orders") == [
        {**own, "start_date": june[0], "end_date": june[1], "return_year": 2026},
        {**own, "start_date": march[0], "end_date": march[1], "return_year": 2027},
    ]
    assert (
        records.tables["deprivation_orders"]
        .to_pyarrow()
        .schema.equals(TABLES["deprivation_orders"])
    )
    # No header: the birth that the orders tell is better than none.
    (child,) = rows(records, "children")
    assert (child["birth_date"], child["uasc"]) == (DAY(2012, 4, 3), None)


def test_faulty_orders_are_kept_and_counted(tmp_path: Path) -> None:
    put(tmp_path / "2026-27", "A,01/05/2026,S,C2,N1,K2,PR1,,")
    put(
        tmp_path / "2026-27",
        "A,,31/02/2026,01/07/2026",
        "A,,,02/07/2026",
        "A,,03/08/2026,yesterday",
        "A,,03/09/2026,02/09/2026",
        "A,,03/09/2026,02/09/2026",
        ",,03/09/2026,04/09/2026",
        name="dolo.csv",
        header=DOLO,
    )
    records = read(tmp_path)
    spans = {(r["start_date"], r["end_date"]) for r in rows(records, "deprivation_orders")}
    assert spans == {
        (None, DAY(2026, 7, 1)),
        (None, DAY(2026, 7, 2)),
        (DAY(2026, 8, 3), None),
        (DAY(2026, 9, 3), DAY(2026, 9, 2)),
    }
    found = {key[1:]: n for key, n in faults(records).items() if key[0] == "deprivation_orders"}
    assert found == {
        ("start_date", "unreadable"): 1,
        ("start_date", "missing"): 2,
        ("end_date", "unreadable"): 1,
        ("end_date", "out-of-order"): 1,
        ("child", "missing"): 1,
        ("", "duplicate"): 1,
    }


def test_orders_under_another_name_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "A,01/05/2026,S,C2,N1,K2,PR1,,")
    put(tmp_path, "A,,01/06/2026,", name="liberty.csv", header=DOLO)
    with pytest.raises(DataError, match="has the columns of a file of dolo, but not 'dolo'"):
        read(tmp_path)


def test_a_header_knows_births_better_than_orders(tmp_path: Path) -> None:
    put(tmp_path, "A,01/05/2026,S,C2,N1,K2,PR1,,")
    put(tmp_path, "A,M,04/04/2012,WBRI", name="header.csv", header="CHILD,SEX,DOB,ETHNIC")
    put(tmp_path, "A,03/04/2012,01/06/2026,", name="dolo.csv", header=DOLO)
    (child,) = rows(read(tmp_path), "children")
    assert (child["birth_date"], child["sex"]) == (DAY(2012, 4, 4), "male")


# Further columns of the return.


def test_a_further_column_is_carried_into_the_table_of_its_file(tmp_path: Path) -> None:
    for year, lines in {
        "2014-15": ["a,01/05/2014,S,C2,N1,U1,PR1,,,SW1A", "b,01/05/2014,S,C2,N1,U1,PR1,,,N1"],
        "2015-16": ["a,01/05/2014,S,C2,N1,U1,PR1,,,E2", "b,01/05/2014,S,C2,N1,U1,PR1,,,"],
    }.items():
        folder = put(tmp_path / year, *lines, header=f"{HEADER},pl_post")
        head = {"name": "header.csv", "header": "CHILD,SEX,DOB,ETHNIC,MOTHER"}
        put(folder, "a,1,01/02/2010,WBRI,1", **head)
    put(tmp_path / "2016-17", "a,01/05/2014,S,C2,N1,U1,PR1,,")  # a return without the column
    records = read(tmp_path, extra=["PL_POST", "mother"])
    # The latest value that is not missing counts, as for every other column.
    assert {r["child"]: r["PL_POST"] for r in episodes(records)} == {"a": "E2", "b": "N1"}
    assert {r["child"]: r["MOTHER"] for r in rows(records, "children")} == {"a": "1", "b": None}
    assert flagged(records, "episodes", "PL_POST", "conflict") == 1
    told = records.quality.checks.to_csv() + records.quality.examples.to_csv()
    assert "SW1A" not in told
    assert "E2" not in told
    less = read(tmp_path)
    assert less.tables["episodes"].columns == tuple(TABLES["episodes"].names)
    assert less.tables["children"].columns == tuple(TABLES["children"].names)


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ("PL_PSOT", "no 'PL_PSOT' in the files of episodes and headers. Did you mean 'PL_POST'"),
        ("cin", "'CIN' is read without it"),
        ("UNIT", "record table episodes has a column 'unit' already"),
    ],
)
def test_a_further_column_that_cannot_be_is_a_sentence(
    tmp_path: Path, extra: str, sentence: str
) -> None:
    line = "a,01/05/2014,S,C2,N1,U1,PR1,,,SW1A,x"
    put(tmp_path / "2014-15", line, header=f"{HEADER},PL_POST,UNIT")
    with pytest.raises(DataError, match=sentence):
        read(tmp_path, extra=[extra])


def test_names_are_given_once(tmp_path: Path) -> None:
    with pytest.raises(SosError, match="'pl_post' stands there twice"):
        read(tmp_path, extra=["PL_POST", "pl_post"])


def test_no_page_lists_values_of_a_further_column(tmp_path: Path) -> None:
    lines = [f"{n},01/05/2014,S,C2,N1,U1,PR1,,,SECRET" for n in range(30)]
    put(tmp_path / "2014-15", *lines, header=f"{HEADER},PL_POST")
    chosen = ["--source", "ssda903", "--set", "paths=.", "--set", 'authority="330"']
    command = ["profile", *chosen, "--set", 'extra=["PL_POST"]', "--data", str(tmp_path)]
    done = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "out"), "--no-r"])
    assert done.exit_code == 0, done.output
    written = [f for f in (tmp_path / "out").rglob("*") if f.is_file()]
    assert written
    assert not [f for f in written if b"SECRET" in f.read_bytes()]
    assert "SECRET" not in done.output
