"""A national study from record tables in Parquet to its report.

    python benchmarks/bench_national.py --referrals 1000000 6500000 [--beside CHECKOUT]

Made-up records of ten years in 152 authorities (`national.py`), nine pilots and five outcomes
(`national.toml`): profile, matching, two-way fixed effects, event study and Callaway-Sant'Anna in
Python, all families of sensitivity analyses, rating and report, with ``memory = "2GB"`` and no
stations. It prints the median seconds on the wall and of the processors, and the peak memory of
the largest process; with ``--beside`` another checkout of the project, set up in a
``.venv`` of its own, runs in turn with this one, and the ratios follow.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from national import write

HERE = Path(__file__).resolve().parent
PARTS = ("", "sources", "outcomes", "estimators", "ratings")
"""Folders of a checkout that Python imports from."""


@dataclass(frozen=True)
class Cost:
    """What one run took: seconds on the wall and of the processors, megabytes at the peak."""

    wall: float
    processor: float
    megabytes: float


def run(checkout: Path, study: Path, out: Path) -> Cost:
    """Run the study with the program of a checkout."""
    command = "from sos_plugins.cli import main; main()"
    paths = os.pathsep.join(str(checkout / part) for part in PARTS)
    start = time.perf_counter()
    child = subprocess.Popen(
        [_python(checkout), "-c", command, "run", str(study), "--out", str(out), "--no-stations"],
        env={**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    told = child.stderr.read().decode()
    _, status, used = os.wait4(child.pid, 0)
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"{checkout}: the run failed.\n{told}")
    return Cost(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def _python(checkout: Path) -> Path:
    own = checkout / ".venv" / "bin" / "python"
    return own if own.exists() else Path(sys.executable)


def median(costs: list[Cost]) -> Cost:
    """Return the medians of the repeats."""
    columns = ("wall", "processor", "megabytes")
    return Cost(*(statistics.median(getattr(c, column) for c in costs) for column in columns))


def main() -> None:
    """Write, run and print a line for each size and checkout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--referrals", type=int, nargs="+", default=[100_000])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--beside", type=Path, help="another checkout of the project")
    given = parser.parse_args()
    checkouts = [HERE.parent, *([given.beside.resolve()] if given.beside else [])]
    print("referrals  checkout      wall s  processor s  peak MB")
    for n in given.referrals:
        with tempfile.TemporaryDirectory() as place:
            folder = write(Path(place) / "records", n)
            study = shutil.copy(HERE / "national.toml", folder / "study.toml")
            costs: dict[Path, list[Cost]] = {checkout: [] for checkout in checkouts}
            for _ in range(given.repeats):
                for number, checkout in enumerate(checkouts):
                    out = Path(place) / f"out-{number}"
                    costs[checkout].append(run(checkout, Path(study), out))
                    shutil.rmtree(out)
        found = {checkout: median(many) for checkout, many in costs.items()}
        for checkout, cost in found.items():
            line = f"{cost.wall:8.1f}  {cost.processor:11.1f}  {cost.megabytes:7.0f}"
            print(f"{n:9d}  {checkout.name[-12:]:12s}  {line}")
        if given.beside:
            ours, other = (found[checkout] for checkout in checkouts)
            line = f"{ours.wall / other.wall:8.2f}  {ours.processor / other.processor:11.2f}"
            print(f"{n:9d}  ratio         {line}  {ours.megabytes / other.megabytes:7.2f}")


if __name__ == "__main__":
    main()
