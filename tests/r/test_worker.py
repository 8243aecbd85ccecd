"""R in its worker process: what goes over, what comes back, and what happens when R misbehaves."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sos_plugins.errors import EngineError, EngineUnavailableError
from sos_plugins.r import client as r

pytestmark = pytest.mark.r

SCRIPT = """
echo <- function(data, ...) {
  given <- list(...)
  list(rows = nrow(data), names = names(data),
       classes = vapply(data, function(x) class(x)[1], ""),
       sums = vapply(data, function(x) sum(as.numeric(x), na.rm = TRUE), 0), given = given,
       columns = if ("text" %in% names(data)) ncol(model.matrix(~ text, data)))
}
add_up <- function(data) {
  list(classes = vapply(data, function(x) class(x)[1], ""),
       sums = vapply(data, function(x) sum(as.numeric(x)), 0))
}
kinds <- function(data) {
  list(whole = 1:3, gaps = c(1L, NA), number = c(0.1, NaN), flag = c(TRUE, FALSE),
       flag_gap = c(TRUE, NA), text = c("caf\\u00e9", NA), factor = factor(c("v", "u")),
       matrix = matrix(1:6, 2), none = NULL, empty = numeric(0), nested = list(a = 1, b = "z"))
}
noisy <- function(data) {
  print("printed"); cat("cat\\n"); message("message"); system("echo shell")
  warning("look out"); warning("look out"); as.integer("x")
  list(answered = readline("really? "))
}
pid <- function(data) list(pid = Sys.getpid())
fails <- function(data) inner(data)
inner <- function(data) stop("the matrix is singular")
quits <- function(data) q()
killed <- function(data) tools::pskill(Sys.getpid(), 9)
segfaults <- function(data) {
  loaded <- sub(".* ", "", readLines("/proc/self/maps"))
  dyn.load(grep("/libc[-.].*so", loaded, value = TRUE)[1])
  .C("memset", integer(1), integer(1), integer(1))  # writes as many bytes as an address is large
}
endless <- function(data) repeat {}
bare <- function(data) 3
greedy <- function(data) list(kept = numeric(1e14))
hoards <- function(data) {
  kept <- list()
  repeat kept[[length(kept) + 1]] <- numeric(1e6)
}
closure <- function(data) list(f = function() 1)
locale <- function(data) list(order = sort(c("b", "A", "a", "B")), decimal = format(0.5))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "misbehave.R"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


def worker_pid(script: Path) -> int:
    return int(r.call(script, "pid", {})["pid"][0])


def gone(pid: int, *, within: float = 10) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/status")
        told = status.read_text() if status.exists() else ""
        if not told or ("State:\tZ" in told and "Threads:\t1\n" in told):
            return True
        time.sleep(0.05)
    return False


def test_columns_arrive_as_a_data_frame_with_their_types(script: Path) -> None:
    columns = {
        "number": np.array([0.5, np.nan, 2.0]),
        "whole": np.array([1, 2, 3]),
        "large": np.array([2**40, 0, 0]),
        "flag": np.array([True, False, True]),
        "text": pd.Categorical(["b", "é", None], categories=["é", "b"]),
        "series": pd.Series([1.0, 1.0, 1.0]),
    }
    answer = r.call(script, "echo", columns)
    assert answer["rows"] == 3
    assert answer["names"] == list(columns)
    assert answer["classes"] == ["numeric", "integer", "numeric", "logical", "factor", "numeric"]
    np.testing.assert_array_equal(answer["sums"], [2.5, 6, 2**40, 2, 2 + 1, 3])
    assert answer["columns"] == 2  # the intercept and level "b": R knows the factor for one
    assert answer["warnings"] == []


def test_arguments_arrive_as_vectors_factors_and_lists(script: Path) -> None:
    given = {
        "one": 1,
        "half": 0.5,
        "yes": True,
        "word": "été",
        "words": ["a", "b"],
        "numbers": (1, 2.5),
        "matrix": np.arange(6).reshape(2, 3),
        "nothing": None,
        "levels": pd.Categorical(["x", "y", "x"]),
        "nested": {"a": 1, "b": ["c"]},
    }
    back = r.call(script, "echo", {"x": np.zeros(1)}, given)["given"]
    assert back["one"].dtype.kind == "i"
    assert back["half"] == [0.5]
    assert back["yes"].dtype.kind == "b"
    assert back["word"] == ["été"]
    assert back["words"] == ["a", "b"]
    np.testing.assert_array_equal(back["numbers"], [1, 2.5])
    np.testing.assert_array_equal(back["matrix"], given["matrix"])
    assert back["nothing"] is None
    assert back["levels"] == ["x", "y", "x"]
    assert back["nested"]["b"] == ["c"]


def test_answers_come_back_as_arrays_and_lists(script: Path) -> None:
    answer = r.call(script, "kinds", {})
    assert answer["whole"].dtype.kind == "i"
    np.testing.assert_array_equal(answer["gaps"], [1, np.nan])
    np.testing.assert_array_equal(answer["number"], [0.1, np.nan])
    assert answer["flag"].dtype == bool
    np.testing.assert_array_equal(answer["flag_gap"], [1, np.nan])
    assert answer["text"] == ["café", None]
    assert answer["factor"] == ["v", "u"]
    np.testing.assert_array_equal(answer["matrix"], [[1, 3, 5], [2, 4, 6]])
    assert answer["none"] is None
    assert answer["empty"].size == 0
    assert answer["nested"]["b"] == ["z"]


def test_noise_reaches_nobody_and_warnings_are_kept(
    script: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = r.call(script, "noisy", {})
    assert answer["warnings"] == ["look out", "NAs introduced by coercion"]
    assert answer["answered"] == [""]
    assert capfd.readouterr() == ("", "")


def test_sorting_and_numbers_do_not_depend_on_the_users_locale(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    r.stop()
    answer = r.call(script, "locale", {})
    assert answer["order"] == ["A", "B", "a", "b"]
    assert answer["decimal"] == ["0.5"]


def test_one_worker_serves_many_calls_and_rereads_a_changed_script(script: Path) -> None:
    first = worker_pid(script)
    assert worker_pid(script) == first
    script.write_text("pid <- function(data) list(pid = -1)\n")
    assert worker_pid(script) == -1


def test_a_script_may_source_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "common.R").write_text("twice <- function(x) 2 * x\n")
    main = tmp_path / "main.R"
    main.write_text('source("common.R", local = TRUE)\nf <- function(data) list(x = twice(21))\n')
    assert r.call(main, "f", {})["x"] == 42
    (tmp_path / "common.R").write_text("twice <- function(x) 3 * x\n")
    assert r.call(main, "f", {})["x"] == 63


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        ("fails", r"R raised an error in function 'fails' of misbehave.R: .*singular \(in inner\)"),
        ("bare", "must return a named list"),
        ("closure", "class function cannot be sent back"),
        ("absent", "the script has no function 'absent'"),
    ],
)
def test_an_error_in_r_says_what_and_where(script: Path, function: str, sentence: str) -> None:
    before = worker_pid(script)
    with pytest.raises(EngineError, match=sentence):
        r.call(script, function, {"x": np.ones(2)})
    assert worker_pid(script) == before


def test_a_script_that_cannot_be_parsed_says_so(tmp_path: Path) -> None:
    broken = tmp_path / "broken.R"
    broken.write_text("f <- function( {\n")
    with pytest.raises(EngineError, match=r"broken\.R.*unexpected"):
        r.call(broken, "f", {})
    with pytest.raises(EngineError, match="does not exist"):
        r.call(tmp_path / "nowhere.R", "f", {})


@pytest.mark.parametrize(("function", "how"), [("quits", "exit status 0"), ("killed", "signal 9")])
def test_r_stopping_in_the_middle_is_an_error_and_the_next_call_works(
    script: Path, function: str, how: str
) -> None:
    before = worker_pid(script)
    with pytest.raises(EngineError, match=f"R stopped in the middle of function.*{how}"):
        r.call(script, function, {})
    assert gone(before)
    assert worker_pid(script) != before


@pytest.mark.skipif(sys.platform != "linux", reason="the C library has this name on Linux only")
def test_a_segfault_in_r_is_an_error_and_the_next_call_works(script: Path) -> None:
    before = worker_pid(script)
    with pytest.raises(EngineError, match="in the middle of function 'segfaults'") as told:
        r.call(script, "segfaults", {})
    assert f"signal {signal.SIGSEGV:d}" in str(told.value)
    assert gone(before)
    assert worker_pid(script) != before


def test_r_that_does_not_finish_is_ended(script: Path) -> None:
    before = worker_pid(script)
    with pytest.raises(EngineError, match=r"did not finish function 'endless'.* 0\.5 seconds"):
        r.call(script, "endless", {}, timeout=0.5)
    assert gone(before)
    assert worker_pid(script) != before


def test_more_memory_than_any_machine_has_is_an_error_and_the_next_call_works(
    script: Path,
) -> None:
    with pytest.raises(EngineError, match="cannot allocate"):
        r.call(script, "greedy", {})
    assert worker_pid(script)


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is there on Linux only")
def test_r_running_out_of_memory_is_an_error_and_the_next_call_works(script: Path) -> None:
    import resource

    worker = worker_pid(script)
    used = int(Path(f"/proc/{worker}/statm").read_text().split()[0]) * resource.getpagesize()
    most = used + 500_000_000
    resource.prlimit(worker, resource.RLIMIT_AS, (most, most))
    try:
        with pytest.raises(EngineError, match=r"cannot allocate|R stopped"):
            r.call(script, "hoards", {})
        assert worker_pid(script)
    finally:
        r.stop()


def test_a_worker_killed_between_calls_is_replaced(script: Path) -> None:
    before = worker_pid(script)
    os.kill(before, signal.SIGKILL)
    assert gone(before)
    assert worker_pid(script) != before


def test_what_cannot_be_sent_is_named(script: Path) -> None:
    with pytest.raises(EngineError, match="'name' has the type object"):
        r.call(script, "echo", {"name": np.array(["a", "b"], dtype=object)})
    with pytest.raises(EngineError, match=r"differ in length: \[2, 3\]"):
        r.call(script, "echo", {"a": np.ones(2), "b": np.ones(3)})
    with pytest.raises(EngineError, match="'odd' of type object"):
        r.call(script, "echo", {}, {"odd": object()})


def test_missing_tells_what_is_missing() -> None:
    assert r.available()
    assert r.missing("sandwich", "mend") is None
    sentence = r.missing("noSuchPackage", "install it so")
    assert sentence == "the R package 'noSuchPackage' is not installed (install it so)"


def test_missing_tells_rpy2_from_r(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    r.stop()
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        assert "Python package 'rpy2' is not installed (pip" in str(r.missing("base", "m"))
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        patch.delenv("R_HOME", raising=False)
        assert "R is not installed or does not start (Debian" in str(r.missing("base", "m"))
        with pytest.raises(EngineUnavailableError, match="R worker"):
            r.versions([])
    r.stop()
    assert r.available()


def test_versions_are_those_that_r_reports() -> None:
    versions = r.versions(["sandwich", "noSuchPackage"])
    ask = 'cat(paste(getRversion(), gsub("-", ".", packageDescription("sandwich")$Version)))'
    told = subprocess.run(["Rscript", "-e", ask], capture_output=True, text=True, check=True).stdout
    assert [versions["R"], versions["sandwich"]] == told.split()
    assert versions["noSuchPackage"] == "not installed"
    assert versions["rpy2"][0].isdigit()


@pytest.mark.parametrize(("value", "off"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_r_can_be_switched_off(
    monkeypatch: pytest.MonkeyPatch, script: Path, value: str, off: bool
) -> None:
    monkeypatch.setenv("SOS_NO_R", value)
    assert r.disabled() is off
    assert r.available() is not off
    if off:
        assert "switched off" in str(r.missing("sandwich", "mend"))
        with pytest.raises(EngineUnavailableError, match="switched off"):
            r.call(script, "pid", {})


LOOP = """
import pathlib, sys, threading, time
from sos_plugins.r import client as r
script = pathlib.Path(sys.argv[1])
print(int(r.call(script, "pid", {})["pid"][0]), flush=True)
if sys.argv[2] == "thread":
    call = lambda: r.call(script, "endless", {})
    threading.Thread(target=call, daemon=True).start()
    time.sleep(0.5)
if sys.argv[2] == "loop":
    r.call(script, "endless", {})
assert not any(name.startswith("rpy2") for name in sys.modules)
"""


def start_parent(script: Path, what: str) -> tuple[subprocess.Popen[str], int]:
    parent = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", LOOP, str(script), what],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


def test_no_worker_outlives_a_parent_that_ends(script: Path) -> None:
    parent, worker = start_parent(script, "end")
    out, err = parent.communicate(timeout=60)
    assert (parent.returncode, out, err) == (0, "", "")
    assert gone(worker)


def test_no_worker_outlives_a_parent_that_ends_while_a_thread_waits(script: Path) -> None:
    parent, worker = start_parent(script, "thread")
    parent.communicate(timeout=30)
    assert gone(worker)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_a_parent_that_is_interrupted_in_a_call(
    script: Path, how: signal.Signals
) -> None:
    parent, worker = start_parent(script, "loop")
    time.sleep(0.3)
    parent.send_signal(how)
    _, err = parent.communicate(timeout=60)
    assert parent.returncode != 0
    assert gone(worker)
    if how is signal.SIGINT:
        assert "KeyboardInterrupt" in err


COMMAND = """
import pathlib, sys
import click
from sos_plugins.r import client as r
from sos_plugins.cli.console import common
script = pathlib.Path(sys.argv[1])
@click.command()
@common
def endless(terminal):
    print(int(r.call(script, "pid", {})["pid"][0]), flush=True)
    r.call(script, "endless", {})
endless(args=[])
"""


def test_ctrl_c_at_a_command_waiting_for_r_ends_both_with_one_word(script: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", COMMAND, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    time.sleep(0.3)
    os.killpg(parent.pid, signal.SIGINT)  # a terminal tells the whole group
    out, err = parent.communicate(timeout=60)
    assert (parent.returncode, out, err) == (130, "", "Stopped.\n")
    assert gone(worker)


def test_r_does_not_hear_the_ctrl_c_of_a_parent_that_goes_on(script: Path) -> None:
    worker = worker_pid(script)
    assert os.getpgid(worker) == worker != os.getpgrp()
    assert os.getsid(worker) == worker


def test_a_million_rows_arrive_with_text_as_codes(script: Path) -> None:
    rng = np.random.default_rng(1)
    columns: dict[str, object] = {name: rng.random(1_000_000) for name in "abcde"}
    codes = rng.integers(0, 150, 1_000_000)
    names = [f"authority {n}" for n in range(150)]
    answer = r.call(script, "add_up", {**columns, "unit": pd.Categorical.from_codes(codes, names)})
    assert answer["classes"] == ["numeric"] * 5 + ["factor"]
    expected = [*(np.sum(column) for column in columns.values()), (codes + 1).sum()]
    np.testing.assert_allclose(answer["sums"], expected, rtol=1e-12)


# What the folder and the environment may not change --------------------------------------------


ASKS = """
import sys
from pathlib import Path
from sos_plugins.r import client as r
problem = r.missing("base", "")
print(problem or r.call(Path(sys.argv[1]), "asks", {})["found"][0])
print(r.versions(["stats", "planted"]).get("planted") if not problem else "")
"""
ASKED = """
asks <- function(data) list(found = paste(
  getwd() == Sys.getenv("HERE"), exists("planted"), Sys.getenv("PLANTED") != "",
  "package:stats" %in% search(), "package:utils" %in% search(), sort(c("b", "A"))[1]))
"""
CLEAN = "FALSE FALSE FALSE TRUE TRUE A"


def asked_from(folder: Path, script: Path, **further: str) -> list[str]:
    script.write_text(ASKED)
    done = subprocess.run(
        [sys.executable, "-c", ASKS, str(script)],
        cwd=folder,
        env={**os.environ, "HERE": str(folder), **further},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_no_startup_file_of_the_folder_is_run(tmp_path: Path, script: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    marker = tmp_path / "ran"
    plants = f'file.create("{marker}"); planted <- 1\n'
    (here / ".Rprofile").write_text(plants)
    (here / "profile.R").write_text(plants)
    profiles = "".join(f"{name}={here / 'profile.R'}\n" for name in ("R_PROFILE", "R_TESTS"))
    (here / ".Renviron").write_text(f"PLANTED=1\nR_DEFAULT_PACKAGES=NULL\n{profiles}")
    for module in ("numpy", "pickle", "rpy2"):
        (here / f"{module}.py").write_text(f"open({str(marker)!r}, 'w')\n")
    # Not from the folder itself, whose modules the asking process would import.
    asks = f"import os; os.chdir({str(here)!r})\n{ASKS}"
    script.write_text(ASKED)
    done = subprocess.run(
        [sys.executable, "-P", "-c", asks, str(script)],
        env={**os.environ, "HERE": str(here)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[0] == CLEAN, done.stderr
    assert not marker.exists()


@pytest.mark.parametrize(
    "variable",
    [
        "R_DEFAULT_PACKAGES=NULL",
        "R_SCRIPT_DEFAULT_PACKAGES=NULL",
        "R_PROFILE={planted}",
        "R_PROFILE_USER={planted}",
        "R_ENVIRON={environ}",
        "R_ENVIRON_USER={environ}",
        "R_HISTFILE=/nowhere/history",
        "R_TESTS={planted}",
        "R_ENABLE_JIT=no",
    ],
)
def test_no_variable_of_r_switches_it_off_or_runs_a_file(
    tmp_path: Path, script: Path, variable: str
) -> None:
    planted, environ = tmp_path / "planted.R", tmp_path / "environ"
    planted.write_text("planted <- 1; stop('planted')\n")
    environ.write_text("PLANTED=1\nR_DEFAULT_PACKAGES=NULL\n")
    name, value = variable.format(planted=planted, environ=environ).split("=", 1)
    assert asked_from(tmp_path, script, **{name: value})[0] == CLEAN


@pytest.mark.parametrize("where", ["R_LIBS", "R_LIBS_USER", "relative", "home", "R_ENVIRON_USER"])
def test_libraries_of_the_user_are_found(tmp_path: Path, script: Path, where: str) -> None:
    home, library = tmp_path / "home", tmp_path / "library"
    home.mkdir()
    (library / "planted" / "Meta").mkdir(parents=True)
    description = "Package: planted\nVersion: 1.2.3\nBuilt: R 4.2.2; ; 2024-01-01; unix\n"
    (library / "planted" / "DESCRIPTION").write_text(description)
    further = {"HOME": str(home)}
    if where in ("R_LIBS", "R_LIBS_USER"):
        further[where] = str(library)
    elif where == "relative":
        further["R_LIBS"] = "library"
    else:
        file = home / (".Renviron" if where == "home" else "mine")
        file.write_text(f"R_LIBS_USER={library}\nPLANTED=1\nR_DEFAULT_PACKAGES=NULL\n")
        if where == "R_ENVIRON_USER":
            further[where] = str(file)
    assert asked_from(tmp_path, script, **further) == [CLEAN, "1.2.3"]


# R that hangs -----------------------------------------------------------------------------------


def test_an_r_that_hangs_is_told_well_before_two_minutes() -> None:
    assert r.SLOW_START <= 20
    assert r.START_TIMEOUT + r.LOOK_TIMEOUT <= 105


HANGS = """
import sys, time
from sos_plugins.r import client as r
from sos_plugins.cli import main
r.SLOW_START, r.START_TIMEOUT, r.LOOK_TIMEOUT = 0.5, 2.0, 2.0
main(sys.argv[1:])
"""


@pytest.mark.parametrize("arguments", [("doctor",), ("list", "engines", "--json")])
def test_a_hanging_r_costs_one_wait_and_is_said(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    fake = tmp_path / "R"
    fake.write_text("#!/bin/sh\nsleep 600\n")
    fake.chmod(0o755)
    without = {k: v for k, v in os.environ.items() if k != "R_HOME"}
    before = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", HANGS, *arguments],
        env={**without, "PATH": f"{tmp_path}:{os.environ['PATH']}", "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - before < 60
    assert done.stderr.count("R has not started after 0.5 seconds") == 1
    assert "R did not start within 2 seconds" in " ".join(done.stdout.split())


def test_an_r_that_starts_and_then_hangs_costs_one_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    r.stop()
    monkeypatch.setattr(r, "LOOK_TIMEOUT", 0.0)
    try:
        assert "did not finish looking for packages" in str(r.missing("base", "mend"))
        monkeypatch.undo()
        started = time.monotonic()
        assert "did not finish looking for packages" in str(r.missing("sandwich", "mend"))
        assert time.monotonic() - started < 0.1
    finally:
        r.stop()
    assert r.available()
