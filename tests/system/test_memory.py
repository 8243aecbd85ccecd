"""A limit of memory: records beyond it go to disk, the figures stay, too little is said."""

import gc
import math
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
import study_helpers
from click.testing import CliRunner

from sos_plugins.backends import duckdb_backend, failures_in_words
from sos_plugins.cli.main import main
from sos_plugins.contract.session import Session
from sos_plugins.errors import DataError, SettingsError
from sos_plugins.study.result import StudyResult
from sos_plugins.study.study import Study
from sos_plugins.system import memory

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
        failures_in_words(),
    ):
        backend.raw_sql(query)


def test_other_errors_of_the_database_are_left_alone() -> None:
    with pytest.raises(duckdb.CatalogException), failures_in_words():
        duckdb_backend(LIMIT).raw_sql("SELECT * FROM nowhere")


def test_a_study_within_a_limit_gives_the_same_figures(tmp_path: Path) -> None:
    path = study_helpers.write(tmp_path, study_helpers.SHORT)
    free = Study.from_toml(path).run()
    asked = f"{math.ceil(memory.taken() / 10**6) + 200}MB"
    held = Study.from_toml(path, memory=asked).run()
    for one, other in zip(free.outcomes, held.outcomes, strict=True):
        assert not one.error
        pd.testing.assert_frame_equal(
            one.estimates[0].estimate.tidy, other.estimates[0].estimate.tidy
        )


def limit_of(backend: Any) -> float:
    """Return DuckDB's limit in megabytes."""
    text = backend.raw_sql("SELECT current_setting('memory_limit')").fetchone()[0]
    number, unit = text.split()
    return float(number) * {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}[unit] / 10**6


@pytest.mark.parametrize("more", [200, 700])
def test_duckdb_gets_what_the_process_has_left(tmp_path: Path, more: int) -> None:
    path = study_helpers.write(tmp_path)
    Study.from_toml(path).session()  # loads the plugins and the database
    held = resident(os.getpid())
    asked = math.ceil(held) + more
    backend = Study.from_toml(path, memory=f"{asked}MB").session().backend
    assert limit_of(backend) == pytest.approx(asked - resident(os.getpid()), abs=30)
    threads = backend.raw_sql("SELECT current_setting('threads')").fetchone()[0]
    assert threads == max(1, min(os.cpu_count() or 1, more // 125))


def resident(pid: int) -> float:
    """Return what ps says that a process holds, in megabytes."""
    told = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True
    )
    return int(told.stdout) * 1024 / 10**6


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "sos_plugins", *map(str, arguments), "--no-r"],
        capture_output=True,
        text=True,
        check=False,
    )


def test_too_little_memory_says_how_much_is_enough_and_that_is(tmp_path: Path) -> None:
    path, out = study_helpers.write(tmp_path), tmp_path / "out"
    told = []
    for asked in ("1KB", "64MB", "200MB"):
        refused = command("run", path, "--out", out, "--memory", asked, "--no-stations")
        assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
        enough = re.search(r"--memory (\d+)MB\.", refused.stderr)
        assert enough is not None, refused.stderr
        assert f'memory = "{enough[1]}MB" in [study]' in refused.stderr
        told.append(int(enough[1]))
    least = f"{min(told)}MB"  # if this is enough, the others are
    for arguments in (("run", path, "--out", out, "--no-stations"), ("profile", path)):
        done = command(*arguments, "--memory", least)
        assert done.returncode == 0, done.stderr
    result = StudyResult.read(out)
    assert not result.outcomes[0].error
    assert result.manifest["memory"]["asked"] == least


@pytest.mark.long
def test_a_run_that_takes_more_than_it_may_says_so_and_why(tmp_path: Path) -> None:
    hoards = """
import numpy as np
from sos_plugins import Engine, hookimpl

KEPT = []


def hoards(sample, options):
    KEPT.append(np.ones(50_000_000))
    raise ValueError("enough")


@hookimpl
def register_engines(register):
    register("did", Engine("hoards", hoards))
"""
    (tmp_path / "hoards.py").write_text(hoards)
    (tmp_path / "plugins.toml").write_text('[plugins]\npaths = ["hoards.py"]\n')
    text = study_helpers.SHORT.replace('engines = ["python"]', 'engines = ["python", "hoards"]', 1)
    path = study_helpers.write(tmp_path, text)
    said = {}
    for asked in ("500MB", "8GB"):
        out = tmp_path / asked
        done = command("run", path, "--out", out, "--memory", asked, "--no-stations")
        assert done.returncode == 0, done.stderr
        result = StudyResult.read(out)
        said[asked] = [text for text in result.warnings if "of memory" in text]
        figures = result.manifest["memory"]
        held = figures["before_the_run_mb"]
        assert 100 < held < 500
        assert figures["most_until_analysing_ended_mb"] > held + 400
        assert figures["most_until_reading_ended_mb"] < figures["most_until_analysing_ended_mb"]
        page = (out / "report.html").read_text()
        assert "Most until analysing ended mb" in page
        assert all(text.split(", more")[0] in page for text in said[asked])
    assert said["8GB"] == []
    (sentence,) = said["500MB"]
    assert "more than the 500MB of 'memory'" in sentence
    assert "by the end of analysing" in sentence


SIZES = {"900KB": 9 * 10**5, "4GB": 4 * 10**9, "500 MiB": 500 * 2**20, "0.5TB": 5 * 10**11}


@pytest.mark.parametrize("size", SIZES)
def test_a_size_is_read_as_duckdb_reads_it(size: str) -> None:
    assert memory.in_bytes(size) == SIZES[size]
    read = duckdb.connect(config={"memory_limit": size})
    other = duckdb.connect(config={"memory_limit": f"{SIZES[size]}B"})
    question = "SELECT current_setting('memory_limit')"
    assert read.sql(question).fetchall() == other.sql(question).fetchall()


def test_more_than_any_machine_has_is_taken_as_no_limit(tmp_path: Path) -> None:
    path = study_helpers.write(tmp_path)
    backend = Study.from_toml(path, memory="9" * 30 + "TB").session().backend
    assert backend.raw_sql("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    "wrong", ["lots", "80%", "4", "-1GB", "", "0GB", "banana", "0", "1e3GB", "nanGB"]
)
def test_a_limit_that_is_no_size_of_memory_is_a_sentence(tmp_path: Path, wrong: str) -> None:
    path = study_helpers.write(tmp_path)
    with pytest.raises(SettingsError, match="memory"):
        Study.from_toml(path, memory=wrong)
    done = CliRunner().invoke(main, ["run", str(path), "--memory", wrong])
    assert done.exit_code != 0
    assert "Traceback" not in done.output
    assert "memory" in done.output
