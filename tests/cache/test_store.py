"""A run that was cut off goes on from its last finished station, and nothing stale is used."""

import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import result_factory
import study_helpers
from click.testing import CliRunner
from study_helpers import change, facts

from sos_plugins.cache import codec
from sos_plugins.cache import fingerprint as contents
from sos_plugins.cache import store as places
from sos_plugins.cache.store import DAYS_KEPT, StepCache, default_folder, hashed, hashed_files
from sos_plugins.cli.main import main
from sos_plugins.contract.session import Session
from sos_plugins.contract.types import Records
from sos_plugins.errors import DataError
from sos_plugins.report import write as folder
from sos_plugins.report import write_report
from sos_plugins.study.result import StudyResult
from sos_plugins.study.study import Study


def run(path, folder, **changes):
    cache = StepCache.at(folder)
    result = Study.from_toml(path).run(workers=1, stations=cache)
    return result, cache.reused


@pytest.fixture
def study(tmp_path):
    return study_helpers.write(tmp_path / "study", study_helpers.SHORT)


def test_a_second_run_reuses_everything_and_finds_the_same(tmp_path):
    study = study_helpers.write(tmp_path / "study", study_helpers.SHORT)
    first, none = run(study, tmp_path / "kept")
    second, reused = run(study, tmp_path / "kept")
    assert none == []
    assert {"cases of tidy-value", "tidy-value: matching", "tidy-value: did by python"} <= set(
        reused
    )
    assert sum("run '" in label for label in reused) >= 5
    assert facts(first) == facts(second)
    assert facts(Study.from_toml(study).run(workers=1)) == facts(first)


def test_several_processes_say_what_they_reused(study, tmp_path):
    run(study, tmp_path / "kept")
    extra = '[[outcomes]]\nplugin = "tidy-value"\nname = "again"\nlabel = "Again"\n\n[rating]'
    change(study, "[rating]", extra)
    cache = StepCache.at(tmp_path / "kept")
    result = Study.from_toml(study).run(workers=2, stations=cache)
    assert not any(outcome.error for outcome in result.outcomes)
    assert "tidy-value: did by python" in cache.reused
    assert not any(label.startswith("again") for label in cache.reused)


@pytest.mark.parametrize(
    ("old", "new", "kept", "made"),
    [
        ("plugin = \"wwcsc\"", "plugin = \"wwcsc\"\npilots_high = 19", "did by python", None),
        ("form = \"stacked\"\nengines", "form = \"stacked\"\nvcov = \"CR3\"\nengines", "matching",
         "did by python"),
        ("ratio = 2", "ratio = 3", "cases of", "matching"),
        ("seed = 1", "seed = 2", None, "cases of"),
    ],
)  # fmt: skip
def test_what_rests_on_a_changed_setting_is_made_again(study, tmp_path, old, new, kept, made):
    run(study, tmp_path / "kept")
    text = study.read_text()
    study.write_text(text.replace(old, new, 1))
    result, reused = run(study, tmp_path / "kept")
    if kept:
        assert any(kept in label for label in reused)
    if made:
        assert not any(made in label for label in reused)
    study_again = Study.from_toml(study).run(workers=1)
    assert facts(result) == facts(study_again)


def test_other_data_under_the_same_name_are_seen(study, tmp_path):
    first, _ = run(study, tmp_path / "kept")
    study_helpers.write(study.parent, cases=study_helpers.table(effect=3.0))
    second, reused = run(study, tmp_path / "kept")
    assert reused == []
    assert second.outcomes[0].main.estimate > 0 > first.outcomes[0].main.estimate


def test_other_pilots_in_the_same_file_are_seen(study, tmp_path):
    run(study, tmp_path / "kept")
    pilots = study.parent / "pilots.csv"
    pilots.write_text("\n".join(pilots.read_text().splitlines()[:-1]) + "\n")
    _, reused = run(study, tmp_path / "kept")
    assert reused == ["profile of the records", "cases of tidy-value"]


def test_a_damaged_station_is_made_again_with_a_warning(study, tmp_path):
    first, _ = run(study, tmp_path / "kept")
    files = sorted((tmp_path / "kept").glob("*.station"))
    for n, file in enumerate(files):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes((content, content[:40], b"")[n % 3])
    cache = StepCache.at(tmp_path / "kept")
    second = Study.from_toml(study).run(workers=1, stations=cache)
    assert cache.reused == []
    assert len(cache.damaged) == len(files)
    assert facts(first) == facts(second)
    next(iter(files)).write_bytes(b"")
    command = ["run", str(study), "--stations", str(tmp_path / "kept"), "--out", str(tmp_path)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0
    assert "1 finished stations in" in done.output
    assert "were damaged" in done.output


def test_failures_are_not_kept(tmp_path):
    cache = StepCache.at(tmp_path)
    for made, finished in (("no", False), ("yes", True)):
        assert cache.keep("step", "key", lambda m=made: m, done=lambda _, f=finished: f) == made
    assert cache.keep("step", "key", lambda: "again") == "yes"

    def fail():
        raise DataError("It is broken.")

    with pytest.raises(DataError):
        cache.keep("other", "key", fail)
    assert cache.keep("other", "key", lambda: 1) == 1


def test_records_come_back_as_they_were(tmp_path):
    session = Session()
    frame = pd.DataFrame(
        {"unit": ["1", None, "2"], "date": pd.to_datetime(["2020-01-01", None, "2021-03-31"])}
    )

    def make():
        return Records({"referrals": session.table(frame)}, files=("a.xml",), data_hash="h")

    cache = StepCache.at(tmp_path)
    made = cache.keep_records("records", "key", session, make)
    other = Session()
    again = cache.keep_records("records", "key", other, lambda: pytest.fail("read again"))
    assert cache.reused == ["records"]
    assert again.data_hash == "h"
    assert again.files == ("a.xml",)
    pd.testing.assert_frame_equal(
        again.table("referrals").to_pandas(), made.table("referrals").to_pandas()
    )
    assert again.table("referrals").schema() == made.table("referrals").schema()
    (file,) = tmp_path.glob("*.records/referrals.parquet")
    file.write_bytes(file.read_bytes()[:-1])
    cache.keep_records("records", "key", session, make)
    assert cache.damaged == ["records"]


SLOW = '''
"""An outcome like tidy-value that writes down its derivations, and one that never ends."""
import os, time
from pathlib import Path
from sos_plugins import hookimpl
from sos_outcomes.tidy_value import TidyValue

class Counted(TidyValue):
    name = "counted"
    label = "Counted"
    def derive(self, records, settings, session):
        with open(session.base / "derived.txt", "a") as file:
            file.write(settings.label + "\\n")
        if settings.label == "Slow" and (session.base / "hang").exists():
            (session.base / "hanging").touch()
            time.sleep(600)
        return super().derive(records, settings, session)

@hookimpl
def register_outcomes(register):
    register(Counted())
'''
PATIENCE = 120
"""Seconds until a study of a hundred milliseconds must have come to its second outcome."""


def test_a_run_that_is_killed_goes_on_from_the_last_finished_station(tmp_path):
    text = study_helpers.SHORT.replace(
        'plugin = "tidy-value"\nlabel = "Score"',
        'plugin = "counted"\nname = "first"\nlabel = "Quick"\nphrase = "it"\n'
        'expected = "decrease"\n\n[[outcomes]]\nplugin = "counted"\nlabel = "Slow"',
    )
    study = study_helpers.write(tmp_path, text)
    (tmp_path / "counted.py").write_text(SLOW)
    (tmp_path / "plugins.toml").write_text('[plugins]\npaths = ["counted.py"]\n')
    (tmp_path / "hang").touch()
    command = [sys.executable, "-m", "sos_plugins", "run", str(study), "--out", "out"]
    command += ["--stations", "kept"]
    killed = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    end = time.monotonic() + PATIENCE
    while not (tmp_path / "hanging").exists() and time.monotonic() < end:
        time.sleep(0.1)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "out").exists()
    (tmp_path / "hang").unlink()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 finished stations were taken from" in done.stdout
    assert (tmp_path / "out" / "report.html").is_file()
    derived = (tmp_path / "derived.txt").read_text().split()
    assert derived == ["Quick", "Slow", "Slow"]


def whole(folder):
    """Whether a report is there; it must then be whole, with no file of another."""
    if not (folder / "report.html").exists():
        return False
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, digest in manifest["report"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
    return True


KILLS = 2


@pytest.mark.long
@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_comes_to_the_same_report(tmp_path):
    study = study_helpers.write(tmp_path, study_helpers.SHORT)
    expected, _ = run(study, tmp_path / "all")
    n_stations = len(list((tmp_path / "all").iterdir()))
    rng = np.random.default_rng()
    command = [sys.executable, "-m", "sos_plugins", "run", str(study), "--out", "out"]
    command += ["--stations", "kept", "--workers", "1"]
    kept = tmp_path / "kept"
    for after in sorted(rng.integers(1, n_stations - 1, KILLS)):
        finished = {path.name: path.stat().st_ino for path in kept.glob("*.*")}
        running = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE
        while len(list(kept.glob("[!.]*"))) <= after and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        running.kill()
        assert running.wait() == -signal.SIGKILL
        assert not whole(tmp_path / "out")
        assert all((kept / name).stat().st_ino == inode for name, inode in finished.items())
    finished = {path.name: path.stat().st_ino for path in kept.glob("[!.]*")}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(finished)} finished stations were taken from" in done.stdout
    assert all((kept / name).stat().st_ino == inode for name, inode in finished.items())
    assert whole(tmp_path / "out")
    assert facts(StudyResult.read(tmp_path / "out")) == facts(expected)


WRITER = """
import itertools, sys
from dataclasses import replace
from sos_plugins.report import write_report
from sos_plugins.study.result import StudyResult
result = StudyResult.read(sys.argv[1])
for n in itertools.count():
    write_report(replace(result, title=f"Version {n % 2}"), sys.argv[2])
    print(n, flush=True)
"""


def test_a_report_is_whole_whenever_its_writing_is_killed(tmp_path):
    write_report(result_factory.result_without_outcomes(), tmp_path / "made")
    for delay in np.random.default_rng().uniform(0, 0.3, KILLS):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "made"), str(tmp_path / "out")]
        writing = subprocess.Popen(command, stdout=subprocess.PIPE)
        writing.stdout.readline()
        time.sleep(delay)
        writing.kill()
        writing.communicate()
        whole(tmp_path / "out")
    write_report(StudyResult.read(tmp_path / "made"), tmp_path / "out")
    assert whole(tmp_path / "out")


def test_a_report_that_cannot_be_written_leaves_the_earlier_one(tmp_path, monkeypatch):
    result = result_factory.result_without_outcomes()
    page = write_report(result, tmp_path / "out")
    before = page.read_bytes()

    def full(path, content, write=Path.write_bytes):
        if path.name == "report.html":
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(folder.ReportError, match="No space left"):
        write_report(replace(result, title="Other"), tmp_path / "out")
    assert whole(tmp_path / "out")
    assert page.read_bytes() == before
    assert not list((tmp_path / "out").rglob(".*"))


def test_the_folder_is_for_its_owner_alone_and_old_stations_go(tmp_path):
    folder = tmp_path / "kept"
    cache = StepCache.at(folder)
    assert folder.stat().st_mode & 0o077 == 0
    cache.keep("old", "key", lambda: 1)
    (old,) = folder.glob("*.station")
    (folder / "letter.txt").write_text("not ours")
    long_ago = time.time() - (DAYS_KEPT + 1) * 86_400
    for path in folder.iterdir():
        os.utime(path, (long_ago, long_ago))
    cache.keep("new", "key", lambda: 2)
    StepCache.at(folder)
    assert not old.exists()
    assert (folder / "letter.txt").exists()
    assert len(list(folder.glob("*.station"))) == 1


def test_only_their_owner_can_read_stations(study, tmp_path):
    session = Session()
    cache = StepCache.at(tmp_path / "kept")
    cache.keep("one", "key", lambda: 1)
    cache.keep_records(
        "records",
        "key",
        session,
        lambda: Records({"referrals": session.table(pd.DataFrame({"unit": ["1"]}))}),
    )
    kept = list((tmp_path / "kept").rglob("*"))
    assert len(kept) == 4
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept)


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path, mode):
    folder = tmp_path / "kept"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(DataError, match=r"others can write to it.*chmod go-w"):
        StepCache.at(folder)
    folder.chmod(mode & 0o755)
    assert StepCache.at(folder).folder == folder


def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "kept"
    folder.mkdir(mode=0o755)
    os.chown(folder, 12345, -1) if os.geteuid() == 0 else monkeypatch.setattr(
        places.os, "fstat", lambda _: os.stat_result((0, 0, 0, 0, 12345, *[0] * 5))
    )
    with pytest.raises(DataError, match="belongs to another user"):
        StepCache.at(folder)


def test_a_station_that_others_may_have_written_is_made_again(tmp_path, monkeypatch):
    cache = StepCache.at(tmp_path / "kept")
    cache.keep("step", "key", lambda: "ours")
    (file,) = (tmp_path / "kept").glob("*.station")
    file.chmod(0o666)
    assert cache.keep("step", "key", lambda: "made again") == "made again"
    assert cache.damaged == ["step"]
    monkeypatch.setattr(places.os, "geteuid", lambda: 12345)
    assert cache.keep("step", "key", lambda: "once more") == "once more"
    assert cache.damaged == ["step", "step"]


class Planted:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_planted_pickle_is_not_run(study, tmp_path):
    first, _ = run(study, tmp_path / "kept")
    mark = tmp_path / "ran"
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, places.COMPRESSION) as packed:
        packed.write(pickle.dumps(Planted(mark)))
    planted = sink.getvalue().to_pybytes()
    for file in (tmp_path / "kept").glob("*.station"):
        file.write_bytes(hashlib.sha256(planted).digest() + planted)
    second, reused = run(study, tmp_path / "kept")
    assert not mark.exists()
    assert reused == []
    assert facts(first) == facts(second)


def test_no_module_that_keeps_stations_knows_pickle():
    for module in (places, codec, contents):
        assert "import pickle" not in Path(module.__file__).read_text()


def test_what_does_not_travel_costs_the_station_and_not_the_run(tmp_path):
    cache = StepCache.at(tmp_path)
    odd = object()
    assert cache.keep("step", "key", lambda: odd) is odd
    assert cache.keep("step", "key", lambda: 1) == 1
    assert not cache.damaged


def test_the_first_run_says_where_stations_are_and_later_ones_do_not(study, tmp_path):
    command = ["run", str(study), "--out", str(tmp_path / "out"), "--no-r"]
    told = [CliRunner().invoke(main, command) for _ in range(2)]
    folder = str(default_folder(study.parent).resolve())
    assert [done.exit_code for done in told] == [0, 0]
    for words in (f"are kept in {folder}", "child-level records", "--no-stations"):
        assert [words in done.stderr for done in told] == [True, False], words
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["stations"] == folder
    without = CliRunner().invoke(main, [*command, "--no-stations"])
    assert "Finished stations" not in without.stderr
    assert "stations" not in json.loads((tmp_path / "out" / "manifest.json").read_text())


def test_an_empty_folder_of_ones_own_is_announced_too(tmp_path):
    assert "child-level records" in StepCache.at(tmp_path).news
    StepCache.at(tmp_path).keep("step", "key", lambda: 1)
    assert StepCache.at(tmp_path).news == ""


def test_a_comparison_says_where_stations_are_and_can_do_without(study, tmp_path):
    other = study.parent / "other.toml"
    other.write_text(study.read_text().replace("ratio = 2", "ratio = 3"))
    command = ["compare", str(study), str(other), "--no-r"]
    without = CliRunner().invoke(main, [*command, "--no-stations"])
    told = [CliRunner().invoke(main, command) for _ in range(2)]
    assert [done.exit_code for done in (without, *told)] == [0, 0, 0]
    assert ["child-level records" in done.stderr for done in (without, *told)] == [
        False, True, False,
    ]  # fmt: skip


def test_a_manifest_does_not_name_the_user(study, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    result, _ = run(study, tmp_path / "cache" / "kept")
    assert result.manifest["stations"] == "~/cache/kept"


def test_a_folder_that_cannot_be_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"Finished stations cannot be kept in .*--no-stations"):
        StepCache.at(tmp_path / "file" / "kept")


def test_hashes_tell_inputs_apart(tmp_path):
    assert hashed("a", ["b"]) != hashed("a", "b") != hashed("ab")
    assert hashed({"x": 1, "y": 2}) == hashed({"y": 2, "x": 1})
    one, two = tmp_path / "1.csv", tmp_path / "2.csv"
    one.write_text("a")
    two.write_text("b")
    before = hashed_files([one, two])
    assert before == hashed_files([two, one])
    one.write_text("b")
    two.write_text("a")
    assert hashed_files([one, two]) != before
    assert hashed_files([one]) != hashed_files([one, tmp_path / "absent.csv"])


def test_studies_in_two_folders_do_not_share_a_place(tmp_path, monkeypatch):
    monkeypatch.setenv("SOS_PLUGINS_STATIONS", str(tmp_path))
    assert default_folder(tmp_path / "a") != default_folder(tmp_path / "b")
    assert default_folder(tmp_path / "a").parent == tmp_path


def test_stations_can_travel_to_another_process(tmp_path):
    again = pickle.loads(pickle.dumps(StepCache.at(tmp_path).for_worker()))
    assert again.folder == Path(tmp_path).resolve()
