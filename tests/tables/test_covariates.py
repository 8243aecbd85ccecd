"""Covariates from the command line: categories from numbers, and columns that cannot be one."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from sos_plugins.cli import main
from sos_plugins.errors import DataError
from sos_plugins.tables.read_table import read_sample

COLUMNS = ["--unit", "la", "--period", "period", "--cohort", "cohort", "--value", "y"]
STORED = 1e-9
"""Relative: the stored results have 15 digits, and a least squares fit loses a few of them."""


def estimate(name, *words):
    result = CliRunner().invoke(main, ["estimate", name, *COLUMNS, "--json", "-q", *words])
    assert result.exit_code == 0, result.output
    return pd.DataFrame(json.loads(result.stdout)["tidy"]).set_index("term")


def reference(from_r, **wanted):
    rows = pd.read_csv(from_r / "reference_shared.csv")
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    assert len(rows), wanted
    return rows.set_index("term")


@pytest.mark.parametrize("data", ["cases_cont_shared", "cases_bin_shared"])
@pytest.mark.parametrize("weights", ["none", "w"])
def test_two_way_effects_with_a_factor_equal_fixest(from_r, data, weights):
    words = ["--covariates", "factor(x)", "--set", "vcov=fixest", "--engine", "python"]
    words += ["--data", str(from_r / f"{data}.csv")]
    words += [] if weights == "none" else ["--weights", "w"]
    att = estimate("did", *words).loc["ATT"]
    options = f"cluster=la;weights={weights};x=x"
    stored = reference(from_r, data=data, method="twfe", options=options).iloc[0]
    assert att["estimate"] == pytest.approx(stored["estimate"], rel=STORED)
    assert att["std_error"] == pytest.approx(stored["std_error"], rel=STORED)


def test_group_time_effects_with_a_factor_equal_did(from_r):
    data = str(from_r / "cases_cont_shared.csv")
    words = ["--covariates", "factor(x)", "--engine", "python", "--data", data]
    words += ["--set", "method=reg", "--set", "cluster=unit-of-observation"]
    terms = estimate("callaway-santanna", *words)
    stored = reference(
        from_r,
        data="cases_cont_shared",
        method="att_gt",
        options="control=nevertreated;est=reg;x=x;base=varying;anticipation=0;weights=none;"
        "cluster=unit",
    )
    assert len(stored) == 32
    for column in ("estimate", "std_error"):
        np.testing.assert_allclose(terms.loc[stored.index, column], stored[column], rtol=STORED)


@pytest.fixture
def file(tmp_path):
    frame = pd.DataFrame(
        {"la": ["1", "1", "2", "2"], "period": [1, 2, 1, 2], "cohort": [2, 2, 0, 0]}
    )
    frame["y"] = [1.0, 2.0, 3.0, 4.0]
    frame["x"] = ["1", "1.0", "2", ""]
    frame["w"], frame["pupil"], frame["school"] = 1.0, ["a", "a", "b", "b"], ["s", "s", "t", "t"]
    for name in ("post", "event", "D", "n_cases", "case"):
        frame[name] = [0.1, 0.2, 0.4, 0.3]
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    return path


def sample(file, *covariates):
    roles = {"unit": "la", "period": "period", "cohort": "cohort", "value": "y", "id": "pupil"}
    return read_sample(file, **roles, weights="w", cluster="school", covariates=covariates)


def test_numbers_that_are_equal_are_one_level(file):
    tidy = sample(file, "factor( x )")
    assert tidy.sample.covariates == ("x",)
    assert tidy.sample.frame["x"].tolist() == ["1", "1", "2"]
    assert tidy.notes == ("1 row without 'x' left out.",)
    assert sample(file, "x").sample.frame["x"].tolist() == [1.0, 1.0, 2.0]


def test_one_column_as_numbers_and_as_categories_is_refused(file):
    with pytest.raises(DataError, match=r"'x' is asked for as numbers and as factor\(x\)"):
        sample(file, "x", "factor(x)")


@pytest.mark.parametrize(
    ("column", "role"),
    [
        ("y", "value"),
        ("cohort", "cohort"),
        ("period", "period"),
        ("la", "unit"),
        ("pupil", "id"),
        ("w", "weight"),
        ("school", "cluster"),
        ("factor(y)", "value"),
    ],
)
def test_a_column_with_another_role_is_no_covariate(file, column, role):
    with pytest.raises(DataError, match=rf"t\.csv: column '.+' is the {role} column and cannot"):
        sample(file, column)


@pytest.mark.parametrize("name", ["post", "event", "D", "n_cases", "case"])
def test_a_column_named_like_one_that_is_made_is_to_be_renamed(file, name):
    with pytest.raises(DataError, match=rf"t\.csv: .*rename the column '{name}' in the file"):
        sample(file, name)


def test_the_value_as_a_covariate_is_an_error_on_the_command_line(from_r):
    data = str(from_r / "cases_cont_shared.csv")
    words = ["estimate", "did", *COLUMNS, "--data", data, "--covariates", "y"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert "column 'y' is the value column" in result.stderr
