"""The log of a command: what was done and how long it took; no secret, no value of a record."""

from __future__ import annotations

import logging
import re
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner
from minimum_wage import MPDTA
from study_helpers import STUDY, write

from sos_plugins.cli import log, main
from sos_plugins.errors import DataError

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) \S")
COLUMNS = ["--unit", "countyreal", "--period", "year", "--cohort", "first.treat"]
ESTIMATE = ["estimate", "did", *COLUMNS, "--value", "lemp", "--engine", "python"]


def test_a_log_has_versions_steps_and_times_and_is_added_to(tmp_path: Path) -> None:
    file = tmp_path / "run.log"
    words = ["crosscheck", str(write(tmp_path, STUDY)), "--no-r", "--log", str(file)]
    for n in (1, 2):
        done = CliRunner().invoke(main, words)
        lines = file.read_text().splitlines()
        assert all(map(LINE.match, lines)), done.output
        assert sum("INFO Versions: " in line and "numpy 2" in line for line in lines) == n
    assert len(re.findall(r"INFO Analysing outcomes: \d+\.\d\d s$", file.read_text(), re.M)) == 2
    assert "INFO Ended with status 4 after " in lines[-1]


def test_verbose_tells_it_on_standard_error_and_the_answer_stays(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [*ESTIMATE, "--data", str(MPDTA), "--json", "-v"])
    quiet = CliRunner().invoke(main, [*ESTIMATE, "--data", str(MPDTA), "--json"])
    assert done.stdout == quiet.stdout
    assert [line for line in done.stderr.splitlines() if not LINE.match(line)] == []
    assert "INFO Finished in" in done.stderr
    assert not logging.getLogger("sos_plugins").handlers


def test_no_secret_and_no_home_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.log"
    secret = "postgres://anna:hunter22@host/db?token=hunter33"
    monkeypatch.setattr("sys.argv", ["sos-plugins", "check", "--set", secret, "/home/anna/x.csv"])
    with log.logged("check", verbose=False, file=file):
        log.LOG.warning("no route to %s", secret)
    text = file.read_text()
    assert "no route to" in text
    assert not [word for word in ("hunter22", "hunter33", "/home/anna") if word in text]


def fail(file: Path, error: Exception) -> None:
    """Fail in a step of a command, after a library has warned."""
    with log.logged("run", verbose=False, file=file), log.timed("Reading records"):
        warned = UserWarning(str(error))
        warnings.showwarning(warned, UserWarning, "library/module.py", 7)
        raise error


def test_no_value_of_a_record_is_logged(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    secret = "Ada Lovelace"
    errors = (ValueError(secret), DataError(f"line 3: {secret!r} is no number."), KeyError(secret))
    for error in errors:
        with pytest.raises(type(error)):
            fail(file, error)
    text = file.read_text()
    assert text.count("Reading records: failed after") == 3
    assert "DataError after" in text
    assert "A library warned: UserWarning at library/module.py:7" in text
    assert secret not in text


def test_a_file_that_is_no_log_is_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "study.toml"
    data.write_text("[study]\n")
    done = CliRunner().invoke(main, ["list", "estimators", "--log", str(data)])
    assert (done.exit_code, data.read_text()) == (1, "[study]\n")
    assert "is no log" in done.stderr
    nowhere = CliRunner().invoke(main, ["list", "--log", str(tmp_path / "no" / "x.log")])
    assert nowhere.exit_code == 1
    assert "The log cannot be written" in nowhere.stderr


def test_a_library_that_logs_for_the_whole_process_gets_nothing(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)  # of all logs, as pyfixest 0.60 does while it is imported
    with log.logged("run", verbose=False, file=None), log.timed("Reading records"):
        log.LOG.warning("a sentence that the console prints")
    assert caplog.messages == []
    assert capfd.readouterr().err == ""
    log.LOG.warning("heard again")
    assert caplog.messages == ["heard again"]
