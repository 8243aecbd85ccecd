"""Entropy balancing: closed conditions of its dual, a linear programme for its limits, and R."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matching_worlds import cases_of, random_cases
from scipy.optimize import linprog, minimize
from sos_matchers.cases.entropy import (
    POLISHED,
    EntropyBalancing,
    EntropySettings,
    balance_cases,
    balance_cases_r,
)
from sos_matchers.cases.moments import moments_of
from sos_matchers.cases.tilting import Problem, tilt

from sos_plugins import Sample
from sos_plugins.authors.testing import check_matcher
from sos_plugins.cells.compression import compress
from sos_plugins.errors import DataError, DesignError, EstimationError, SettingsError
from sos_plugins.host.settings import validate

PROMISED = 1e-8
"""Standard deviations within which moments are equal unless another tolerance is asked for."""

IN_UNITS = 1e-7
"""The same in units of the covariates, whose standard deviations are below ten."""

ENGINES = 1e-8
"""Both engines leave gaps below 1e-11 standard deviations; weights then agree to that, times the
square root of the condition of the moments."""

CONVEX = 1e-6
"""SLSQP stops when the divergence changes by less than 1e-14, which moves weights by its root."""


def overlapping(seed: int, n: int = 500, treated_mean: float = 0.3) -> Sample:
    """Cases of two groups before and after, whose pilots' cases lie within the comparators'."""
    sample = random_cases(seed, n)
    frame = sample.frame
    rng = np.random.default_rng(seed)
    shifted = rng.normal(treated_mean * frame["treated"], 1 - 0.3 * frame["treated"])
    return replace(sample, frame=frame.assign(age=shifted))


def raw_moments(frame: pd.DataFrame, powers: int) -> np.ndarray:
    """Uncentred moments by another road: powers of the raw number, and dummies."""
    columns = [frame["age"] ** p for p in range(1, powers + 1)]
    texts = pd.get_dummies(frame[["sex", "ethnicity"]]).astype(float)
    return np.column_stack([*columns, frame["disabled"].astype(float), texts])


@pytest.mark.parametrize("powers", [1, 2, 3])
def test_weighted_moments_of_every_stratum_are_those_of_pilots_cases(powers):
    sample = overlapping(3)
    match = balance_cases(sample, EntropySettings(moments=powers))
    assert match.n_dropped == 0
    for _, part in match.sample.frame.groupby(["group", "post"]):
        z, weight, own = raw_moments(part, powers), part["weight"].to_numpy(), part["treated"] == 1
        sought = np.average(z[own], axis=0, weights=weight[own])
        reached = np.average(z[~own], axis=0, weights=weight[~own])
        np.testing.assert_allclose(reached, sought, atol=PROMISED * np.ptp(z, axis=0).max())
        assert weight[~own].sum() == pytest.approx(weight[own].sum())


def test_log_weights_are_linear_in_the_moments():
    """The dual's closed condition (Hainmueller 2012, equation 8): w = q exp(a + l'z)."""
    sample = overlapping(4)
    match = balance_cases(sample, EntropySettings(moments=2))
    before = sample.frame.set_index("case")["weight"]
    frame = match.sample.frame
    for _, part in frame[frame["treated"] == 0].groupby(["group", "post"]):
        design = np.column_stack([np.ones(len(part)), raw_moments(part, 2)])
        logs = np.log(part["weight"].to_numpy() / before.loc[part["case"]].to_numpy())
        fitted = design @ np.linalg.lstsq(design, logs, rcond=None)[0]
        np.testing.assert_allclose(fitted, logs, atol=ENGINES)


def test_no_weights_with_these_moments_have_less_divergence():
    """The primal, by a constrained minimiser that knows nothing of the dual."""
    rng = np.random.default_rng(7)
    z, base = rng.normal(size=(12, 2)), rng.uniform(0.5, 2, 12)
    problem = Problem(z - [0.1, -0.1], base, np.zeros(12, dtype=int), np.ones(1))
    mine = tilt(problem, POLISHED).weights
    share = base / base.sum()
    equal = np.vstack([np.ones(12), problem.gaps.T])
    found = minimize(
        lambda w: float(np.sum(w * np.log(w / share))),
        share,
        jac=lambda w: np.log(w / share) + 1,
        constraints={"type": "eq", "fun": lambda w: equal @ w - [1, 0, 0], "jac": lambda _: equal},
        bounds=[(1e-9, 1)] * 12,
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(mine, found.x, atol=CONVEX)


def test_two_values_have_a_closed_form():
    """Of comparators' cases 2 have x = 0 and 8 x = 1; of pilots' half have: odds of 4 to 1."""
    rows = "\n".join(["330 0 1 0", "330 0 1 1", *["330 0 0 0"] * 2, *["330 0 0 1"] * 8])
    frame = balance_cases(cases_of(rows), EntropySettings()).sample.frame
    controls = frame[frame["treated"] == 0]
    np.testing.assert_allclose(controls["weight"], [0.5] * 2 + [0.125] * 8, atol=PROMISED)


def test_pooled_balance_keeps_the_shares_of_strata_and_the_means_of_all():
    sample = overlapping(5)
    frame = balance_cases(sample, EntropySettings(balance="pooled")).sample.frame
    own = frame["treated"] == 1
    z, weight = raw_moments(frame, 1), frame["weight"].to_numpy()
    sought = np.average(z[own], axis=0, weights=weight[own])
    np.testing.assert_allclose(
        np.average(z[~own], axis=0, weights=weight[~own]), sought, atol=IN_UNITS
    )
    for _, part in frame.groupby(["group", "post"]):
        side = part.groupby("treated")["weight"].sum()
        assert side[0] == pytest.approx(side[1])
    each = (
        frame[~own]
        .groupby(["group", "post"])
        .apply(lambda p: np.average(p["age"], weights=p["weight"]))
    )
    assert each.abs().max() > 0.01  # single strata are not balanced, only all together


def test_interactions_are_balanced_when_asked_for():
    sample = overlapping(6, 3000)
    gaps = []
    for asked in (False, True):
        settings = EntropySettings(interactions=asked, within=("post",))
        frame = balance_cases(sample, settings).sample.frame
        product = frame["age"] * (frame["sex"] == "male")
        own, weight = frame["treated"] == 1, frame["weight"]
        means = [np.average(product[side], weights=weight[side]) for side in (own, ~own)]
        gaps.append(abs(means[0] - means[1]))
    assert gaps[0] > 1e-4
    assert gaps[1] < IN_UNITS


def hull_says(problem: Problem) -> bool:
    """Whether weights exist, by a linear programme: zero is a mean of the rows."""
    rows = problem.gaps
    found = linprog(
        np.zeros(len(rows)),
        A_eq=np.vstack([rows.T, np.ones(len(rows))]),
        b_eq=np.append(np.zeros(rows.shape[1]), 1),
        bounds=(0, None),
    )
    return found.status == 0


def test_weights_exist_exactly_where_the_hull_of_comparators_has_the_means():
    answers = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        k = int(rng.integers(1, 4))
        gaps = rng.normal(size=(int(rng.integers(4, 12)), k)) + rng.uniform(0, 1.2, k)
        problem = Problem(gaps, np.ones(len(gaps)), np.zeros(len(gaps), dtype=int), np.ones(1))
        answers.append(tilt(problem, POLISHED).largest_gap <= POLISHED)
        assert answers[-1] == hull_says(problem)
    assert 10 < sum(answers) < 50


def test_a_level_that_no_pilots_case_has_gets_no_weight_and_is_told():
    rows = ["330 0 1 0 1", "330 0 1 1 1", *["330 0 0 0 1", "330 0 0 1 1"] * 3, "330 0 0 1 1"]
    side = ["a", "b", *["a", "b"] * 3, "c"]
    match = balance_cases(cases_of("\n".join(rows), kind=side), EntropySettings())
    assert match.n_dropped == 1
    assert "c" not in set(match.sample.frame["kind"])
    assert "1 case unlike every case of a pilot got no weight." in match.sentence


@pytest.mark.parametrize(
    ("xs", "settings", "words"),
    [
        ("5 6 | 1 2 3 4", {}, r"the mean of x among .* above every weighted mean"),
        ("0 4 | 2.1 1.9 2 1.8", {"moments": 2}, "x squared among .* above every weighted mean"),
    ],
)
def test_what_cannot_be_reached_is_named(xs, settings, words):
    own, other = (part.split() for part in xs.split("|"))
    rows = [f"330 0 1 {x}" for x in own] + [f"330 0 0 {x}" for x in other]
    with pytest.raises(EstimationError, match=f"(?i){words}"):
        balance_cases(cases_of("\n".join(rows)), EntropySettings(**settings))


def test_a_combination_out_of_reach_names_the_moment_that_is_too_much():
    """Each mean is within reach, but no comparators' case is high on both."""
    x = [1.0, 1.0, 0.9, 0.0, 1.0, 0.5, 0.1, 0.9]
    y = [1.0, 0.9, 1.0, 1.0, 0.0, 0.4, 0.9, 0.1]
    rows = "\n".join(f"330 0 {int(i < 3)} {v}" for i, v in enumerate(x))
    with pytest.raises(EstimationError, match="mean of second among pilots' cases cannot"):
        balance_cases(cases_of(rows, second=y), EntropySettings())


def test_faults_are_sentences():
    sample = overlapping(8)
    with pytest.raises(SettingsError, match="unknown covariate 'agee'"):
        balance_cases(sample, EntropySettings(covariates=("agee",)))
    flat = replace(
        sample, frame=sample.frame.assign(age=1.0, sex="x", ethnicity="y", disabled=True)
    )
    with pytest.raises(DesignError, match=r"none of the covariates .* varies"):
        balance_cases(flat, EntropySettings())
    gaps = replace(
        sample, frame=sample.frame.assign(age=sample.frame["age"].where(lambda a: a > 0))
    )
    n = int((sample.frame["age"] <= 0).sum())
    with pytest.raises(DataError, match=rf"values are missing of age \({n}\) in 500 rows"):
        balance_cases(gaps, EntropySettings())
    with pytest.raises(SettingsError, match="moments"):
        validate(EntropySettings, {"moments": 4}, where="here")


def test_the_advice_on_large_weights_names_no_setting_that_there_is_not():
    warnings = balance_cases(overlapping(3), EntropySettings(warn_weight=1.01)).warnings
    (told,) = [text for text in warnings if "times the mean of its stratum" in text]
    assert told.endswith("Consider fewer moments or covariates.")


def test_the_square_of_two_values_is_no_moment_of_its_own():
    frame = pd.DataFrame({"age": [1.0, 2, 4, 7, 8], "flag": [0, 1, 1, 0, 1]})
    names = moments_of(frame, 3, interactions=True, counts=np.ones(5)).names
    assert names == ("age", "age squared", "age cubed", "flag", "age x flag")


def test_moments_that_follow_from_others_do_not_disturb():
    """Being b or c is the sum of being b and being c."""
    sample = overlapping(12)
    kind = np.random.default_rng(1).choice(["a", "b", "c"], len(sample.frame))
    frame = sample.frame.assign(kind=kind, other=(kind != "a").astype(float))
    one = balance_cases(Sample(frame, ("age", "kind")), EntropySettings())
    two = balance_cases(Sample(frame, ("age", "kind", "other")), EntropySettings())
    np.testing.assert_allclose(two.sample.frame["weight"], one.sample.frame["weight"], rtol=ENGINES)


def test_cells_are_balanced_as_their_cases():
    sample = overlapping(9)
    frame = sample.frame.assign(value=(sample.frame["value"] > 0).astype(float), weight=1.0)
    texts = Sample(frame, ("sex", "ethnicity"), binary=True)
    cells = compress(texts)
    one = balance_cases(texts, EntropySettings()).balance
    two = EntropyBalancing.engines[0].fit(cells, EntropySettings()).balance
    pd.testing.assert_frame_equal(one, two, check_exact=False, rtol=1e-9)


def test_the_order_of_rows_changes_nothing():
    sample = overlapping(10)
    frame = sample.frame.sample(frac=1, random_state=1)
    one = balance_cases(sample, EntropySettings(moments=2)).sample.frame.set_index("case")
    two = balance_cases(replace(sample, frame=frame), EntropySettings(moments=2)).sample.frame
    weight = two.set_index("case")["weight"].loc[one.index]
    np.testing.assert_allclose(weight, one["weight"], rtol=1e-9)


@pytest.mark.r
@pytest.mark.parametrize(
    "values",
    [{}, {"moments": 3}, {"moments": 2, "balance": "pooled", "interactions": True}, {"within": ()}],
)
def test_both_engines_give_the_same_weights(values):
    sample, settings = overlapping(11, 900), EntropySettings(**values)
    one, two = balance_cases(sample, settings), balance_cases_r(sample, settings)
    np.testing.assert_allclose(two.sample.frame["weight"], one.sample.frame["weight"], rtol=ENGINES)
    assert "; R " in two.sentence


@pytest.mark.r
def test_both_engines_refuse_what_cannot_be_reached():
    rows = "\n".join(["330 0 1 5", "330 0 1 6", "330 0 0 1", "330 0 0 2", "330 0 0 3"])
    for fit in (balance_cases, balance_cases_r):
        with pytest.raises(EstimationError, match="above every weighted mean"):
            fit(cases_of(rows), EntropySettings())


@pytest.mark.r
def test_it_passes_the_kit_for_authors():
    check_matcher(EntropyBalancing())
