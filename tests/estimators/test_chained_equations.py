"""Multiple imputation: its contract, its models against R, and what it says of hopeless gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from r_packages import need_mice
from scipy import optimize
from sos_estimators.multiple_imputation import categories, engine_r, numbers, plugin
from sos_estimators.multiple_imputation.layout import Category, Layout, Number
from sos_estimators.multiple_imputation.predictors import Predictors, scales_of, unseen_replaced
from sos_estimators.multiple_imputation.settings import ChainedEquationsSettings

from sos_plugins import ImputationTask, Imputed
from sos_plugins.authors import testing
from sos_plugins.errors import DataError

FEW = ChainedEquationsSettings(sets=3, iterations=2)
IN_R = {"sets": 2, "iterations": 1}
AS_LEAST_SQUARES = 1e-3
"""Relative: the ridge adds 1e-5 of each sum of squares."""
AT_THE_MODE = 1e-3
"""Standard errors from the mode at which Newton's method stops, with some room."""
STANDARD_ERRORS = 4.5
"""Of a mean over draws: wrong once in a hundred thousand."""


@pytest.mark.parametrize(
    "check", testing.imputer_checks(plugin.ChainedEquations(), FEW.model_dump()), ids=str
)
def test_contract(check: testing.Check) -> None:
    check()


@pytest.mark.parametrize(
    "check",
    testing.imputer_checks(
        plugin.ChainedEquations(), IN_R, engine=plugin.ChainedEquations.engines[1]
    ),
    ids=str,
)
def test_contract_in_r(check: testing.Check) -> None:
    need_mice()
    check()


@pytest.fixture(scope="module")
def layout() -> Layout:
    return Layout.of(testing.example_imputation_task())


def predictors_of(layout: Layout, name: str) -> tuple[Predictors, np.ndarray]:
    """The model of a covariate on the cases that have no gap anywhere, and these cases."""
    others = tuple(n for n in layout.variables if n != name)
    whole = np.flatnonzero(~np.any([v.gaps for v in layout.variables.values()], axis=0))
    return Predictors(layout, layout.variables, others, scales_of(layout)), whole


def dense(predictors: Predictors, rows: np.ndarray) -> np.ndarray:
    """Every term as a column of its own: authorities, then the rest."""
    blocks = list(predictors.blocks(rows))
    columns = np.concatenate([block.columns for block in blocks])
    units = predictors.layout.unit[rows][:, None] == np.arange(predictors.layout.n_units)
    return np.hstack([units.astype(float), columns])


def test_the_line_is_least_squares(layout: Layout) -> None:
    predictors, rows = predictors_of(layout, "age")
    variable = layout.variables["age"]
    assert isinstance(variable, Number)
    X, y = dense(predictors, rows), variable.values[rows]
    line = numbers.fitted_line(predictors, rows, y)
    expected, *_ = np.linalg.lstsq(X, y, rcond=None)
    fitted = numbers.linear(predictors, rows, line.terms)
    assert fitted == pytest.approx(X @ expected, rel=AS_LEAST_SQUARES)
    inverse = np.linalg.inv(line.root @ line.root.T)
    assert inverse == pytest.approx(np.linalg.inv(X.T @ X), rel=AS_LEAST_SQUARES, abs=1e-6)


@pytest.mark.parametrize("name", ["disabled", "ethnic_group"])
def test_the_logit_is_at_the_mode_of_its_posterior(layout: Layout, name: str) -> None:
    """The posterior is written down again, densely, and its maximum sought by BFGS."""
    predictors, rows = predictors_of(layout, name)
    variable = layout.variables[name]
    assert isinstance(variable, Category)
    codes, n_levels = variable.codes[rows], len(variable.levels)
    problem = categories.Problem(predictors, rows, codes, n_levels)
    logits = categories.fitted_logits(problem, problem.start())
    X, c = dense(predictors, rows), n_levels - 1
    counts = np.bincount(codes, minlength=n_levels)
    centre = np.zeros((X.shape[1], c))
    centre[: layout.n_units] = np.log(counts[1:] / counts[0])

    def lost(flat: np.ndarray) -> float:
        terms = flat.reshape(c, -1).T
        whole = np.column_stack([np.zeros(len(X)), X @ terms])
        away = terms - centre
        likelihood = whole[np.arange(len(X)), codes] - np.logaddexp.reduce(whole, axis=1)
        return -float(likelihood.sum() + (away / 2 - np.logaddexp(0, away)).sum())

    at = logits.terms.T.ravel()
    assert problem.gradient(logits.terms)[0] == pytest.approx(-lost(at), rel=1e-10)
    slope = optimize.approx_fprime(at, lost, 1e-6)
    covariance = np.linalg.inv(logits.curvature.root @ logits.curvature.root.T)
    errors = np.sqrt(np.diag(covariance))
    assert np.abs(covariance @ slope / errors).max() < AT_THE_MODE
    numerical = optimize.approx_fprime(at, lambda b: problem.gradient(_terms(b, c))[1][0], 1e-6)
    exact = (logits.curvature.root @ logits.curvature.root.T)[0]
    assert -numerical == pytest.approx(exact, rel=0.02, abs=0.02)


def _terms(flat: np.ndarray, c: int) -> np.ndarray:
    return flat.reshape(c, -1).T


def test_donors_are_the_nearest() -> None:
    rng = np.random.default_rng(2)
    observed, wanted = rng.normal(size=200), rng.normal(size=50) * 1.5
    chosen = np.array([numbers.matched_means(observed, wanted, 3, rng) for _ in range(200)])
    for j, mean in enumerate(wanted):
        nearest = np.argsort(np.abs(observed - mean))[:3]
        assert set(chosen[:, j]) == set(nearest)


def test_fewer_cases_than_donors_are_all_donors() -> None:
    rng = np.random.default_rng(2)
    chosen = numbers.matched_means(np.array([0.0, 1.0]), np.zeros(200), 5, rng)
    assert set(chosen) == {0, 1}


def test_authorities_without_a_value_are_drawn_from_the_others() -> None:
    rng, terms = np.random.default_rng(3), np.array([1.0, 3.0, 99.0])
    drawn = np.array([unseen_replaced(terms, [0, 1], rng) for _ in range(1000)])
    assert (drawn[:, :2] == [1.0, 3.0]).all()
    assert drawn[:, 2].mean() == pytest.approx(2.0, abs=STANDARD_ERRORS / np.sqrt(1000))
    assert drawn[:, 2].std() == pytest.approx(1.0, abs=STANDARD_ERRORS / np.sqrt(2 * 1000))


@pytest.fixture(scope="module")
def both() -> Mapping[str, Imputed]:
    """The example imputed by both engines."""
    need_mice()
    task = testing.example_imputation_task(n=300)
    settings = ChainedEquationsSettings(sets=8, iterations=2)
    return {"python": plugin.fit_python(task, settings), "r": engine_r.fit(task, settings)}


@pytest.mark.parametrize("covariate", ["age", "disabled", "ethnic_group"])
def test_draws_are_like_those_of_mice(both: Mapping[str, Imputed], covariate: str) -> None:
    """Means of what is drawn, and their spread between sets, differ by chance only."""
    means = {
        engine: shares(imputed.values[covariate]).groupby(level=0).mean()
        for engine, imputed in both.items()
    }
    error = np.sqrt(sum(m.var(axis=1) / m.shape[1] for m in means.values()))
    apart = (means["python"].mean(axis=1) - means["r"].mean(axis=1)).abs()
    assert (apart < STANDARD_ERRORS * error + 1e-9).all()


def shares(values: pd.DataFrame) -> pd.DataFrame:
    """One row a gap and level (or a gap of a number), with its name as index, one column a set."""
    if pd.api.types.is_numeric_dtype(values.dtypes.iloc[0]):
        return values.set_axis(["number"] * len(values), axis=0)
    levels = sorted(set(values.to_numpy().ravel()))
    parts = [(values == level).astype(float).set_axis([level] * len(values)) for level in levels]
    return pd.concat(parts)


def test_sets_do_not_change_with_their_number() -> None:
    task = testing.example_imputation_task(n=200)
    few, more = (plugin.fit_python(task, FEW.model_copy(update={"sets": n})) for n in (2, 3))
    for name, values in few.values.items():
        assert more.values[name][[0, 1]].equals(values)


def test_one_covariate_with_gaps_needs_one_round() -> None:
    task = testing.example_imputation_task(n=200)
    frame = task.frame.assign(disabled="no", ethnic_group="White")
    one = replace(task, frame=frame, covariates=("age",))
    assert plugin.fit_python(one, FEW).chains["iteration"].max() == 1


def changed(change: Any) -> ImputationTask:
    task = testing.example_imputation_task()
    frame = task.frame.copy()
    change(frame)
    return replace(task, frame=frame)


def nothing_in_901(frame: pd.DataFrame) -> None:
    frame.loc[frame["unit"] == "901", "age"] = np.nan


def nothing_in_2007(frame: pd.DataFrame) -> None:
    frame.loc[frame["period"] == 2007, "disabled"] = None


def all_asian_disabled(frame: pd.DataFrame) -> None:
    frame.loc[(frame["ethnic_group"] == "Asian") & frame["disabled"].notna(), "disabled"] = "yes"


def parted_by_age(frame: pd.DataFrame) -> None:
    known = frame["disabled"].notna() & frame["age"].notna()
    frame["disabled"] = frame["disabled"].where(~known, np.where(frame["age"] > 8, "yes", "no"))
    frame.loc[~known & frame["disabled"].notna(), "disabled"] = None


def constant_flag(frame: pd.DataFrame) -> None:
    frame.loc[frame["disabled"].notna(), "disabled"] = "no"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (nothing_in_901, "'age' has no value in any of the {n} cases of authority 901"),
        (nothing_in_2007, "'disabled' has no value in any of the {n} cases of year 2007"),
        (all_asian_disabled, "known cases with ethnic_group = Asian have 'yes'"),
        (parted_by_age, "Perfect separation in the model of 'disabled': 'age' is at most"),
        (constant_flag, "'disabled' has the same value wherever it is known"),
    ],
)
def test_hopeless_gaps_are_told(change: Any, sentence: str) -> None:
    task = changed(change)
    frame = task.frame
    n = {nothing_in_901: (frame["unit"] == "901"), nothing_in_2007: (frame["period"] == 2007)}
    count = int(n[change].sum()) if change in n else 0
    imputed = plugin.fit_python(task, ChainedEquationsSettings(sets=2, iterations=1))
    assert any(sentence.format(n=count) in told for told in imputed.warnings), imputed.warnings
    assert all(not values.isna().to_numpy().any() for values in imputed.values.values())


def test_a_covariate_without_any_value_is_refused() -> None:
    task = changed(lambda frame: frame.__setitem__("age", np.nan))
    with pytest.raises(DataError, match="All 600 values of the covariate 'age' are missing"):
        plugin.fit_python(task, FEW)


def test_gaps_elsewhere_are_refused() -> None:
    frame = testing.example_imputation_task().frame
    with pytest.raises(DataError, match="have gaps in value; only covariates may"):
        ImputationTask(frame.assign(value=np.nan), ("age",))
