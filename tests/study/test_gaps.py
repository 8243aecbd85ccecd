"""Gaps in covariates on the way through a study."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from study_helpers import EFFECT, STUDY, table, write

from sos_plugins.cache.codec import decode, encode
from sos_plugins.contract.interfaces import CaseMatch
from sos_plugins.contract.types import Imputed, Pilot, Sample, first_of
from sos_plugins.errors import DataError, SosError
from sos_plugins.study import gaps
from sos_plugins.study.design import CountedCases
from sos_plugins.study.file import DesignTable, ImputationChoice
from sos_plugins.study.pilots_and_pool import Design
from sos_plugins.study.result import OutcomeResult
from sos_plugins.study.study import Study

IMPUTED = '[imputation]\nplugin = "chained-equations"\nsets = 3\niterations = 1\n\n[[outcomes]]'
WITHIN = 0.5
"""Six standard errors of the effect in the small study with 12 cases a year (0.08)."""
ONE_ESTIMATOR = re.sub(
    r'\[\[estimators\]\]\nplugin = "(event-study|callaway-santanna)".*?(?=\[\[|\[rating)',
    "",
    STUDY,
    flags=re.S,
)


def with_gaps(rows: int = 12) -> pd.DataFrame:
    """The cases of the small study with an age that matters, a fifth of it and of sex missing."""
    cases, rng = table(cases=rows), np.random.default_rng(1)
    cases["age"] = 8 + 2 * (cases["sex"] == "male") + rng.normal(0, 3, len(cases))
    cases["value"] += 0.3 * cases["age"]
    cases["age"] = cases["age"].mask(rng.random(len(cases)) < 0.2)
    cases["sex"] = cases["sex"].mask(rng.random(len(cases)) < 0.2)
    return cases


def study_text(*changes: tuple[str, str]) -> str:
    text = ONE_ESTIMATOR.replace('covariates = ["sex"]', 'covariates = ["sex", "age"]')
    for old, new in (*changes, ('rating]\nplugin = "wwcsc"', 'rating]\nplugin = "wwcsc"')):
        assert old in text
        text = text.replace(old, new, 1)
    return text + '\n[sensitivity]\nfamilies = ["drop-one-pilot", "no-covariates"]\n'


def run(folder: Path, *changes: tuple[str, str], cases: pd.DataFrame | None = None) -> Any:
    path = write(folder, study_text(*changes), with_gaps() if cases is None else cases)
    return Study.from_toml(path).run().outcomes[0]


@pytest.fixture(scope="module")
def imputed(tmp_path_factory: pytest.TempPathFactory) -> OutcomeResult:
    folder = tmp_path_factory.mktemp("imputed")
    cases = ("ratio = 2 }", 'ratio = 2 }\ncases = { plugin = "inverse-weights" }')
    result: OutcomeResult = run(folder, ("[[outcomes]]", IMPUTED), cases)
    return result


def test_the_effect_is_found_and_says_what_the_gaps_cost(imputed: OutcomeResult) -> None:
    assert imputed.error == ""
    assert imputed.main is not None
    assert imputed.main.estimate == pytest.approx(EFFECT, abs=WITHIN)
    (row,) = [e.estimate.term("ATT") for e in imputed.estimates]
    assert row["riv"] > 0
    assert row["df"] < row["df_complete"]
    assert imputed.estimates[0].estimate.glance["n_imputations"] == 3


def test_no_case_is_lost_to_a_gap(imputed: OutcomeResult) -> None:
    steps = imputed.attrition[imputed.attrition["step"].str.contains("known")]
    assert (steps["n_dropped"] == 0).all()


def test_sentences_say_what_was_imputed_and_matched(imputed: OutcomeResult) -> None:
    sentences = {step.level: step.sentence for step in imputed.matching}
    assert "filled 3 times by chained equations" in sentences["gaps"]
    assert sentences["cases"].endswith("within each of 3 completed data sets.")
    assert not {c for c in imputed.balance["covariate"] if "Missing" in c and "sex" in c} & set(
        imputed.balance.loc[imputed.balance["level"] == "cases", "covariate"]
    )


def test_every_run_is_pooled(imputed: OutcomeResult) -> None:
    assert [r.status for r in imputed.runs] == ["ok"] * len(imputed.runs)
    assert len(imputed.runs) == 7


def test_under_matching_weights_errors_are_those_of_cases(imputed: OutcomeResult) -> None:
    assert imputed.estimates[0].estimate.glance["vcov"] == "CR2-cases"
    assert any("takes vcov = CR2-cases" in told for told in imputed.warnings)


def test_the_mix_of_cases_is_tested_beside_the_matching(imputed: OutcomeResult) -> None:
    rows = imputed.composition.set_index("covariate")
    assert list(rows.index) == ["sex=male", "age"]
    assert (rows["p_adjusted"] >= rows["p_value"]).all()
    assert rows["reason"].eq("").all()


def test_without_imputation_categories_have_a_level_and_numbers_are_dropped(
    tmp_path: Path,
) -> None:
    cases = with_gaps()
    result = run(tmp_path, cases=cases)
    dropped = result.attrition.set_index("step")["n_dropped"]
    assert dropped["age known"] == cases["age"].isna().sum()
    assert result.main.n_cases < len(cases)
    assert "riv" not in result.estimates[0].estimate.tidy


def test_what_is_not_imputed_is_dropped_and_counted(tmp_path: Path) -> None:
    cases = with_gaps()
    only_sex = IMPUTED.replace("sets = 3", 'sets = 2\ncovariates = ["sex", "region"]')
    result = run(tmp_path, ("[[outcomes]]", only_sex), cases=cases)
    dropped = result.attrition.set_index("step")["n_dropped"]
    assert dropped["covariate age known"] == cases["age"].isna().sum()
    assert any("outcome 'tidy-value' has no region" in told for told in result.warnings)


def test_covariates_that_are_mostly_missing_are_left_out_and_named(tmp_path: Path) -> None:
    cases = with_gaps()
    changes = (('pilots = "pilots.csv"', 'pilots = "pilots.csv"\nmax_missing = 0.15'),)
    result = run(tmp_path, *changes, ("[[outcomes]]", IMPUTED), cases=cases)
    for name in ("sex", "age"):
        share = f"{cases[name].isna().mean():.0%}"
        told = f"The covariate '{name}' is left out: {share} of the cases say nothing of it"
        assert any(told in warning for warning in result.warnings)
    assert not any(step.level == "gaps" for step in result.matching)


def test_the_order_of_the_rows_changes_nothing(tmp_path: Path) -> None:
    cases = with_gaps(4)
    shuffled = cases.sample(frac=1, random_state=3)
    runs = [
        run(tmp_path / name, ("[[outcomes]]", IMPUTED), cases=frame).main
        for name, frame in (("as it is", cases), ("shuffled", shuffled))
    ]
    assert runs[0] == runs[1]


def test_a_wrong_setting_is_told(tmp_path: Path) -> None:
    with pytest.raises(SosError, match=r"\[imputation\].*sets"):
        run(tmp_path, ("[[outcomes]]", IMPUTED.replace("sets = 3", "sets = 1")))
    with pytest.raises(SosError, match="chained-equation"):
        run(tmp_path, ("[[outcomes]]", IMPUTED.replace("equations", "equation")))


# Parts ------------------------------------------------------------------------------------------


def counted(frame: pd.DataFrame) -> CountedCases:
    columns = ["step", "reason", "n_before", "n_dropped", "n_after"]
    return CountedCases(frame, pd.DataFrame(columns=columns))


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "unit": ["A", "A", "A", "B", "B", "C"],
            "period": [2010, 2012, 2014, 2010, 2014, 2010],
            "date": pd.to_datetime(["2010-05-01", "2012-05-01", "2014-05-01"] * 2),
            "follow_up_end": pd.to_datetime(["2010-06-01", "2012-06-01", "2014-06-01"] * 2),
            "value": [1.0, 2, 3, 4, 5, 6],
            "age": [1.0, np.nan, 3, 4, np.nan, 6],
            "group": ["x", "Missing", None, "y", "x", "x"],
        }
    )


def test_shares_count_gaps_and_the_level_missing(frame: pd.DataFrame) -> None:
    assert gaps.missing_shares(frame, ["age", "group"]) == {"age": 2 / 6, "group": 2 / 6}
    twice = frame.assign(_cases=[1, 1, 1, 1, 5, 1.0])
    assert gaps.missing_shares(twice, ["age"])["age"] == pytest.approx(0.6)


@pytest.mark.parametrize(("limit", "kept"), [(0.33, ()), (0.34, ("age", "group"))])
def test_the_limit_is_a_share(frame: pd.DataFrame, limit: float, kept: tuple[str, ...]) -> None:
    design = DesignTable(pilots="x.csv", max_missing=limit)
    assert gaps.left_out(frame, ["age", "group"], design)[0] == kept


def test_gaps_are_marked_or_dropped(frame: pd.DataFrame) -> None:
    done = gaps.marked(counted(frame), ["age", "group"], [])
    assert done.frame["group"].tolist() == ["x", "Missing", "y", "x"]
    assert done.steps["n_dropped"].tolist() == [2]
    done = gaps.marked(counted(frame), ["age", "group"], ["group", "age"])
    assert done.frame["group"].isna().tolist() == [False, True, True, False, False, False]
    assert not len(done.steps)


def test_chosen_covariates_with_gaps_are_imputed(frame: pd.DataFrame) -> None:
    chosen = ImputationChoice(plugin="x", covariates=("age", "value"))
    assert gaps.to_impute(frame, ["age", "group"], chosen) == ("age",)
    assert gaps.to_impute(frame, ["age", "group"], None) == ()


def test_the_task_knows_windows_and_leaves_out_strangers(frame: pd.DataFrame) -> None:
    start, end = (pd.Timestamp(f"{year}-01-01").date() for year in (2012, 2013))
    design = Design((Pilot("A", start, end, 2013),), pool=("B",))
    task, places = gaps.task_of(frame, design, ["age"], seed=1)
    assert places.tolist() == [0, 1, 2, 3, 4]
    assert task.frame["post"].tolist() == [0, 0, 1, 0, 0]
    assert task.frame["during"].tolist() == [0, 1, 0, 0, 0]
    assert task.frame["treated"].tolist() == [1, 1, 1, 0, 0]


def test_cells_cannot_be_imputed(frame: pd.DataFrame) -> None:
    design = Design((Pilot("A", None, None, 2013),), pool=("B",))
    with pytest.raises(DataError, match=r'Set \[study\] collect = "cases"'):
        gaps.task_of(frame.assign(_cases=2.0), design, ["age"], seed=1)


def drawn() -> Imputed:
    ages = pd.DataFrame({0: [7.0, 8], 1: [9.0, 10]}, index=[1, 4])
    groups = pd.DataFrame({0: ["x", "y"], 1: ["y", "y"]}, index=[1, 2])
    return Imputed({"age": ages, "group": groups}, 2)


def test_completed_data_sets_differ_in_gaps_alone(frame: pd.DataFrame) -> None:
    before = frame.copy()
    first, second = gaps.completed(drawn(), frame)
    assert first["age"].tolist() == [1.0, 7, 3, 4, 8, 6]
    assert second["group"].tolist() == ["x", "y", "y", "y", "x", "x"]
    assert second.drop(columns=["age", "group"]).equals(frame.drop(columns=["age", "group"]))
    assert frame.equals(before)


def test_what_was_drawn_travels() -> None:
    again = decode(encode(drawn()))
    for name, values in drawn().values.items():
        assert again.values[name].equals(values)


def sample(value: float) -> Sample:
    rows = {"unit": ["A", "B"], "period": 2010, "cohort": [2010, 0], "value": value, "weight": 1.0}
    return Sample(pd.DataFrame({**rows, "cluster": ["A", "B"], "treated": [1, 0], "post": [1, 0]}))


def test_a_change_is_made_in_every_completed_data_set() -> None:
    whole = first_of([sample(1.0), sample(2.0)])
    changed = whole.each(lambda one: one.where(one.frame["unit"] == "A"))
    assert [len(one.frame) for one in (changed, *changed.completed)] == [1, 1, 1]
    assert [one.frame["value"].iloc[0] for one in changed.completed] == [1.0, 2.0]
    with pytest.raises(DataError, match="several completed data sets"):
        whole.where(np.array([True, False]))
    assert whole.data_hash != sample(1.0).data_hash


def test_balance_is_the_mean_over_data_sets() -> None:
    def match(one: Sample) -> CaseMatch:
        value = float(one.frame["value"].iloc[0])
        balance = pd.DataFrame({"covariate": ["a"], "smd_after": [value]})
        return CaseMatch(one, balance, n_dropped=int(value), sentence="Weighted.", warnings=("w",))

    done = gaps.match_each(first_of([sample(1.0), sample(2.0)]), match)
    assert done.balance["smd_after"].tolist() == [1.5]
    assert done.warnings == ("w",)
    assert done.sentence == "Weighted, within each of 2 completed data sets."
    assert len(done.sample.completed) == 2
