"""Contaminated comparators, common comparators of all outcomes, and what cases tell of noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study_helpers import OTHERS, STUDY, change, table, write

from sos_plugins import Pilot, UnitTask
from sos_plugins.contract.interfaces import OVERLAP_COLUMNS
from sos_plugins.errors import DesignError
from sos_plugins.report import write_report
from sos_plugins.study import design as designs
from sos_plugins.study.authorities import read_authorities
from sos_plugins.study.common_task import common_task
from sos_plugins.study.file import DesignTable
from sos_plugins.study.result import StudyResult
from sos_plugins.study.study import Study

FIRST, *_, LAST = STUDY.split("[[estimators]]")
SMALL = FIRST + "[[estimators]]" + STUDY.split("[[estimators]]")[1] + LAST[LAST.index("[rating]") :]
"""The small study with its first estimator alone."""

PILOT = ({"unit": "1", "cohort": 2015},)


def made(folder: Path, units=("1", "2", "3", "4"), **table):
    return designs.make_design(DesignTable(pilots=PILOT, **table), folder, list(units), {})


# ---- contaminated comparators ------------------------------------------------------------------


def test_contaminated_authorities_are_no_comparators_and_told(tmp_path):
    said = {"3": "trained its staff in 2013", "2": ""}
    design, warnings = made(tmp_path, contaminated=said)
    assert design.pool == ("4",)
    assert dict(design.contaminated) == {
        "2": "it used the approach in some form",
        "3": "trained its staff in 2013",
    }
    assert warnings == (
        "2 authorities of the pool are contaminated by the approach and no comparator therefore: "
        "2: it used the approach in some form; 3: trained its staff in 2013.",
    )


def test_a_column_of_the_file_of_authorities_says_the_same(tmp_path):
    (tmp_path / "areas.csv").write_text(
        "unit,density,spread\n1,5,yes\n2,6,no\n3,7,Yes\n4,8,\n5,9,a pilot of round 2\n9,1,yes\n"
    )
    column = {"authorities": "areas.csv", "contaminated_column": "spread"}
    design, (warning,) = made(tmp_path, ("1", "2", "3", "4", "5"), **column)
    assert design.pool == ("2", "4")
    assert "3: it used the approach in some form; 5: a pilot of round 2." in warning
    read = read_authorities(tmp_path / "areas.csv", ["spread"]).before(2015)
    assert list(read) == ["density"]
    flags = (tmp_path / "areas.csv").read_text().replace("yes", "1").replace("Yes", "1")
    (tmp_path / "areas.csv").write_text(flags.replace("no\n", "0\n").replace("a pilot of", "1"))
    assert list(read_authorities(tmp_path / "areas.csv", ["spread"]).before(2015)) == ["density"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"contaminated": {"3": "x"}, "if_contaminated": "refuse"}, "3: x.* allows none"),
        ({"contaminated": {"33": "x"}}, "contaminated names the authority '33'"),
        ({"contaminated": {"1": "x"}}, "'1', which is a pilot"),
        ({"contaminated_column": "spread"}, "the study names none"),
        (
            {"contaminated": {"2": "a", "3": "b", "4": "c"}},
            "No authority is left .* 3 authorities of the pool are contaminated",
        ),
        (
            {"authorities": "areas.csv", "contaminated_column": "sprad"},
            "has no column 'sprad' .* Its columns: spread, unit",
        ),
    ],
)
def test_faults_of_contamination_are_sentences(tmp_path, table, words):
    (tmp_path / "areas.csv").write_text("unit,spread\n2,yes\n")
    with pytest.raises(DesignError, match=words):
        made(tmp_path, **table)


def test_an_excluded_authority_may_be_contaminated_where_that_is_refused(tmp_path):
    design, warnings = made(
        tmp_path, contaminated={"3": "x"}, if_contaminated="refuse", exclude=("3",)
    )
    assert design.pool == ("2", "4")
    assert warnings == ()


def test_a_study_leaves_them_out_and_its_report_says_so(tmp_path):
    path = write(tmp_path, SMALL, table(cases=6))
    change(
        path, 'pilots = "pilots.csv"', 'pilots = "pilots.csv"\ncontaminated = { "912" = "a copy" }'
    )
    change(path, '{ plugin = "pre-outcomes-units", ratio = 2 }', '{ plugin = "whole-pool" }')
    result = Study.from_toml(path).crosscheck()
    assert set(result.outcomes[0].groups["comparator"]) == set(OTHERS) - {"912"}
    assert any("912: a copy" in warning for warning in result.warnings)
    page = write_report(result, tmp_path / "out").read_text()
    assert "contaminated by the approach" in page


# ---- one set of comparators --------------------------------------------------------------------

SECOND = """
[[outcomes]]
plugin = "tidy-value"
name = "second"
"""


def common_study(folder: Path, comparators: str) -> StudyResult:
    """Two outcomes: cases of the second have values that rank authorities another way."""
    text = SMALL.replace("[[estimators]]", SECOND + "\n[[estimators]]", 1).replace(
        "[matching]", f'[matching]\ncomparators = "{comparators}"', 1
    )
    path = write(folder, text, table(cases=6))
    study = Study.from_toml(path)
    cases, design = both(study)
    results = study.analyse(cases, design, only_crosscheck=True)
    assert all(not r.error for r in results)
    return results


def both(study: Study):
    session = study.session()
    there = study._in_memory(session, None)
    first, second = there.cases
    frame = second.frame
    order = {unit: (n * 7) % 12 for n, unit in enumerate(OTHERS)}
    moved = frame["value"] + frame["unit"].map(order).fillna(5.0) * 3
    return (first, replace(second, frame=frame.assign(value=moved))), there.design


def test_common_comparators_are_the_same_for_all_outcomes(tmp_path):
    alone = common_study(tmp_path / "a", "per-outcome")
    common = common_study(tmp_path / "b", "common")
    pairs = [
        {(g.pilot, g.comparator) for g in result.groups.itertuples()}
        for result in (*alone, *common)
    ]
    assert pairs[0] != pairs[1]
    assert pairs[2] == pairs[3]
    for result in common:
        names = set(result.balance.loc[result.balance["level"] == "units", "covariate"])
        assert "outcome_pre_mean" in names  # its own, under the plain name
        assert sum(name.startswith("outcome_pre_mean of") for name in names) == 1
        assert "outcome_pre_2008 of" in result.matching[0].sentence


def test_a_common_task_has_who_all_have():
    def task(units, name, **columns):
        frame = pd.DataFrame(columns, index=pd.Index(units, name="unit"))
        pilots = tuple(Pilot(u, None, None, 2015) for u in units if u.startswith("P"))
        return UnitTask(pilots, frame, outcome=name, left_out={"z": "why"})

    one = task(["P", "Q", "a", "b"], "one", outcome_pre_2012=[1.0, 2, 3, 4], x_size=[9.0, 8, 7, 6])
    two = task(["P", "b", "c"], "two", outcome_pre_2012=[5.0, 6, 7], x_size=[9.0, 6, 5])
    joined = common_task({"one": one, "two": two})
    assert [p.unit for p in joined.pilots] == ["P"]
    assert joined.pool == ("b",)
    assert joined.features.loc["b"].to_dict() == {
        "outcome_pre_2012 of one": 4.0,
        "x_size": 6.0,
        "outcome_pre_2012 of two": 6.0,
    }
    assert joined.left_out["a"] == "it has no features for two"
    with pytest.raises(DesignError, match="no authority of the pool has features in all"):
        common_task({"one": one, "three": task(["P", "c"], "three", outcome_pre_2012=[1.0, 2])})


# ---- what cases tell ---------------------------------------------------------------------------


def test_the_variance_from_sampling_is_that_of_a_mean():
    """Cases 1, 3 | 2, 4, 6 spread by (2 + 8) / (1 + 2); single cases tell nothing."""
    frame = pd.DataFrame(
        {
            "unit": ["a"] * 5 + ["b"] * 2,
            "period": [2011, 2011, 2012, 2012, 2012, 2011, 2012],
            "value": [1.0, 3, 2, 4, 6, 5, 7],
        }
    )
    found = designs.sampling_variances(frame)
    assert list(found) == ["outcome_pre_2011", "outcome_pre_2012"]
    np.testing.assert_allclose(found.loc["a"], [10 / 3 / 2, 10 / 3 / 3])
    assert found.loc["b"].isna().all()


def test_rows_of_yes_and_no_that_stand_for_cases_tell_the_same():
    rng = np.random.default_rng(1)
    cases = pd.DataFrame(
        {
            "unit": rng.choice(["a", "b"], 60),
            "period": rng.choice([2011, 2012], 60),
            "value": rng.integers(0, 2, 60).astype(float),
        }
    )
    rows = cases.groupby(["unit", "period", "value"], as_index=False).size()
    rows = rows.rename(columns={"size": "_cases"})
    pd.testing.assert_frame_equal(
        designs.sampling_variances(cases), designs.sampling_variances(rows), rtol=1e-12
    )
    means = rows.assign(value=0.5)
    assert designs.sampling_variances(means).empty


# ---- scores of cases ---------------------------------------------------------------------------


def test_where_scores_of_cases_lie_is_in_the_result_and_drawn(tmp_path):
    path = write(tmp_path, SMALL, table(cases=6))
    change(
        path,
        'units = { plugin = "pre-outcomes-units", ratio = 2 }',
        'units = { plugin = "pre-outcomes-units", compare = "shape", shrink = "sampling" }\n'
        'cases = { plugin = "overlap-weights", classifier = "sklearn.naive_bayes:BernoulliNB" }',
    )
    result = Study.from_toml(path).crosscheck()
    outcome = result.outcomes[0]
    assert outcome.error == ""
    assert list(outcome.overlap) == list(OVERLAP_COLUMNS)
    again = StudyResult.from_json(result.to_json()).outcomes[0].overlap
    pd.testing.assert_frame_equal(again, outcome.overlap, check_dtype=False)
    assert "BernoulliNB" in outcome.matching[1].sentence
    page = write_report(result, tmp_path / "out").read_text()
    assert "Propensity scores of cases" in page
