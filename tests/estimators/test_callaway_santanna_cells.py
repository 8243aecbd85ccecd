"""Group-time effects from cells and moments equal those from rows, to rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sos_estimators.callaway_santanna import compress as merging
from sos_estimators.callaway_santanna import engine_python
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from staggered_samples import cases, stored_sample

from sos_plugins import Estimate, Sample
from sos_plugins.cells.build import cells

ESTIMATE = 1e-10  # relative or absolute; the same sums in another order
ERROR = 1e-9  # relative; the same
NEVER = 10**12

METHODS = ("reg", "ipw", "dr")
CASES = ("cases_cont_shared", "cases_bin_shared")


def weighted(sample: Sample, seed: int = 4) -> Sample:
    """The same cases with weights that differ within every cell, some of them zero."""
    weight = np.random.default_rng(seed).uniform(0.2, 2.0, len(sample.frame))
    weight[::97] = 0
    return Sample(sample.frame.assign(weight=weight), sample.covariates)


def fit(sample: Sample, **options: Any) -> Estimate:
    return engine_python.fit(sample, CallawaySantAnnaSettings(**options))


def assert_same(estimate: Estimate, rows: Estimate) -> None:
    assert list(estimate.tidy["term"]) == list(rows.tidy["term"])
    for column, tolerance in (("estimate", ESTIMATE), ("std_error", ERROR)):
        np.testing.assert_allclose(
            estimate.tidy[column], rows.tidy[column], rtol=tolerance, atol=ESTIMATE
        )
    assert estimate.glance == rows.glance
    assert estimate.warnings == rows.warnings


def both_ways(
    sample: Sample, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> tuple[Estimate, Estimate]:
    """Fit on merged rows, and on the rows as they are."""
    monkeypatch.setattr(merging, "FROM", NEVER)
    rows = fit(sample, **options)
    monkeypatch.setattr(merging, "FROM", 0)
    chosen = CallawaySantAnnaSettings(**options)
    assert len(merging.merged(sample, chosen).frame) < len(sample.frame)
    return fit(sample, **options), rows


@pytest.mark.parametrize("weights", ["plain", "weighted"])
@pytest.mark.parametrize("covariates", [(), ("x",)])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("data", CASES)
def test_merged_cases_of_the_stored_sets_equal_rows(
    from_r: Path,
    monkeypatch: pytest.MonkeyPatch,
    data: str,
    method: str,
    covariates: tuple[str, ...],
    weights: str,
) -> None:
    frame = stored_sample(from_r, data).frame
    sample = Sample(frame.assign(x=frame["x"].astype(str)), covariates)
    if weights == "weighted":
        sample = weighted(sample)
    control = "notyettreated" if weights == "weighted" else "nevertreated"
    for aggregate in ("group-time", "event"):
        asked = {"method": method, "control": control, "aggregate": aggregate}
        assert_same(*both_ways(sample, monkeypatch, **asked))


@pytest.mark.parametrize("aggregate", ["group-time", "cohort", "calendar"])
def test_numeric_covariates_enter_outcome_regression_by_cross_products(
    monkeypatch: pytest.MonkeyPatch, aggregate: str
) -> None:
    sample = cases(n=40)
    sample = Sample(
        sample.frame.assign(age=sample.frame["age"] + np.linspace(0, 1, len(sample.frame))),
        sample.covariates,
    )
    asked = {"method": "reg", "control": "notyettreated", "aggregate": aggregate}
    assert_same(*both_ways(sample, monkeypatch, **asked))


@pytest.mark.parametrize("method", ["ipw", "dr"])
def test_numbers_of_few_values_are_merged_for_a_propensity_and_others_are_not(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    sample = cases(n=300)  # ages in whole years
    assert_same(*both_ways(sample, monkeypatch, method=method))
    many = np.random.default_rng(0).normal(size=len(sample.frame))
    apart = Sample(sample.frame.assign(age=many), sample.covariates)
    chosen = CallawaySantAnnaSettings(method=method)
    assert merging.merged(apart, chosen) is apart


def test_what_is_left_out_is_counted_in_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = weighted(cases(n=20)).frame
    first = frame.assign(cohort=frame["cohort"].replace({3: 1}))
    assert_same(*both_ways(Sample(first), monkeypatch))
    treated = Sample(frame[frame["cohort"] > 0])
    assert_same(*both_ways(treated, monkeypatch, control="notyettreated"))
    warnings = fit(treated, control="notyettreated").warnings
    assert any("cases of weight 0 are left out" in w for w in warnings)
    assert any("cases of the periods 5, 6 are left out" in w for w in warnings)


def test_bad_cases_are_refused_in_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = cases(n=20).frame
    flawed = {
        "missing": frame.assign(value=frame["value"].where(frame.index != 7)),
        "infinite": frame.assign(value=frame["value"].where(frame.index != 7, np.inf)),
        "weights": frame.assign(weight=frame["weight"].where(frame.index != 7, -1.0)),
        "authority": frame.assign(unit=frame["unit"].where(frame.index != 7)),
        "constant": frame.assign(value=0.1),
        "moves": frame.assign(cohort=frame["cohort"].where(frame.index != 7, 9)),
    }
    for bad in flawed.values():
        said = []
        for limit in (NEVER, 0):
            monkeypatch.setattr(merging, "FROM", limit)
            with pytest.raises(Exception, match=r"\.") as caught:
                fit(Sample(bad))
            said.append((caught.type, str(caught.value)))
        assert said[0] == said[1]


def test_cells_of_a_table_are_taken_where_they_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = cases(n=40)
    frame = sample.frame
    made = cells(
        frame,
        weight="weight",
        covariates=sample.covariates,
        keys=("cohort", "treated", "post"),
        cluster="cluster",
    ).sample()
    reg = CallawaySantAnnaSettings(method="reg")
    assert merging.cells_limit(made, reg) is None
    assert_same_numbers(engine_python.fit(made, reg), engine_python.fit(sample, reg))
    robust = merging.cells_limit(made, CallawaySantAnnaSettings())
    assert robust is not None
    assert "propensity" in robust
    by_case = CallawaySantAnnaSettings(method="reg", cluster="unit-of-observation")
    assert merging.cells_limit(made, by_case) is not None
    assert merging.cells_limit(sample, by_case) is None


def assert_same_numbers(estimate: Estimate, rows: Estimate) -> None:
    pd.testing.assert_frame_equal(estimate.tidy, rows.tidy, rtol=ERROR, atol=ESTIMATE)
    assert estimate.glance["n_cases"] == rows.glance["n_cases"]
