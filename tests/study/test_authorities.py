"""Characteristics of authorities: matched on, adjusted for, and refused where they are missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study_helpers import OTHERS, PILOTS, STUDY, YEARS, change, table, write

from sos_plugins.errors import DataError, SettingsError
from sos_plugins.study.authorities import read_authorities
from sos_plugins.study.study import Study

EXACT = 1e-9
"""Least squares by another solver, of values of size 20."""
RATING = {False: "low", True: "high"}


def density(*, by_year: bool) -> pd.DataFrame:
    """A made-up density and a rating of every authority, in every year or once."""
    rng = np.random.default_rng(5)
    units = [*PILOTS, *OTHERS]
    years = YEARS if by_year else [0]
    rows = [(u, y, rng.normal(50, 20), RATING[bool(rng.integers(2))]) for u in units for y in years]
    frame = pd.DataFrame(rows, columns=["unit", "year", "density", "rating"])
    return frame if by_year else frame.drop(columns="year")


def study(folder: Path, rows: pd.DataFrame, covariates: str, further: str = "") -> Path:
    """The small study in the form of 2021, adjusted for characteristics of authorities."""
    path = write(folder)
    rows.to_csv(folder / "authorities.csv", index=False)
    named = f'pilots = "pilots.csv"\nauthorities = "authorities.csv"\n{further}'
    change(path, 'pilots = "pilots.csv"', f"{named}\nauthority_covariates = {covariates}")
    change(path, 'plugin = "did"\nform = "stacked"', 'plugin = "did"\nform = "pilot-post"')
    return path


def by_hand(groups: pd.DataFrame, rows: pd.DataFrame, keys: list[str]) -> float:
    """The coefficient of pilot x after of the stacked regression, by another solver."""
    parts = []
    for pilot, pairs in groups.groupby("pilot"):
        part = table()
        part = part[part["unit"].isin([pilot, *pairs["comparator"]])]
        post = (part["period"] >= PILOTS[str(pilot)]).astype(float)
        parts.append(part.assign(post=post, treated=(part["unit"] == pilot).astype(float)))
    frame = pd.concat(parts).rename(columns={"period": "year"})
    frame = frame.merge(rows, on=keys)
    x = np.column_stack(
        [
            frame["treated"] * frame["post"],
            frame["treated"],
            frame["post"],
            frame["density"],
            frame["rating"] == "low",
            frame["sex"] == "male",
            pd.get_dummies(frame["year"]).to_numpy(float),
        ]
    ).astype(float)
    return float(np.linalg.lstsq(x, frame["value"].to_numpy(), rcond=None)[0][0])


@pytest.mark.parametrize("by_year", [True, False])
def test_the_regression_adjusts_for_them_by_authority_and_year(tmp_path, by_year):
    rows = density(by_year=by_year)
    path = study(tmp_path, rows, '["density", "rating"]', "standardise = true")
    outcome = Study.from_toml(path).crosscheck().outcome("tidy-value")
    assert outcome.error == ""
    wanted = by_hand(outcome.groups, rows, ["unit", "year"] if by_year else ["unit"])
    found = next(e for e in outcome.estimates if e.estimator == "did").estimate.term("ATT")
    assert found["estimate"] == pytest.approx(wanted, abs=EXACT)
    told = next(w for w in outcome.warnings if "characteristics of authorities" in w)
    assert "standardised" in told
    assert ("by year" in told) is by_year
    assert "density" in told


def test_cases_are_matched_without_them(tmp_path):
    """A pilot's density is that of none of its comparators: nothing could be matched on it."""
    path = study(tmp_path, density(by_year=False), '["density"]')
    change(path, "ratio = 2 }", 'ratio = 2 }\ncases = { plugin = "inverse-weights" }')
    outcome = Study.from_toml(path).crosscheck().outcome("tidy-value")
    assert outcome.error == ""
    cases = outcome.balance[outcome.balance["level"] == "cases"]
    assert not cases["covariate"].str.contains("density").any()


def test_what_is_missing_is_told_by_authority_and_year(tmp_path):
    rows = density(by_year=True)
    some = study(tmp_path / "a", rows[rows["unit"] != "901"], '["density"]')
    assert "no row for the authorities 901." in errors(some)
    late = rows[(rows["unit"] != "902") | (rows["year"] > 2008)]
    assert "no row for 902 in 2008." in errors(study(tmp_path / "b", late, '["density"]'))
    rows.loc[(rows["unit"] == "903") & (rows["year"] == 2010), "density"] = np.nan
    empty = errors(study(tmp_path / "c", rows, '["density"]'))
    assert "column 'density', is empty for 903." in empty
    assert "complete the file" in empty


def errors(path: Path) -> str:
    """Why the outcome of a study cannot be analysed."""
    return Study.from_toml(path).crosscheck().outcome("tidy-value").error


def test_a_wrong_choice_is_told(tmp_path):
    rows = density(by_year=False)
    unknown = errors(study(tmp_path / "a", rows, '["densty"]'))
    assert "has no column 'densty'. Did you mean 'density'?" in unknown
    constant = study(tmp_path / "b", rows.assign(density=1), '["density"]')
    assert "'density' is the same for every authority" in errors(constant)
    own = errors(study(tmp_path / "c", rows.rename(columns={"rating": "sex"}), '["sex"]'))
    assert "the outcome has a covariate 'sex' itself" in own
    reserved = errors(study(tmp_path / "d", rows.rename(columns={"rating": "post"}), '["post"]'))
    assert "makes a column 'post' itself" in reserved


def test_covariates_without_a_file_are_refused(tmp_path):
    path = write(
        tmp_path, STUDY.replace("[matching]", 'authority_covariates = ["x"]\n\n[matching]')
    )
    with pytest.raises(SettingsError, match="none is named: add authorities"):
        Study.from_toml(path)


def test_a_table_by_year_is_matched_on_by_its_mean_before(tmp_path):
    path = tmp_path / "authorities.csv"
    path.write_text("unit,year,people\n1,2012/13,10\n1,2013/14,20\n1,2014/15,90\n2,2013/14,5\n")
    before = read_authorities(path).before(2014)
    assert before["people"].to_dict() == {"1": 15.0, "2": 5.0}
    path.write_text("unit,year,people\n1,2013,10\n1,2013,20\n")
    with pytest.raises(DataError, match="more than one row for the authorities 1 in 2013"):
        read_authorities(path)
    path.write_text("unit,year,period,people\n1,2013,2013,10\n")
    with pytest.raises(DataError, match="columns period, year; one of them says the year"):
        read_authorities(path)
    path.write_text("unit,year,people\n1,,10\n2,2014,3\n")
    with pytest.raises(DataError, match="column 'year': no cell may be empty"):
        read_authorities(path)
