"""A limit of memory: records beyond it go to disk, the figures stay, too little is said."""

import gc
import tempfile
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import study_helpers
from click.testing import CliRunner

from sos_plugins.cli.main import main
from sos_plugins.errors import DataError, SettingsError
from sos_plugins.session import Session, duckdb_backend, within_memory
from sos_plugins.study import Study

ROWS = 3_000_000
LIMIT = "50MB"
"""The table below takes more than 100 MB, so it cannot be held within this."""


@pytest.fixture
def spill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "spill"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_what_goes_beyond_the_limit_is_kept_on_disk_and_removed_at_the_end(spill: Path) -> None:
    session = Session(backend=duckdb_backend(LIMIT))
    numbers = session.backend.sql(f"SELECT range AS a, md5(range::VARCHAR) AS b FROM range({ROWS})")
    table = session.table(numbers)
    on_disk = sum(f.stat().st_size for f in spill.rglob("*") if f.is_file())
    assert on_disk > 50_000_000
    assert table.a.sum().to_pandas() == ROWS * (ROWS - 1) // 2
    assert table.b.length().sum().to_pandas() == 32 * ROWS
    del table, numbers, session
    gc.collect()
    assert list(spill.iterdir()) == []


def test_too_little_of_both_is_a_sentence(spill: Path) -> None:
    backend = duckdb_backend(LIMIT)
    backend.raw_sql("SET max_temp_directory_size = '1MB'")
    query = f"CREATE TEMP TABLE t AS SELECT md5(range::VARCHAR) AS b FROM range({ROWS})"
    with (
        pytest.raises(DataError, match=r"need more memory, or more disk.*--memory"),
        within_memory(),
    ):
        backend.raw_sql(query)


def test_other_errors_of_the_database_are_left_alone() -> None:
    with pytest.raises(duckdb.CatalogException), within_memory():
        duckdb_backend(LIMIT).raw_sql("SELECT * FROM nowhere")


def test_a_study_within_a_limit_gives_the_same_figures(tmp_path: Path) -> None:
    path = study_helpers.write(tmp_path)
    free, held = Study.from_toml(path).run(), Study.from_toml(path, memory="100 MiB").run()
    limit = (
        Study.from_toml(path, memory="100 MiB")
        .session()
        .backend.raw_sql("SELECT current_setting('memory_limit')")
    )
    assert limit.fetchone()[0] == "100.0 MiB"
    for one, other in zip(free.outcomes, held.outcomes, strict=True):
        assert not one.error
        pd.testing.assert_frame_equal(
            one.estimates[0].estimate.tidy, other.estimates[0].estimate.tidy
        )


@pytest.mark.parametrize("wrong", ["lots", "80%", "4", "-1GB", "", "0GB"])
def test_a_limit_that_is_no_size_of_memory_is_a_sentence(tmp_path: Path, wrong: str) -> None:
    path = study_helpers.write(tmp_path)
    with pytest.raises(SettingsError, match="memory"):
        Study.from_toml(path, memory=wrong)
    done = CliRunner().invoke(main, ["run", str(path), "--memory", wrong])
    assert done.exit_code != 0
    assert "Traceback" not in done.output
    assert "memory" in done.output
