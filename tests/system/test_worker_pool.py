"""Work in several processes, one of which joblib replaces on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import joblib.externals.loky.process_executor as workers

from sos_plugins.system.worker_pool import REPLACED

TOO_LONG = 120  # seconds; it takes two where nothing hangs
WORK = """
import joblib.externals.loky.process_executor as workers


def job(number):
    workers._MEMORY_LEAK_CHECK_DELAY = 0.0
    workers._MAX_MEMORY_LEAK_SIZE = -(10**12)  # so that joblib replaces the process after this job
    return number
"""
RUN = """
import joblib
from work import job

from sos_plugins.system.worker_pool import in_processes

if __name__ == "__main__":
    print(list(in_processes((joblib.delayed(job)(n) for n in range(12)), 2)))
"""


def test_a_replaced_process_hangs_no_run_whose_warnings_are_errors(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "run.py").write_text(RUN)
    done = subprocess.run(
        [sys.executable, "-W", "error", "run.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        timeout=TOO_LONG,
        check=False,
    )
    assert done.stdout.strip() == str(list(range(12))), done.stderr


def test_joblib_says_so_in_these_words() -> None:
    source = Path(workers.__file__).read_text(encoding="utf-8")
    words = "".join(line.strip().strip('"') for line in source.splitlines())
    assert REPLACED in words
