"""Files appear whole, and a killed writer leaves nothing behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from result_factory import result_without_outcomes
from variants import some_now

from sos_plugins.report import write_report
from sos_plugins.system import whole_files
from sos_plugins.system.whole_files import WholeFile, put

WRITES = """
import sys, time
from pathlib import Path
from result_factory import result_without_outcomes
from sos_plugins.report import write_report

write = Path.write_bytes
result = result_without_outcomes()


def slowly(path, content):
    print(path.name, flush=True)
    if path.name == "result.json":
        time.sleep(600)
    return write(path, content)


Path.write_bytes = slowly
write_report(result, Path(sys.argv[1]))
"""


def hidden(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.name.startswith(".")]


@pytest.mark.parametrize("how", some_now([signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], 0, 2))
def test_a_killed_writer_of_a_report_leaves_no_hidden_file(
    tmp_path: Path, how: signal.Signals
) -> None:
    folder = tmp_path / "report"
    write_report(result_without_outcomes(), folder)
    tests = str(Path(__file__).parents[1] / "support")
    process = subprocess.Popen(
        [sys.executable, "-c", WRITES, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([tests, os.environ["PYTHONPATH"]])}
        if os.environ.get("PYTHONPATH")
        else {**os.environ, "PYTHONPATH": tests},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while process.stdout.readline().strip() != "result.json":
        assert process.poll() is None
    time.sleep(0.2)
    process.send_signal(how)
    process.communicate()
    assert hidden(folder) == []
    assert (folder / "report.html").is_file()  # the earlier report is whole until the new one is
    write_report(result_without_outcomes(), folder)
    assert hidden(tmp_path) == []
    assert (folder / "report.html").is_file()


@pytest.mark.parametrize("nameless", [True, False])
def test_a_file_appears_whole_with_the_mode_of_any_other(
    tmp_path: Path, nameless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not nameless:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    place = tmp_path / "new" / "file.txt"
    file = WholeFile.written(place, b"first")
    assert not place.exists()
    assert len(hidden(tmp_path)) == (0 if nameless and hasattr(os, "O_TMPFILE") else 1)
    file.appear()
    file.forget()
    other = tmp_path / "other"
    other.touch()
    assert place.read_bytes() == b"first"
    assert stat.S_IMODE(place.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)
    put(place, b"second")
    assert (place.read_bytes(), hidden(tmp_path)) == (b"second", [])


@pytest.mark.parametrize("nameless", [True, False])
def test_what_fails_leaves_nothing(
    tmp_path: Path, nameless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not nameless:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    place = tmp_path / "file.txt"
    place.mkdir()
    with pytest.raises(OSError, match="directory"):
        put(place, b"content")
    assert hidden(tmp_path) == []
    assert place.is_dir()


def test_what_an_earlier_writer_left_goes_and_what_others_have_stays(tmp_path: Path) -> None:
    left = [".report.html.ab12_cde", ".report.html.earlier", ".report.html.part"]
    others = [".report.html", ".report.html.notes-of-mine", ".gitignore", ".result.json.ab12_cde"]
    for name in (*left, *others):
        (tmp_path / name).touch()
    whole_files.clear(tmp_path / "report.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
