"""Holds the rules of releases against ACRO's, which cannot be installed beside pandas 3.

    python -m venv acro && acro/bin/pip install acro==1.0.2
    python benchmarks/acro_rules.py acro/bin/python

Tables and regressions are drawn at random; ACRO judges each cell in its own environment, our rules
judge the same records, and every cell on which the two differ is printed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from sos_plugins.release.profiles import ReleaseRules
from sos_plugins.release.rules import enough_freedom, nk_dominant, p_ratio_dominant, too_small

N_TABLES, N_REGRESSIONS = 40, 20
RULES = ReleaseRules()
CHECKS = ("MinimumThresholdCheck", "NKCheck", "PPercentCheck")
ASKED = """
import json, sys
import pandas as pd, statsmodels.api as sm
from acro import ACRO
session = ACRO(suppress=False)
told = {"tables": [], "regressions": []}
for file in json.loads(sys.argv[1]):
    d = pd.read_csv(file)
    session.pivot_table(d, values="value", index="row", columns="column", aggfunc="sum")
    output = session.results.get_index(-1)
    told["tables"].append(output.sdc["cells"])
for file in json.loads(sys.argv[2]):
    d = pd.read_csv(file)
    session.ols(d["y"], sm.add_constant(d.drop(columns="y")))
    told["regressions"].append(session.results.get_index(-1).status)
print("TOLD" + json.dumps(told))
"""


def table(rng: np.random.Generator) -> pd.DataFrame:
    """Draw records of a table whose cells are small, large, dominated and even."""
    rows = []
    for row in range(4):
        for column in range(3):
            n = int(rng.integers(1, 30))
            value = np.round(rng.lognormal(1, rng.choice([0.2, 1.0, 3.0]), n), 6)
            cell = {"row": f"r{row}", "column": f"c{column}", "value": value}
            rows.append(pd.DataFrame(cell))
    return pd.concat(rows, ignore_index=True)


def regression(rng: np.random.Generator) -> pd.DataFrame:
    """Draw a regression with few or enough degrees of freedom."""
    n, k = int(rng.integers(12, 25)), int(rng.integers(1, 6))
    frame = pd.DataFrame(rng.normal(size=(n, k)), columns=[f"x{i}" for i in range(k)])
    return frame.assign(y=rng.normal(size=n))


def judged(frame: pd.DataFrame) -> dict[str, set[tuple[int, int]]]:
    """Return the cells that our rules refuse, as places in the table."""
    found: dict[str, set[tuple[int, int]]] = {check: set() for check in CHECKS}
    for (row, column), own in frame.groupby(["row", "column"])["value"]:
        place = (int(str(row)[1:]), int(str(column)[1:]))
        values = own.tolist()
        refused = (
            too_small(len(values), RULES),
            nk_dominant(values, RULES),
            p_ratio_dominant(values, RULES),
        )
        for check, yes in zip(CHECKS, refused, strict=True):
            if yes:
                found[check].add(place)
    return found


def main(python: str) -> int:
    """Compare, print every difference, and return their number."""
    rng = np.random.default_rng(11)
    tables = [table(rng) for _ in range(N_TABLES)]
    regressions = [regression(rng) for _ in range(N_REGRESSIONS)]
    with TemporaryDirectory() as folder:
        files = [
            [_written(frame, Path(folder) / f"{kind}{n}.csv") for n, frame in enumerate(frames)]
            for kind, frames in (("t", tables), ("r", regressions))
        ]
        command = [python, "-c", ASKED, *(json.dumps(names) for names in files)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=True)
    told = json.loads(done.stdout.split("TOLD")[1])
    wrong = 0
    refused = dict.fromkeys(CHECKS, 0)
    for n, (frame, cells) in enumerate(zip(tables, told["tables"], strict=True)):
        for check, ours in judged(frame).items():
            theirs = {(row, column) for row, column in cells[check]}
            refused[check] += len(theirs)
            wrong += len(ours ^ theirs)
            if ours != theirs:
                print(f"table {n}, {check}: ours {sorted(ours)}, ACRO {sorted(theirs)}")
    for n, (frame, status) in enumerate(zip(regressions, told["regressions"], strict=True)):
        ours = "pass" if enough_freedom(len(frame), frame.shape[1], RULES) else "fail"
        if ours != status:
            wrong += 1
            print(f"regression {n}: ours {ours}, ACRO {status}")
    passed = told["regressions"].count("pass")
    print(f"{N_TABLES} tables of 12 cells, refused by ACRO: {refused}")
    print(f"{N_REGRESSIONS} regressions, passed by ACRO: {passed}. Differences: {wrong}")
    return wrong


def _written(frame: pd.DataFrame, file: Path) -> str:
    frame.to_csv(file, index=False)
    return str(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) > 0)
