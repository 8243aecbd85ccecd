"""Where the time of the demonstration goes: every step, and the whole sensitivity grid.

    python benchmarks/bench_grid.py [--no-r] [--repeats 3]

Simulates the records of ``sos-plugins demo`` once, then reads them and runs the study in one
process (``workers=1``) with a clock at every progress bar: seconds on the wall and of the
processors (R's not counted), medians of the repeats; one BLAS thread, as the processes of a run on
several processors have. The grid of an outcome is all specifications of its sensitivity analysis
and all tests of its leads, once its cases are compressed; other definitions and other comparators
are matched and compressed anew within it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench_did import Clock

GRID = ("sensitivity", "leads")


@dataclass
class Watch:
    """Progress that writes down what each step took and how many parts it had."""

    steps: dict[str, dict[str, float]] = field(default_factory=dict)

    @contextmanager
    def step(self, label: str, total: int | None = None) -> Iterator[Callable[..., None]]:
        clock = Clock()
        yield lambda n=1: None  # noqa: ARG005
        self.steps[label] = {**clock.read(), "parts": total or 1}


def simulate(folder: Path) -> None:
    """Write the records of the demonstration."""
    from sos_plugins.cli.console import Terminal
    from sos_plugins.cli.run import simulate

    simulate(Terminal(quiet=True), folder, {})


def run(folder: Path) -> dict[str, dict[str, float]]:
    """Run the study, write its report, and return what each step took."""
    from sos_plugins.report import write_report
    from sos_plugins.study.study import Study

    watch, clock = Watch(), Clock()
    result = Study.from_toml(folder / "study.toml").run(watch, workers=1)
    whole = Clock()
    write_report(result, folder.parent / "report")
    watch.steps["report"] = {**whole.read(), "parts": 1}
    watch.steps["everything"] = {**clock.read(), "parts": 1}
    return watch.steps


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--no-r", action="store_true")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.folder:
        steps = run(given.folder)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**steps, "megabytes": {"seconds": peak}}))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "data"
        simulate(folder)
        command = [sys.executable, __file__, "--folder", str(folder)]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
        if given.no_r:
            environment["SOS_NO_R"] = "1"
        runs = [
            json.loads(
                subprocess.run(
                    command, capture_output=True, text=True, check=True, env=environment
                ).stdout.splitlines()[-1]
            )
            for _ in range(given.repeats)
        ]
    show(runs)


def show(runs: list[dict[str, dict[str, float]]]) -> None:
    """Print the medians, step by step, and the grid of all outcomes."""
    middle = {
        label: {key: statistics.median(run[label][key] for run in runs) for key in values}
        for label, values in runs[0].items()
    }
    peak = middle.pop("megabytes")["seconds"]
    grid = [values for label, values in middle.items() if label.endswith(GRID)]
    middle["grid of all outcomes"] = {
        key: sum(values[key] for values in grid) for key in ("seconds", "cpu", "parts")
    }
    print(f"{'':44} {'seconds':>9} {'cpu':>9} {'parts':>6}")
    for label, values in middle.items():
        print(f"{label:44} {values['seconds']:9.2f} {values['cpu']:9.2f} {values['parts']:6.0f}")
    load = os.getloadavg()[0]
    print(f"peak memory {peak:.0f} MB, {os.cpu_count()} processors, load {load:.1f}")


if __name__ == "__main__":
    main()
