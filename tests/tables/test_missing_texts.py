"""What stands for a missing value, and that it is told."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sos_sources.sql.database import Database, DatabaseSettings
from sos_sources.tables.tidy import Tidy, TidySettings
from variants import examples

from sos_plugins import Records, Session
from sos_plugins.cli.main import main
from sos_plugins.errors import DataError
from sos_plugins.host.settings import validate
from sos_plugins.study.study import Study
from sos_plugins.tables.file_columns import MISSING, read_columns
from sos_plugins.tables.read_table import TidySample, read_sample

COLUMNS = {"unit": "area", "period": "year", "cohort": "adopted", "value": "score"}
ROWS = [
    (area, year, adopted, i + (7 * i + 3 * year * year) % 11 + 2 * (0 < adopted <= year))
    for i, (area, adopted) in enumerate([("A", 3), ("B", 3), ("C", 0), ("D", 0), ("E", 0)])
    for year in range(1, 6)
]


def table(folder: Path, cells: list[str], name: str = "data.csv") -> Path:
    lines = ["area,year,adopted,score,support"]
    lines += [",".join(map(str, (*row, cell))) for row, cell in zip(ROWS, cells, strict=True)]
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def sample(path: Path, **values: Any) -> TidySample:
    return read_sample(path, **COLUMNS, **values)


def tidy(folder: Path, name: str = "data.csv", **values: Any) -> Records:
    chosen = {"path": name, **COLUMNS, **values}
    return Tidy().read(validate(TidySettings, chosen, where="test"), Session(base=folder))


words = st.sampled_from([*(text for text in MISSING if text != "NA"), '"NA"', "nil", "none"])


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(words, min_size=len(ROWS), max_size=len(ROWS)))
def test_words_among_texts_are_levels_as_any_other(tmp_path: Path, cells: list[str]) -> None:
    cells[0] = "Much"
    plain = {cell: f"level {i}" for i, cell in enumerate(sorted(set(cells)))}
    tidy = sample(table(tmp_path, cells), covariates=["support"])
    neutral = sample(
        table(tmp_path, [plain[c] for c in cells], "plain.csv"), covariates=["support"]
    )
    assert tidy.notes == ()
    texts = [cell.strip('"') for cell in cells]
    assert tidy.sample.frame["support"].tolist() == texts
    assert neutral.sample.frame["support"].tolist() == [plain[cell] for cell in cells]
    others = [tidy.sample.frame, neutral.sample.frame]
    pd.testing.assert_frame_equal(*(frame.drop(columns="support") for frame in others))


def test_only_na_without_quotation_marks_is_missing_among_texts(tmp_path: Path) -> None:
    cells = ["NA", '"NA"', " NA ", '" NA "', "", '""', "None", *["x"] * 18]
    path = table(tmp_path, cells)
    column = read_columns(path).texts("support").to_pylist()
    assert column[:7] == [None, "NA", None, "NA", None, None, "None"]
    tidy = sample(path, covariates=["support"])
    assert tidy.notes == (
        "data.csv, column 'support': 2 cells 'NA' were read as missing (NA in quotation marks is "
        "text).",
        "4 rows without 'support' left out.",
    )


def test_texts_of_parquet_are_what_they_are(tmp_path: Path) -> None:
    texts = ["NA", "None", ".", "null", "", None]
    pq.write_table(pa.table({"x": texts}), tmp_path / "data.parquet")
    columns = read_columns(tmp_path / "data.parquet")
    assert columns.texts("x").to_pylist() == ["NA", "None", ".", "null", None, None]


def test_words_among_numbers_are_missing_and_told(tmp_path: Path) -> None:
    cells = ["None", ".", "NA", "null", *[str(i) for i in range(21)]]
    tidy = sample(table(tmp_path, cells), covariates=["support"])
    assert tidy.sample.frame["support"].tolist() == [float(i) for i in range(21)]
    assert tidy.notes[0] == (
        "data.csv, column 'support': 1 cell '.', 1 cell 'NA', 1 cell 'None', 1 cell 'null' were "
        "read as missing."
    )


@pytest.mark.parametrize("missing", ["None", "-9"])
def test_a_text_that_a_setting_names_is_missing_everywhere(tmp_path: Path, missing: str) -> None:
    as_text = table(tmp_path, [missing, f'"{missing}"', *["x"] * 23])
    as_number = table(tmp_path, [missing, missing, *["1"] * 12, *["2"] * 11], "numbers.csv")
    for path in (as_text, as_number):
        tidy = sample(path, covariates=["support"], missing=[missing])
        assert len(tidy.sample.frame) == len(ROWS) - 2
        assert f"2 cells '{missing}' were read as missing" in tidy.notes[0]


def test_a_number_that_a_setting_names_is_missing_in_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=["area", "year", "adopted", "score"])
    frame.assign(support=[-9, *range(24)]).to_parquet(tmp_path / "data.parquet")
    tidy = sample(tmp_path / "data.parquet", covariates=["support"], missing=["-9"])
    assert tidy.sample.frame["support"].tolist() == [float(i) for i in range(24)]


def test_units_named_na_are_kept_or_told(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text('area,year,adopted,score\n"NA",1,0,1\n"NA",2,0,1\nZA,1,2,1\nZA,2,2,2\n')
    assert set(sample(path).sample.frame["unit"]) == {"NA", "ZA"}
    path.write_text(path.read_text().replace('"', ""))
    with pytest.raises(DataError, match=r"no cell may be empty; found 'NA' \(line 2\)"):
        sample(path)
    assert "column 'area': 2 cells 'NA' were read as missing" in tidy(tmp_path).notes[0]


def test_not_a_number_is_no_code(tmp_path: Path) -> None:
    values = {"area": pa.array([1.0, float("nan")]), "year": [1, 2], "score": [1.0, 2.0]}
    pq.write_table(pa.table(values), tmp_path / "data.parquet")
    assert read_columns(tmp_path / "data.parquet").texts("area").to_pylist() == ["1", None]


def test_notes_are_warnings_of_every_engine_in_json(tmp_path: Path) -> None:
    path = table(tmp_path, ["NA", *["x", "y", "z"] * 8])
    words = ["estimate", "did", "--engine", "all", "--json", "--data", str(path)]
    for option, column in COLUMNS.items():
        words += [f"--{option}", column]
    result = CliRunner().invoke(main, [*words, "--covariates", "support"])
    assert result.exit_code == 0, result.output
    estimates = json.loads(result.stdout)
    assert len(estimates) > 1
    for estimate in estimates:
        assert "1 cell 'NA' was read as missing" in estimate["warnings"][0]
        assert estimate["warnings"][1] == "1 row without 'support' left out."
        assert estimate["glance"]["n_cases"] == len(ROWS) - 1
    more = CliRunner().invoke(main, [*words, "--covariates", "support", "--missing", "x"])
    assert "8 cells 'x'" in json.loads(more.stdout)[0]["warnings"][0]


STUDY = """
[study]
name = "small"
title = "Small"
[[sources]]
plugin = "tidy"
path = "data.csv"
unit = "area"
period = "year"
value = "score"
cohort = "adopted"
{setting}
[design]
pilots = [{{ unit = "A", cohort = 3 }}, {{ unit = "B", cohort = 3 }}]
[matching]
units = {{ plugin = "whole-pool" }}
[[outcomes]]
plugin = "tidy-value"
[[estimators]]
plugin = "did"
engines = ["python"]
[sensitivity]
families = []
[rating]
plugin = "wwcsc"
"""


def run(folder: Path, setting: str = "") -> Any:
    (folder / "study.toml").write_text(STUDY.format(setting=setting))
    return Study.from_toml(folder / "study.toml").run()


def test_a_study_keeps_a_level_that_reads_none(tmp_path: Path) -> None:
    cells = random.Random(3).choices(["None", "Much", "Some"], k=len(ROWS))
    table(tmp_path, cells)
    result = run(tmp_path)
    neutral = tmp_path / "neutral"
    neutral.mkdir()
    table(neutral, [c.replace("None", "No") for c in cells])
    assert result.outcomes[0].main.estimate == pytest.approx(run(neutral).outcomes[0].main.estimate)
    assert not [w for w in result.warnings if "missing" in w]


def test_a_study_tells_what_was_read_as_missing_and_which_covariate_went(tmp_path: Path) -> None:
    table(tmp_path, ["NA", "None", "Much"] * 8 + ["NA"])
    result = run(tmp_path, 'missing = ["None"]')
    assert result.warnings[0].startswith(
        "data.csv, column 'support': 9 cells 'NA', 8 cells 'None' were read as missing"
    )
    assert "The covariate support left out: missing in 68% of rows." in result.outcomes[0].warnings


def wide(folder: Path, n: int) -> Path:
    path = folder / "data.csv"
    lines = [",".join(["area,year,adopted,score", *(f"c{i}" for i in range(n))])]
    lines += [",".join([*map(str, row), *["1", "2"] * (n // 2)]) for row in ROWS]
    path.write_text("\n".join(lines))
    return path


def test_columns_that_no_setting_names_are_not_read(tmp_path: Path) -> None:
    path = wide(tmp_path, 10_000)
    start = perf_counter()
    assert tidy(tmp_path, covariates=["c5"]).tables["cases"].columns[4:] == ("c5",)
    records = tidy(tmp_path)
    assert records.tables["cases"].columns == ("unit", "period", "value", "cohort")
    assert "none of its 10,000 further columns was read" in records.notes[0]
    assert sample(path, covariates=["c7"]).sample.covariates == ("c7",)
    assert perf_counter() - start < 10  # minutes, when every column was read and profiled


def test_a_study_of_a_wide_table_runs(tmp_path: Path) -> None:
    wide(tmp_path, 10_000)
    result = run(tmp_path)
    assert result.outcomes[0].main.estimate is not None
    assert "further columns was read" in result.warnings[0]


# Files that cannot be read.


def denied(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain: Callable[..., Any] = Path.open

    def opened(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self == path:
            raise PermissionError(13, "Permission denied")
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opened)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_tidy_file_that_cannot_be_read_is_a_sentence(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"data.{suffix}"
    path = tmp_path / name
    with pytest.raises(DataError, match="There is no file"):
        tidy(tmp_path, name)
    path.mkdir()
    with pytest.raises(DataError, match="is a folder; a file"):
        tidy(tmp_path, name)
    path.rmdir()
    frame = pd.DataFrame(ROWS, columns=["area", "year", "adopted", "score"])
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    denied(path, monkeypatch)
    for read in (lambda: tidy(tmp_path, name), lambda: sample(path)):
        with pytest.raises(DataError, match="Permission denied"):
            read()


def test_broken_parquet_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pd.DataFrame(ROWS, columns=["area", "year", "adopted", "score"]).to_parquet(path)
    whole = path.read_bytes()
    for broken in (
        b"",
        whole[:10],
        whole[:-20],
        whole[:-200] + os.urandom(180) + whole[-20:],
        whole[:4] + os.urandom(60) + whole[64:],
    ):
        path.write_bytes(broken)
        with pytest.raises(DataError, match="cannot be read as Parquet"):
            tidy(tmp_path, "data.parquet")


def test_a_file_that_disappears_is_a_sentence(tmp_path: Path) -> None:
    path = table(tmp_path, ["x"] * len(ROWS))
    columns = read_columns(path)
    path.unlink()
    with pytest.raises(DataError, match="There is no file"):
        columns.places([3])


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_a_database_file_that_is_none_is_a_sentence(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"data.{kind}"

    def read() -> None:
        values = {"url": f"{kind}://{path.name}", "tables": {"cases": "cases"}}
        Database().read(validate(DatabaseSettings, values, where="test"), Session(base=tmp_path))

    with pytest.raises(DataError, match="There is no database file"):
        read()
    path.mkdir()
    with pytest.raises(DataError, match="is a folder"):
        read()
    path.rmdir()
    path.write_text("no database " * 1000)
    with pytest.raises(DataError, match=r"Cannot connect to data\."):
        read()
    denied(path, monkeypatch)
    with pytest.raises(DataError, match="Permission denied"):
        read()


def test_texts_of_a_database_are_what_they_are(tmp_path: Path) -> None:
    con = duckdb.connect(str(tmp_path / "data.duckdb"))
    con.execute(
        "CREATE TABLE cases AS SELECT * FROM (VALUES ('1', 2014, 1.0, 'None'), "
        "('NA', 2014, 2.0, 'nil')) t(unit, period, value, support)"
    )
    con.close()

    def read(**values: Any) -> Records:
        chosen = {"url": "duckdb://data.duckdb", "tables": {"cases": "cases"}, **values}
        return Database().read(
            validate(DatabaseSettings, chosen, where="test"), Session(base=tmp_path)
        )

    records = read()
    rows = records.tables["cases"].to_pandas()
    assert set(rows["unit"]) == {"1", "NA"}
    assert (set(rows["support"]), records.notes) == ({"None", "nil"}, ())
    told = read(missing=["nil"])
    assert told.tables["cases"].to_pandas()["support"].isna().sum() == 1
    assert "1 cell 'nil' was read as missing" in told.notes[0]
