"""No cell of a table that we write is a formula to a spreadsheet."""

from __future__ import annotations

import csv
import doctest
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import settings as rules
from hypothesis import strategies as st
from result_factory import NAMES, make_result

from sos_plugins.cli.main import main
from sos_plugins.report import cells, write_report
from sos_plugins.report.cells import csv_of, harmless

EVIL = "=cmd|' /C calc'!A0"
SIGNS = ("=", "+", "-", "@", "\t", "\r")


def is_number(text: str) -> bool:
    try:
        float(text.replace(",", "").rstrip("%"))
    except ValueError:
        return False
    return True


def dangerous(text: str) -> bool:
    return text.startswith(SIGNS) and text != "-" and not is_number(text)


HARD = st.sampled_from(["=", "+", "-", "@", "\t", "\r", "\n", "1", ".", "e", ",", "a", '"'])


@rules(deadline=None)
@given(st.text(HARD, max_size=8))
def test_no_text_stays_a_formula_and_none_is_lost(text: str) -> None:
    shown = harmless(text)
    assert not dangerous(shown)
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    assert shown in (lines, f"'{lines}")
    ((cell, end),) = csv.reader(io.StringIO(csv_of(pd.DataFrame([[text, "x"]]))[4:], newline=""))
    assert (cell, end) == (shown, "x")


@rules(deadline=None)
@given(
    st.lists(st.tuples(st.text(max_size=6), st.floats(allow_nan=True), st.integers()), max_size=5)
)
def test_numbers_come_back_as_they_were(rows: list[tuple[Any, ...]]) -> None:
    frame = pd.DataFrame(rows, columns=["a", "=b", "c"])
    frame["mixed"] = frame["=b"].astype(object)
    back = pd.read_csv(io.StringIO(csv_of(frame)))
    assert list(back) == ["a", "'=b", "c", "mixed"]
    for name, given_ in (("'=b", "=b"), ("mixed", "=b")):
        np.testing.assert_array_equal(back[name].to_numpy(float), frame[given_].to_numpy(float))


@pytest.mark.parametrize("text", ["-1.5", "+3", "-1,234", "-1e-5", "-0.5%", "-inf", "-", "a=b", ""])
def test_plain_numbers_and_harmless_texts_stay(text: str) -> None:
    assert harmless(text) == text


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.csv"))


@pytest.mark.parametrize("sign", SIGNS)
def test_every_table_of_a_report(tmp_path: Path, sign: str) -> None:
    evil = sign + EVIL[1:]
    study = make_result()
    outcomes = tuple(
        replace(o, info=replace(o.info, label=evil, phrase=evil), warnings=(evil,),
                balance=o.balance.assign(covariate=evil), settings={evil: evil})
        for o in study.outcomes
    )  # fmt: skip
    study = replace(
        study,
        outcomes=outcomes,
        title=evil,
        unit_names={unit: f"{evil}{unit}" for unit in NAMES},
        record_quality=study.record_quality.assign(column=evil),
        pilots=study.pilots.assign(name=evil, **{evil: evil}),
        manifest={"files": [evil], "versions": {evil: evil}},
        settings={evil: evil},
    )
    write_report(study, tmp_path)
    assert len(files_of(tmp_path)) > 10
    n_safe = 0
    for path in files_of(tmp_path):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.reader(file):
                assert not [cell for cell in row if dangerous(cell)], path
                n_safe += sum(cell.startswith(f"'{sign}".replace("\r", "\n")) for cell in row)
    assert n_safe > 0


def test_the_tables_of_a_profile(tmp_path: Path) -> None:
    rows = f'"{EVIL}",2015,1,\n+1-1,2016,2,-3\n'
    (tmp_path / "cases.csv").write_text("unit,period,value,@x\n" + rows)
    out = tmp_path / "out"
    path = tmp_path / "cases.csv"
    result = CliRunner().invoke(
        main, ["profile", "--source", "tidy", "--set", f"path={path}", "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    texts = [file.read_text(encoding="utf-8") for file in files_of(out)]
    assert any("'=cmd" in text for text in texts)
    for path in files_of(out):
        with path.open(encoding="utf-8", newline="") as file:
            assert not [cell for row in csv.reader(file) for cell in row if dangerous(cell)], path


def test_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(cells).failed == 0
