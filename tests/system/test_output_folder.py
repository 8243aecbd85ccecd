"""Folders that are written into: what is the user's stays, and what cannot be is a sentence."""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
import result_factory
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from study_helpers import STUDY, table, write
from variants import examples, some_now

from sos_plugins import Records, Session
from sos_plugins.cache.store import StepCache
from sos_plugins.cli import main
from sos_plugins.cli.text_tables import render
from sos_plugins.errors import SosError
from sos_plugins.report import check_folder, write_report
from sos_plugins.report.sections import OF_THE_STUDY, may_be_table, page_of
from sos_plugins.study.result import StudyResult
from sos_plugins.system.output_folder import (
    SIMULATION,
    Content,
    OutputError,
    claimed,
    replacing,
)

KIND = Content("The thing", "list.json", "files", "last.txt", re.compile(r"(old|deep/.+)\.txt"))
SMALL_SIMULATION = [
    *("authorities=6", "pilots=2", "referrals_per_year=40", "first_year=2013", "last_year=2018"),
    *("external_pilots=1", "escalation_pretrend_pilots=0", "care_starts_per_year=30"),
]
FULL = OSError(28, "No space left on device")


def call(*words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def simulate(folder, *settings):
    return call("simulate", folder, "-q", *pairs(*settings))


def pairs(*settings):
    """Return the words that set a small simulation, with these settings in place of others."""
    chosen = dict(s.split("=") for s in (*SMALL_SIMULATION, *settings))
    return [word for key, value in chosen.items() for word in ("--set", f"{key}={value}")]


def put(folder, files, kind=KIND, **options):
    with replacing(folder, kind, **options) as place:
        for name, text in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)


def tree(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def result():
    return result_factory.result_without_outcomes()


# What is the user's --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["study.toml", "result.json", "manifest.json", "report.html"])
@pytest.mark.parametrize("text", ["mine", '{"mine": 1}', ""])
def test_a_file_of_the_user_is_never_replaced(result, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=rf"did not write: {re.escape(name)}\. Nothing was"):
        write_report(result, tmp_path)
    assert tree(tmp_path) == before


def test_run_says_so_before_it_begins(tmp_path, monkeypatch):
    study = write(tmp_path / "study")
    out = tmp_path / "out"
    out.mkdir()
    (out / "result.json").write_text("mine")
    monkeypatch.setattr(
        "sos_plugins.study.study.Study.run", lambda *_, **__: pytest.fail("it began")
    )
    done = call("run", study, "--out", out)
    assert done.exit_code == 1
    assert "result.json" in done.stderr
    assert "another folder" in done.stderr
    assert tree(out) == {"result.json": b"mine"}


@pytest.mark.parametrize("name", ["pilots", "small_reasons", "truth-all", "record-trust"])
def test_run_refuses_a_users_table_before_it_begins(tmp_path, monkeypatch, name):
    study = write(
        tmp_path / "study", STUDY.replace('label = "Score"', 'name = "small"\nlabel = "Score"')
    )
    out = tmp_path / "out"
    (out / "tables").mkdir(parents=True)
    (out / "tables" / f"{name}.csv").write_text("mine")
    monkeypatch.setattr(
        "sos_plugins.study.study.Study.run", lambda *_, **__: pytest.fail("it began")
    )
    done = call("run", study, "--out", out)
    assert done.exit_code == 1
    assert f"tables/{name}.csv" in done.stderr
    assert tree(out) == {f"tables/{name}.csv": b"mine"}


def test_a_table_that_no_report_has_may_lie_among_those_of_a_report(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "mine.csv").write_text("mine")
    (tmp_path / "tables" / "mine_runs.csv").write_text("mine")
    check_folder(tmp_path, outcomes=["Small"])
    with pytest.raises(OutputError, match=r"tables/mine_runs\.csv"):
        check_folder(tmp_path, outcomes=["Small", "Mine"])


def test_a_folder_of_tables_that_cannot_be_written_is_refused_before_the_run(tmp_path, monkeypatch):
    (tmp_path / "tables").mkdir()

    def without_tables(folder, what):
        if folder.name == "tables":  # whoever runs the tests may write everywhere
            raise OutputError(f"{what} cannot be written to {folder}")

    monkeypatch.setattr("sos_plugins.report.write.check_writable", without_tables)
    with pytest.raises(OutputError, match=r"tables$"):
        check_folder(tmp_path)


def test_every_table_of_a_report_is_known_before_the_run():
    result = result_factory.make_result()
    names = [outcome.info.name for outcome in result.outcomes]
    tables = [table.name for table in page_of(result).tables]
    assert {name for name in OF_THE_STUDY if name in tables} >= {"pilots", "truth-all"}
    assert [name for name in tables if not may_be_table(name, names)] == []


def test_demo_refuses_its_report_folder_before_it_simulates(tmp_path, monkeypatch):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "result.json").write_text("mine")
    monkeypatch.setattr("sos_plugins.cli.run.simulate", lambda *_: pytest.fail("it began"))
    done = call("demo", "--out", tmp_path, "-q")
    assert done.exit_code == 1
    assert "result.json" in done.stderr


def test_the_study_may_lie_where_its_report_goes_but_another_study_replaces_none(tmp_path):
    study = write(tmp_path)
    check_folder(tmp_path, study.read_text())
    other = study.read_text().replace("A small study", "Another study")
    with pytest.raises(OutputError, match=r"study\.toml"):
        check_folder(tmp_path, other)


def test_what_lay_there_the_same_stays_the_users(tmp_path):
    (tmp_path / "old.txt").write_text("same")
    put(tmp_path, {"old.txt": "same", "last.txt": "1"})
    put(tmp_path, {"last.txt": "2"})
    assert (tmp_path / "old.txt").read_text() == "same"
    with pytest.raises(OutputError, match=r"did not write: old\.txt"):
        put(tmp_path, {"old.txt": "other", "last.txt": "3"})


def test_a_file_that_was_changed_is_named_and_stays(result, tmp_path):
    write_report(result, tmp_path)
    page = tmp_path / "report.html"
    page.write_text(page.read_text() + "<!-- my note -->")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=r"changed since it wrote them: report\.html"):
        write_report(replace(result, title="Other"), tmp_path)
    assert tree(tmp_path) == before


def test_report_replaces_the_result_that_it_was_given_and_no_other(result, tmp_path):
    whole = json.loads(result.to_json())
    (tmp_path / "result.json").write_text(json.dumps({**whole, "title": "Other"}))
    assert call("report", tmp_path / "result.json", "-q").exit_code == 0
    assert (tmp_path / "report.html").is_file()
    away = tmp_path / "away"
    away.mkdir()
    (away / "result.json").write_text(result.to_json())
    done = call("report", tmp_path / "result.json", "--out", away)
    assert done.exit_code == 1
    assert "result.json" in done.stderr


def test_profile_replaces_no_table_of_the_user(tmp_path):
    study = write(tmp_path / "study")
    out = tmp_path / "out"
    out.mkdir()
    (out / "rows.csv").write_text("mine")
    done = call("profile", study, "--out", out, "-q")
    assert done.exit_code == 1
    assert "rows.csv" in done.stderr
    assert tree(out) == {"rows.csv": b"mine"}
    (out / "rows.csv").unlink()
    for _ in range(2):
        assert call("profile", study, "--out", out, "-q").exit_code == 0


names = st.sampled_from(["last.txt", "old.txt", "deep/a.txt", "deep/er/b.txt", "other.md"])
texts = st.sampled_from(["", "a", "b"])
runs = st.dictionaries(names, texts, min_size=1)


@given(first=runs, mine=st.dictionaries(names, st.none() | texts), second=runs)
@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_the_user_does_in_between_is_never_lost(tmp_path, first, mine, second):
    folder = tmp_path / "folder"
    shutil.rmtree(folder, ignore_errors=True)
    put(folder, first)
    for name, text in mine.items():  # written, changed or taken away
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            (folder / name).unlink(missing_ok=True)
        else:
            (folder / name).write_text(text)
    before = tree(folder)
    of_user = {n: t for n, t in mine.items() if t is not None and t != first.get(n)}
    if lost := [n for n, t in of_user.items() if n in second and second[n] != t]:
        with pytest.raises(OutputError) as caught:
            put(folder, second)
        assert tree(folder) == before
        assert all(name in str(caught.value) for name in lost)
        return
    put(folder, second)
    after = tree(folder)
    assert {n: after[n] for n in second} == {n: t.encode() for n, t in second.items()}
    assert {n: after[n] for n in of_user} == {n: t.encode() for n, t in of_user.items()}


@pytest.mark.parametrize("name", ["../victim", "/victim", "deep/../../victim", "a\\b", ""])
def test_a_list_of_files_reaches_no_other_folder(tmp_path, name):
    victim = tmp_path / "victim"
    victim.write_text("v")
    digest = hashlib.sha256(b"v").hexdigest()
    folder = tmp_path / "folder"
    folder.mkdir()
    told = {"files": {name: digest, str(victim): digest}}
    (folder / "list.json").write_text(json.dumps(told))
    put(folder, {"last.txt": "1"}, replace(KIND, removable=re.compile(".*")))
    assert victim.exists()


# A simulation --------------------------------------------------------------------------------


def test_simulate_keeps_what_the_user_added_and_replaces_the_rest(tmp_path):
    folder = tmp_path / "sim"
    assert simulate(folder).exit_code == 0
    (folder / "notes.txt").write_text("mine")
    (folder / "cin" / "mine.txt").write_text("mine")
    assert simulate(folder, "last_year=2017").exit_code == 0
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "cin" / "mine.txt").read_text() == "mine"
    assert not list((folder / "cin").glob("*_2019.xml"))
    assert json.loads((folder / "truth.json").read_text())["settings"]["last_year"] == 2017


@pytest.mark.parametrize("name", ["study.toml", "pilots.csv", "truth.json"])
def test_simulate_replaces_nothing_that_was_changed(tmp_path, name):
    folder = tmp_path / "sim"
    simulate(folder)
    (folder / name).write_text("mine")
    before = tree(folder)
    done = simulate(folder)
    assert done.exit_code == 1
    assert f"changed since it wrote them: {name}" in done.stderr
    assert tree(folder) == before


def test_the_study_of_a_simulation_to_parquet_runs(tmp_path):
    folder = tmp_path / "sim"
    sizes = ("authorities=12", "pilots=3", "referrals_per_year=60", "first_year=2012")
    assert simulate(folder, "form=parquet", *sizes, "last_year=2019").exit_code == 0
    study = folder / "study.toml"
    head, *parts = re.split(r"(?m)^(?=\[)", study.read_text())
    asked = '"rereferral"', '"kinship-care"'
    kept = [
        part
        for part in parts
        if not part.startswith("[[outcomes]]") or any(name in part for name in asked)
    ]
    study.write_text(head + "".join(kept))
    done = call(
        *("run", folder / "study.toml", "--out", tmp_path / "out", "--no-r", "-q", "--json")
    )
    assert done.exit_code == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["simulated"]
    assert all(row["estimate"] is not None for row in data["outcomes"])


def test_a_killed_simulation_leaves_the_old_one_or_the_new_one_whole(tmp_path):
    folder = tmp_path / "sim"
    simulate(folder, "seed=1")
    whole = {1: tree(folder)}
    simulate(folder, "seed=2")
    whole[2] = tree(folder)
    command = [sys.executable, "-m", "sos_plugins", "simulate", str(folder), "-q", *pairs("seed=1")]
    for delay in random.Random(3).sample(range(8, 30), 3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay / 10)
        process.kill()
        process.wait()
        left = tree(folder)  # truth.json is away for the moment in which files are moved
        assert left in whole.values() or "truth.json" not in left
    assert simulate(folder, "seed=2").exit_code == 0
    assert tree(folder) == whole[2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sim"]


def test_a_failure_while_files_are_moved_can_be_mended_by_the_next_run(tmp_path, monkeypatch):
    files = {"old.txt": "1", "deep/a.txt": "1", "last.txt": "1"}
    put(tmp_path / "f", files)
    moves = []

    def killed(self, target, move=Path.replace):
        moves.append(target)
        if len(moves) == 3:
            raise KeyboardInterrupt
        return move(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        put(tmp_path / "f", {"old.txt": "2", "deep/b.txt": "2", "last.txt": "2"})
    monkeypatch.undo()
    assert not (tmp_path / "f" / "last.txt").exists()
    put(tmp_path / "f", {"last.txt": "3"})
    assert set(tree(tmp_path / "f")) == {"last.txt", "list.json"}


# One at a time -------------------------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from sos_plugins.system.output_folder import claimed
with claimed(Path(sys.argv[1])):
    print("claimed", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_second_run_into_a_folder_is_told_who_has_it(tmp_path, end):
    study = write(tmp_path / "study")
    out = tmp_path / "out"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(out)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"claimed\n"
        for words in (["run", study, "--out"], ["profile", study, "--out"], ["simulate"]):
            done = call(*words, out)
            assert done.exit_code == 1
            assert f"Process {holder.pid} (since " in done.stderr
            assert not out.exists()
    finally:
        os.kill(holder.pid, end)
        holder.communicate()
    with claimed(out), claimed(out):
        pass


# What cannot be written ----------------------------------------------------------------------


def commands(study, place):
    result = study.parent / "made" / "result.json"
    return [
        ["run", study, "--no-stations", "--out", place],
        ["report", result, "--out", place],
        ["profile", study, "--out", place],
        ["profile", study, "--html", place / "page.html"],
        ["simulate", place],
        ["demo", "--out", place],
        ["new", "study", "mine", "--out", place],
        ["new", "outcome", "mine", "--out", place],
    ]


@pytest.fixture(scope="module")
def study(tmp_path_factory, result):
    path = write(tmp_path_factory.mktemp("study"), cases=table(cases=2))
    write_report(result, path.parent / "made")
    return path


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize(
    "kind", ["beneath a file", "beneath a link to itself", "full", "read-only"]
)
def test_a_target_that_cannot_be_written_is_a_sentence_at_once(
    study, tmp_path, monkeypatch, number, kind
):
    place = tmp_path / "place"
    if kind == "beneath a file":
        (tmp_path / "file").write_text("")
        place = tmp_path / "file" / "place"
    elif kind == "beneath a link to itself":
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        place = tmp_path / "loop" / "place"
    else:
        error = FULL if kind == "full" else OSError(30, "Read-only file system")

        def refused(*_, **__):
            raise error

        monkeypatch.setattr("sos_plugins.system.output_folder.tempfile.TemporaryFile", refused)
    begun = lambda *_, **__: pytest.fail("it began")  # noqa: E731
    monkeypatch.setattr("sos_plugins.study.study.Study.run", begun)
    monkeypatch.setattr("sos_plugins.study.study.Study.read", begun)
    done = call(*commands(study, place)[number])
    assert done.exit_code == 1, done.output
    told = [line for line in done.stderr.strip().splitlines() if not line.startswith("Note: ")]
    assert len(told) == 1
    assert told[0].startswith("Error: ")
    assert "cannot be written to" in told[0]
    assert not place.exists()


def test_a_disk_that_fills_while_a_plugin_is_written_leaves_nothing(tmp_path, monkeypatch):
    written = []

    def full(self, *_, **__):
        written.append(self)
        if len(written) == 2:
            raise FULL
        self.touch()

    monkeypatch.setattr(Path, "write_text", full)
    done = call("new", "outcome", "mine", "--out", tmp_path)
    assert done.exit_code == 1
    assert "No space left on device" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_while_a_simulation_is_written_leaves_the_old_one(tmp_path, monkeypatch):
    folder = tmp_path / "sim"
    simulate(folder)
    before = tree(folder)

    def full(*_, **__):
        raise FULL

    monkeypatch.setattr("sos_simulator.csv_writer.write_returns", full)
    done = simulate(folder, "seed=5")
    assert done.exit_code == 1
    assert f"written to {folder}: No space left on device" in done.stderr
    assert tree(folder) == before
    assert simulate(tmp_path / "new" / "folder").exit_code == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sim"]


def test_a_disk_that_fills_while_a_station_is_kept_costs_the_station_only(tmp_path, monkeypatch):
    def full(*_, **__):
        raise duckdb.IOException("IO Error: Could not write file: No space left on device")

    session = Session()
    monkeypatch.setattr(type(session.backend), "to_parquet", full)
    records = Records({"cases": session.table(table(cases=1), "cases")})
    given = StepCache.at(tmp_path / "kept").keep_records("r", "k", session, lambda: records)
    assert given is records
    assert not list((tmp_path / "kept").iterdir())


def test_any_other_refusal_of_the_system_is_a_sentence(monkeypatch, study):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied", "/some/file")

    monkeypatch.setattr("sos_plugins.study.study.Study.run", refused)
    done = call("run", study, "--out", study.parent / "never")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("Error: /some/file: Permission denied.")


def test_a_study_that_links_to_itself_is_a_sentence(tmp_path):
    loop = tmp_path / "loop.toml"
    loop.symlink_to(loop)
    folder = tmp_path / "folder"
    folder.symlink_to(folder)
    study = write(tmp_path / "study")
    for words in (
        ["run", loop],
        ["crosscheck", loop],
        ["profile", loop],
        ["report", loop],
        ["run", folder / "study.toml"],
        ["run", study, "--data", folder, "--out", tmp_path / "out"],
    ):
        done = call(*words)
        assert done.exit_code == 1
        assert done.stderr.splitlines()[-1].startswith("Error: ")


# What the user writes is shown as it is ------------------------------------------------------


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=30))
@settings(max_examples=examples(150), deadline=None)
def test_no_text_is_markup(text):
    text = text.strip() or "x"
    for shown in (
        render(["a"], [[text]]),
        render([text], [["a"]]),
        render(["a"], [["b" * 40]], text),
    ):
        assert text in shown


@pytest.mark.parametrize(
    "title", some_now(["[/pilot] A [pilot]", "[bold]x[/]", "a [/red] b", ":warning: x"], 0, 3)
)
def test_a_title_with_brackets_is_shown_after_the_run(tmp_path, title):
    path = write(tmp_path, cases=table(cases=2))
    path.write_text(path.read_text().replace("A small study", title))
    done = call("run", path, "--out", tmp_path / "out", "--no-r")
    assert done.exit_code == 0, done.stderr
    assert title in done.stdout


def test_a_name_with_brackets_is_no_markup_of_a_progress_bar():
    code = (
        "from rich.progress import Progress\n"
        "from rich.console import Console\n"
        "import rich.progress, sos_plugins.cli.console as c\n"
        "c.Console = lambda **_: Console(stderr=True, force_terminal=True)\n"
        "with c.Terminal().progress() as bars:\n"
        "    with bars.step('[/pilot] [red]'): bars.bars.refresh()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[/pilot] [red]" in done.stderr


# A damaged result ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored():
    result = result_factory.make_result()
    return json.loads(replace(result, outcomes=result.outcomes[:2]).to_json())


def places(value, path=()):
    """Yield the path of every part of a value, of lists the first two."""
    yield path
    if isinstance(value, dict):
        for key, part in value.items():
            yield from places(part, (*path, key))
    elif isinstance(value, list):
        for number, part in enumerate(value[:2]):
            yield from places(part, (*path, number))


DAMAGES = (None, [], {}, "", "text", -1, 1.5, True, [[1]], {"a": [1]}, float("nan"))


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_result_is_a_sentence_or_a_report(stored, tmp_path, seed):
    drawn = random.Random(seed)
    everywhere = [path for path in places(stored) if path]
    file = tmp_path / "result.json"
    for _ in range(4):
        damaged = json.loads(json.dumps(stored))
        *above, last = drawn.choice(everywhere)
        part = damaged
        for key in above:
            part = part[key]
        part[last] = drawn.choice(DAMAGES)
        file.write_text(json.dumps(damaged))
        done = call("report", file, "--out", tmp_path / "out", "-q")
        if done.exit_code:
            assert done.stderr.startswith("Error: "), (above, last)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not JSON"),
        ("[]", "no result of a study"),
        ("null", "no result of a study"),
        ('{"format": "sos-plugins result 99"}', "sos-plugins result 99"),
        ('{"format": "sos-plugins result 1"}', "damaged"),
        ("[" * 100_000, "damaged"),
        ('{"format": ' + "9" * 5000 + "}", "damaged"),
    ],
)
def test_what_is_no_result_is_a_sentence(tmp_path, text, told):
    (tmp_path / "result.json").write_text(text)
    done = call("report", tmp_path, "-q")
    assert done.exit_code == 1
    assert told in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_truncated_result_is_a_sentence(stored):
    text = json.dumps(stored)
    for length in random.Random(1).sample(range(len(text)), 20):
        with pytest.raises(SosError):
            StudyResult.from_json(text[:length])


@pytest.mark.parametrize(
    ("key", "value"),
    [("title", []), ("simulated", "yes"), ("unit_names", []), ("title", None), ("warnings", "x")],
)
def test_a_value_of_a_wrong_type_is_named(stored, key, value):
    with pytest.raises(SosError, match=f"damaged: .*{key}"):
        StudyResult.from_json(json.dumps({**stored, key: value}))


def test_a_simulation_is_no_report_and_the_other_way_round(result, tmp_path):
    write_report(result, tmp_path)
    with pytest.raises(OutputError, match="holds other files"):
        put(tmp_path, {"truth.json": "{}"}, SIMULATION)


def test_results_of_another_study_are_replaced_by_force_alone(result, tmp_path):
    out = tmp_path / "out"
    write_report(result, out)
    other = replace(result, name="another")
    with pytest.raises(OutputError, match="holds the results of the study"):
        write_report(other, out)
    assert json.loads((out / "manifest.json").read_text())["study"] == result.name
    write_report(other, out, force=True)
    assert json.loads((out / "manifest.json").read_text())["study"] == "another"


def test_another_file_of_a_study_of_the_same_name_is_another_study(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "sos_plugins.study.study.Study.run", lambda *_, **__: result_factory.make_result()
    )
    name = result_factory.make_result().name
    text = STUDY.replace('name = "small"', f'name = "{name}"')
    first, second = write(tmp_path / "a", text), write(tmp_path / "b", text)
    out = tmp_path / "out"
    assert call("run", first, "--out", out, "--no-stations", "-q").exit_code == 0
    before = tree(out)
    done = call("run", second, "--out", out, "--no-stations", "-q")
    assert done.exit_code == 1
    assert "another file study.toml" in done.stderr
    assert "--force" in done.stderr
    assert tree(out) == before
    assert call("report", out, "-q").exit_code == 0  # which keeps whose it is
    assert call("run", second, "--out", out, "--no-stations", "-q").exit_code == 1
    moved = tmp_path / "moved"
    moved.mkdir()
    for folder in ("a", "out"):
        shutil.move(tmp_path / folder, moved / folder)
    again = call("run", moved / "a" / "study.toml", "--out", moved / "out", "--no-stations", "-q")
    assert again.exit_code == 0
    forced = call("run", second, "--out", moved / "out", "--no-stations", "--force", "-q")
    assert forced.exit_code == 0
