"""One pilot, and methods side by side, from the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from sos_plugins.cli import main

ESTIMATE = "estimate imputation --unit area --period year --cohort adopted --value score"
STUDY = """
[study]
name = "single"
title = "Single"

[[sources]]
plugin = "tidy"
path = "cases.csv"
unit = "area"
period = "year"
value = "score"

[design]
pilots = [{ unit = "u0", cohort = 8 }]

[matching]
units = { plugin = "whole-pool" }

[[outcomes]]
plugin = "tidy-value"
label = "Score"
phrase = "the score"

[[estimators]]
plugin = "imputation"
engines = ["python"]

[rating]
plugin = "wwcsc"
"""


def cases(n_pilots: int, n_units: int = 7) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    rows = [
        (f"u{u}", t, 8 if u < n_pilots else 0, u + rng.normal())
        for u in range(n_units)
        for t in range(1, 11)
    ]
    return pd.DataFrame(rows, columns=["area", "year", "adopted", "score"])


def shell(*words: str) -> Result:
    done = CliRunner().invoke(main, [*words, "--quiet"])
    assert done.exit_code in (0, 1), (done.output, done.exception)
    assert "Traceback" not in done.output
    assert "Warning" not in done.output
    return done


def test_papers_of_methods_stand_beside_their_names(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    cases(2).to_csv(file, index=False)
    wanted = 'inference=["t-own","RI-t"]'
    done = shell(*ESTIMATE.split(), "--data", str(file), "--set", wanted)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("RI-t: MacKinnon and Webb (2020)")]
    assert len([line for line in lines if "Ibragimov" in line]) == 1


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ('inference=["RI"]', "input should be 'own-effects', 't-own'"),
        ("draws=10", "greater than or equal to 99"),
        ("conf_level=1", "less than 1"),
        ("errors=none", "'auto', 'own-effects', 'analytic' or 'bootstrap'"),
        ("min_event=7", "change min_event or max_event"),
    ],
)
def test_settings_that_do_not_fit_are_said(setting: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    cases(2).to_csv(file, index=False)
    done = shell(*ESTIMATE.split(), "--data", str(file), "--set", setting)
    assert done.exit_code == 1
    assert sentence in done.stderr


def test_power_of_a_single_pilot_without_error_says_why(tmp_path: Path) -> None:
    cases(1).drop(columns="adopted").to_csv(tmp_path / "cases.csv", index=False)
    study = tmp_path / "study.toml"
    study.write_text(STUDY)
    done = shell("power", str(study), "--repeats", "2", "--workers", "1")
    assert done.exit_code == 1
    assert "6 authorities of the pool have cases in all the periods" in done.stderr
    assert "from the pool, whatever the estimator. Study more pilots" in done.stderr
    cases(1, n_units=13).drop(columns="adopted").to_csv(tmp_path / "cases.csv", index=False)
    done = shell("power", str(study), "--repeats", "2", "--workers", "1")
    assert done.exit_code == 0


def test_power_of_pilots_with_a_date_each_says_what_helps(tmp_path: Path) -> None:
    """Measured from the other pilots of its date, a pilot alone at its date has no error."""
    cases(2, n_units=13).drop(columns="adopted").to_csv(tmp_path / "cases.csv", index=False)
    one, two = (
        '{ unit = "u0", cohort = 8 }',
        '{ unit = "u0", cohort = 9 }, { unit = "u1", cohort = 10 }',
    )
    left_out = 'engines = ["python"]\nerrors = "analytic"\nleave_one_out = true'
    study = tmp_path / "study.toml"
    study.write_text(STUDY.replace(one, two).replace('engines = ["python"]', left_out))
    done = shell("power", str(study), "--repeats", "2", "--workers", "1")
    assert done.exit_code == 1
    assert "or change its engine or its settings" in done.stderr
    assert "A single pilot" not in done.stderr
    study.write_text(STUDY.replace(one, two).replace('plugin = "imputation"', 'plugin = "did"'))
    done = shell("power", str(study), "--repeats", "2", "--workers", "1")
    assert done.exit_code == 0
