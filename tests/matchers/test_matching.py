"""Matching of authorities and of cases, and the balance it leaves."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matching_worlds import (
    LINE,
    UNIT,
    cases_of,
    chosen,
    line,
    random_cases,
    random_task,
    task,
)
from r_packages import need_matchit
from scipy.spatial.distance import cdist
from scipy.stats import ks_2samp
from sos_matchers import earlier_outcomes, propensity, units
from sos_matchers import listed_groups as given
from sos_matchers.cases import pairs as case_pairs
from sos_matchers.cases import plugins as cases
from sos_matchers.cases.pairs import PropensityCasesSettings, match_cases, match_cases_r
from sos_matchers.cases.weights import (
    InverseWeightsSettings,
    weight_cases,
    weight_cases_r,
)
from sos_matchers.earlier_outcomes import PreOutcomesSettings
from sos_matchers.features import candidates
from sos_matchers.listed_groups import GivenSettings, NeighbourSettings
from sos_matchers.nearest import STEPS, match_on_distances, match_on_scores, turns
from sos_matchers.units import PropensitySettings

from sos_plugins import Pilot, Sample, UnitTask
from sos_plugins.authors.results import balance_table, love_plot_data
from sos_plugins.authors.testing import check_matcher
from sos_plugins.cells.compression import SQUARES, compress
from sos_plugins.contract.interfaces import BALANCE_COLUMNS
from sos_plugins.errors import (
    DataError,
    DesignError,
    EstimationError,
    SettingsError,
    SosError,
)
from sos_plugins.host.settings import validate
from sos_plugins.r import client as r

ROUNDING = 1e-12
"""Sums of a few dozen numbers in double precision, in another order."""

SOLVERS = 1e-9
"""Two Newton solvers that stop at a gradient of 1e-12 (mean) and a step of 1e-12."""

GLM = 1e-7
"""R's glm stops when the deviance changes by a share of 1e-10: coefficients are good to more than
the root of that after its last, quadratically convergent step."""


# ---- nearest neighbours ------------------------------------------------------------------------

D = np.array([[1.0, 2.0, 2.0, 9.0], [1.0, 3.0, 4.0, 9.0]])


@pytest.mark.parametrize(
    ("ratio", "caliper", "replacement", "turn", "pairs"),
    [
        (1, None, True, [0, 1], [(0, 0), (1, 0)]),
        (1, None, False, [0, 1], [(0, 0), (1, 1)]),
        (1, None, False, [1, 0], [(0, 1), (1, 0)]),
        (2, None, True, [0, 1], [(0, 0), (0, 1), (1, 0), (1, 1)]),
        # Rounds: the first row takes its second control only after the second row has its first.
        (2, None, False, [0, 1], [(0, 0), (0, 2), (1, 1), (1, 3)]),
        (3, 2.0, True, [0, 1], [(0, 0), (0, 1), (0, 2), (1, 0)]),  # the caliper itself is allowed
        (2, 1.5, False, [0, 1], [(0, 0)]),
        (1, 0.5, True, [0, 1], []),
        (9, None, False, [0, 1], [(0, 0), (0, 2), (1, 1), (1, 3)]),
    ],
)
def test_greedy_matching_on_a_matrix_by_hand(ratio, caliper, replacement, turn, pairs):
    matched = match_on_distances(
        D, ratio=ratio, caliper=caliper, replacement=replacement, turn=turn
    )
    assert list(zip(matched.treated.tolist(), matched.control.tolist(), strict=True)) == pairs


def test_what_differs_by_less_than_half_a_step_is_a_tie():
    nearly = np.array([[0.3, 0.1 + 0.2 - 1e-12]])
    assert match_on_distances(
        nearly, ratio=1, caliper=None, replacement=True, turn=[0]
    ).control.tolist() == [0]


def test_turns():
    keys = np.array([2.0, 3.0, 3.0, 1.0])
    assert turns(keys, "largest").tolist() == [1, 2, 0, 3]
    assert turns(keys, "smallest").tolist() == [3, 0, 1, 2]
    assert turns(keys, "data").tolist() == [0, 1, 2, 3]


def plain_greedy(treated, control, ratio, caliper, replacement, order):
    """The same rule in the plainest words, with no index and no matrix."""
    free, pairs_of = set(range(len(control))), {i: [] for i in range(len(treated))}
    for _ in range(ratio):
        for i in order:
            options = [
                (abs(treated[i] - control[j]), j)
                for j in (range(len(control)) if replacement else free)
                if j not in pairs_of[i]
                and (caliper is None or abs(treated[i] - control[j]) <= caliper)
            ]
            if options:
                pairs_of[i].append(min(options)[1])
                free.discard(pairs_of[i][-1])
    return [(i, j) for i in pairs_of for j in pairs_of[i]]


@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("ratio", [1, 2, 5])
def test_matching_on_scores_is_the_plain_greedy_rule(ratio, replacement):
    rng = np.random.default_rng(ratio)
    for _ in range(60):
        width = int(rng.choice([3, 12, 1000]))  # few distinct scores: many ties
        treated = rng.integers(0, width, rng.integers(1, 12)).astype(float)
        control = rng.integers(0, width, rng.integers(1, 20)).astype(float)
        caliper = None if rng.random() < 0.5 else float(rng.integers(0, width))
        order = str(rng.choice(["largest", "smallest", "data"]))
        matched = match_on_scores(
            treated, control, ratio=ratio, caliper=caliper, replacement=replacement, order=order
        )
        expected = plain_greedy(
            treated, control, ratio, caliper, replacement, turns(treated, order).tolist()
        )
        assert (
            list(zip(matched.treated.tolist(), matched.control.tolist(), strict=True)) == expected
        )
        matrix = match_on_distances(
            np.abs(treated[:, None] - control) / STEPS,
            ratio=ratio,
            caliper=None if caliper is None else caliper / STEPS,
            replacement=replacement,
            turn=turns(treated, order),
        )
        assert matrix.control.tolist() == matched.control.tolist()
        assert matrix.rank.tolist() == matched.rank.tolist()


# ---- propensity scores -------------------------------------------------------------------------


def test_unpenalised_score_of_one_binary_feature_is_the_share_treated():
    x = np.repeat([0.0, 1.0], [8, 12])
    treated = np.r_[np.repeat([1, 0], [2, 6]), np.repeat([1, 0], [9, 3])]
    scores = propensity.fit_scores(x[:, None], treated, penalty="none", C=1)
    np.testing.assert_allclose(scores.probability, np.repeat([0.25, 0.75], [8, 12]), rtol=SOLVERS)


def test_ridge_scores_minimise_the_stated_objective():
    rng = np.random.default_rng(3)
    x, treated, weight = rng.normal(size=(40, 2)), np.repeat([1, 0], [10, 30]), rng.random(40)
    logit = propensity.fit_scores(x, treated, penalty="ridge", C=0.7, weights=weight).logit
    intercept_and_b = np.linalg.lstsq(np.column_stack([np.ones(40), x]), logit, rcond=None)[0]
    residual = weight * (1 / (1 + np.exp(-logit)) - treated)
    assert abs(residual.sum()) < SOLVERS  # the intercept is not penalised
    np.testing.assert_allclose(0.7 * x.T @ residual, -intercept_and_b[1:], atol=SOLVERS)


def test_redundant_columns_do_not_disturb_an_unpenalised_fit():
    rng = np.random.default_rng(4)
    x, treated = rng.normal(size=(50, 2)), np.tile([1, 0, 0, 1, 0], 10)
    more = np.column_stack([x, x[:, 0] - 2 * x[:, 1], np.ones(50)])
    one = propensity.fit_scores(x, treated, penalty="none", C=1).logit
    two = propensity.fit_scores(more, treated, penalty="none", C=1).logit
    np.testing.assert_allclose(one, two, atol=GLM)


@pytest.mark.parametrize(
    ("x", "treated", "answer"),
    [
        ([0, 1, 2, 3, 4, 5], [0, 0, 0, 1, 1, 1], True),  # complete
        ([0, 1, 2, 2, 4, 5], [0, 0, 0, 1, 1, 1], True),  # quasi-complete
        ([0, 1, 3, 2, 4, 5], [0, 0, 0, 1, 1, 1], False),
        ([0, 1, 0, 1, 0, 1], [0, 0, 0, 1, 1, 0], False),
        ([0, 0, 0, 0, 0, 1], [0, 0, 0, 1, 1, 1], True),  # a level that only the treated have
    ],
)
def test_separation_is_found_exactly(x, treated, answer):
    design = np.array(x, dtype=float)[:, None]
    assert propensity.separated(design, np.array(treated)) is answer
    if answer:
        with pytest.raises(EstimationError, match="penalty = 'ridge'"):
            propensity.fit_scores(design, np.array(treated), penalty="none", C=1)
        ridge = propensity.fit_scores(design, np.array(treated), penalty="ridge", C=1)
        assert np.isfinite(ridge.logit).all()
    else:
        propensity.fit_scores(design, np.array(treated), penalty="none", C=1)


def test_nine_pilots_and_many_features_separate_and_the_message_says_what_to_do():
    rng = np.random.default_rng(0)
    codes = [str(300 + i) for i in range(30)]
    features = {f"x_{j}": list(rng.normal(size=30)) for j in range(18)}
    world = task(features, codes, codes[:9])
    settings = PropensitySettings(penalty="none")
    with pytest.raises(EstimationError, match=r"separate the pilots' authorities.*fewer features"):
        units.match_propensity(world, settings)
    match = units.match_propensity(world, PropensitySettings())  # the default is a ridge
    assert len(match.groups) == 9


# ---- authorities: propensity score -------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "answer"),
    [
        ({}, {"P": "ab", "Q": "de"}),
        ({"ratio": 1}, {"P": "a", "Q": "d"}),
        ({"ratio": 3}, {"P": "abc", "Q": "dec"}),
        # Without replacement the third of both is c, and Q has the larger score.
        ({"ratio": 3, "replacement": False}, {"P": "abf", "Q": "dec"}),
        ({"ratio": 3, "replacement": False, "order": "smallest"}, {"P": "abc", "Q": "def"}),
        ({"ratio": 3, "replacement": False, "order": "data"}, {"P": "abc", "Q": "def"}),
        ({"caliper": 0.45 * UNIT}, {"P": "ab"}),
        ({"caliper": 0.6 * UNIT}, {"P": "ab", "Q": "d"}),
        ({"caliper": 0.35 * UNIT}, {"P": "a"}),
        ({"caliper": 0.501 * UNIT}, {"P": "ab", "Q": "d"}),
        ({"caliper": 0.499 * UNIT}, {"P": "ab"}),
        ({"penalty": "none", "caliper": 0.6 * UNIT}, {"P": "ab", "Q": "d"}),
        ({"features": ("x_place",)}, {"P": "ab", "Q": "de"}),
        ({"features": ("x_",)}, {"P": "ab", "Q": "de"}),
        ({"features": ("x_p*",)}, {"P": "ab", "Q": "de"}),
    ],
)
def test_propensity_units_by_hand(settings, answer):
    # With one feature the logit is a line, so nearness on it is nearness of the positions.
    match = units.match_propensity(line(LINE, "PQ"), PropensitySettings(**settings))
    assert chosen(match) == answer
    assert set(match.unmatched) == {"P", "Q"} - set(answer)


def test_order_of_the_largest_score_is_that_of_the_score():
    match = units.match_propensity(line(LINE, "PQ"), PropensitySettings())
    score = match.scores.set_index("unit")["score"]
    assert score["Q"] > score["P"] > score["f"]
    assert match.scores["treated"].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]


def test_raw_calipers_and_probabilities_are_those_of_the_scores():
    world = line(LINE, "PQ")
    score = units.match_propensity(world, PropensitySettings()).scores.set_index("unit")["score"]
    logit = np.log(score / (1 - score))
    for scale, values in (("logit", logit), ("probability", score)):
        gap = abs(values["Q"] - values["d"])
        for factor, inside in ((1.001, True), (0.999, False)):
            match = units.match_propensity(
                world,
                PropensitySettings(distance=scale, caliper=gap * factor, std_caliper=False),
            )
            assert ("d" in chosen(match).get("Q", "")) is inside
    one = units.match_propensity(world, PropensitySettings(distance="probability"))
    rows = one.distances.set_index(["pilot", "comparator"])["distance"]
    assert rows["P", "a"] == pytest.approx(abs(score["P"] - score["a"]), abs=ROUNDING)


def test_ties_go_to_the_lower_code():
    world = line({"P": 2.0, "d": 3.0, "c": 1.0, "b": 3.0, "a": 9.0}, "P")
    assert chosen(units.match_propensity(world, PropensitySettings())) == {"P": "bc"}
    outcomes = task(
        {"outcome_pre_2012": [2.0, 3.0, 1.0, 3.0, 9.0]}, ["P", "d", "c", "b", "a"], ["P"]
    )
    assert chosen(earlier_outcomes.match_pre_outcomes(outcomes, PreOutcomesSettings())) == {
        "P": "bc"
    }


def test_default_features_are_those_documented():
    world = task(
        {
            "outcome_pre_2012": [1, 2, 3, 5.0],
            "outcome_pre_mean": [1, 2, 4, 3.0],
            "n_cases": [10, 30, 20, 40.0],
            "age": [1, 4, 3, 2.0],
            "x_poverty": [4, 3, 2, 0.0],
        },
        list("Pabc"),
        ["P"],
    )
    assert "on outcome_pre_mean, n_cases, x_poverty, ridge" in (
        units.match_propensity(world, PropensitySettings()).sentence
    )
    assert "between outcome_pre_2012, with" in (
        earlier_outcomes.match_pre_outcomes(world, PreOutcomesSettings()).sentence
    )


# ---- authorities: earlier outcomes -------------------------------------------------------------


def test_euclidean_distance_is_in_sds_within_pilots_and_pool():
    # Residuals about the means of each side: pilots -1, 1; pool -2, 0, 2. SD = sqrt(10 / 3).
    world = task({"outcome_pre_2012": [0.0, 2.0, 4.0, 6.0, 8.0]}, list("PQabc"), ["P", "Q"])
    match = earlier_outcomes.match_pre_outcomes(world, PreOutcomesSettings(ratio=1))
    rows = match.distances.set_index("pilot")
    assert rows["comparator"].to_dict() == {"P": "a", "Q": "a"}
    assert rows["distance"]["P"] == pytest.approx(4 / np.sqrt(10 / 3), abs=ROUNDING)
    assert match.scores.empty


@pytest.mark.parametrize(
    ("settings", "answer"),
    [
        ({"ratio": 1}, {"P": "a", "Q": "a"}),
        ({"ratio": 2}, {"P": "ab", "Q": "ab"}),
        # a is 4 from P and 2 from Q: "largest" lets P go first, "smallest" lets Q.
        ({"ratio": 1, "replacement": False}, {"P": "a", "Q": "b"}),
        ({"ratio": 1, "replacement": False, "order": "smallest"}, {"P": "b", "Q": "a"}),
        ({"ratio": 1, "replacement": False, "order": "data"}, {"P": "a", "Q": "b"}),
        ({"ratio": 2, "replacement": False}, {"P": "ac", "Q": "b"}),
        ({"ratio": 2, "caliper": 2.1}, {"Q": "a"}),
        ({"ratio": 2, "caliper": 2.2}, {"P": "a", "Q": "ab"}),
    ],
)
def test_pre_outcomes_units_by_hand(settings, answer):
    world = task({"outcome_pre_2012": [0.0, 2.0, 4.0, 6.0, 8.0]}, list("PQabc"), ["P", "Q"])
    match = earlier_outcomes.match_pre_outcomes(world, PreOutcomesSettings(**settings))
    assert chosen(match) == answer


def test_mahalanobis_distance_uses_the_pooled_covariance():
    world = random_task(8, ties=False)
    chosen_features = ("outcome_pre_2011", "outcome_pre_2012", "outcome_pre_2013")
    given_ = candidates(world, chosen_features, matcher="x")
    pilots, pool = (
        world.features.loc[list(c), list(chosen_features)] for c in (given_.pilots, given_.pool)
    )
    pooled = sum(((part - part.mean()).T @ (part - part.mean())) for part in (pilots, pool))
    inverse = np.linalg.inv(pooled / (len(pilots) + len(pool) - 2))
    np.testing.assert_allclose(
        earlier_outcomes.outcome_distances(given_, "mahalanobis"),
        cdist(pilots, pool, "mahalanobis", VI=inverse),
        rtol=SOLVERS,
    )


def test_matching_on_earlier_outcomes_recovers_planted_comparators():
    rng = np.random.default_rng(11)
    levels = rng.normal(20, 5, (139, 1)) + np.cumsum(rng.normal(0, 2, (139, 6)), axis=1)
    pilots, others = levels[:9], levels[9:]
    twins = np.concatenate([pilots + rng.normal(0, 0.1, pilots.shape) for _ in range(2)])
    values = np.concatenate([pilots, others, twins])
    codes = [str(c) for c in rng.permutation(np.arange(200, 200 + len(values)))]
    columns = {f"outcome_pre_{2008 + j}": list(values[:, j]) for j in range(6)}
    world = task(columns, codes, codes[:9])
    planted = {p: {codes[139 + i], codes[148 + i]} for i, p in enumerate(codes[:9])}
    for distance in ("euclidean", "mahalanobis"):
        match = earlier_outcomes.match_pre_outcomes(world, PreOutcomesSettings(distance=distance))
        assert {g.pilot: set(g.comparators) for g in match.groups} == planted
        assert match.balance["smd_after"].abs().max() < 0.05
        assert match.balance["smd_before"].abs().max() > 0.05


# ---- authorities: results ----------------------------------------------------------------------

UNIT_SETTINGS = [
    (units.match_propensity, units.match_propensity_r, PropensitySettings, {}),
    (
        units.match_propensity,
        units.match_propensity_r,
        PropensitySettings,
        {"distance": "probability", "C": 0.3},
    ),
    (
        earlier_outcomes.match_pre_outcomes,
        earlier_outcomes.match_pre_outcomes_r,
        PreOutcomesSettings,
        {},
    ),
    (
        earlier_outcomes.match_pre_outcomes,
        earlier_outcomes.match_pre_outcomes_r,
        PreOutcomesSettings,
        {"distance": "mahalanobis"},
    ),
]


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize(("fit", "_", "kind", "values"), UNIT_SETTINGS)
def test_order_of_rows_and_new_names_change_nothing(fit, _, kind, values, ties):
    for seed in range(8):
        world = random_task(seed, ties=ties)
        settings = kind(replacement=bool(seed % 2), **values)
        shuffled = UnitTask(world.pilots[::-1], world.features.sample(frac=1, random_state=seed))
        renamed = UnitTask(
            tuple(Pilot(f"u{p.unit}", None, None, 2014) for p in world.pilots),
            world.features.rename(index=lambda code: f"u{code}"),
        )
        match = fit(world, settings)
        assert fit(shuffled, settings).distances.equals(match.distances)
        pd.testing.assert_frame_equal(fit(shuffled, settings).balance, match.balance)
        assert [g.pilot for g in match.groups] == [
            p.unit for p in world.pilots if p.unit not in match.unmatched
        ]
        assert chosen(fit(renamed, settings)) == {
            f"u{g.pilot}": "".join(f"u{c}" for c in g.comparators) for g in match.groups
        }


def test_balance_of_authorities_counts_a_comparator_once_for_each_group():
    world = line(LINE, "PQ")
    match = units.match_propensity(world, PropensitySettings(ratio=3))  # ab c and de c
    row = match.balance.set_index("covariate").loc["x_place"]
    assert row["mean_treated"] == 3.0
    assert row["mean_control_before"] == pytest.approx((1.3 + 0.6 + 3.2 + 4.5 + 5.9 - 4) / 6)
    assert row["mean_control_after"] == pytest.approx((1.3 + 0.6 + 4.5 + 5.9 + 2 * 3.2) / 6)
    assert row["smd_after"] == pytest.approx(
        (3.0 - row["mean_control_after"]) / np.sqrt(8.0)  # SD of 1 and 5
    )


def test_balance_gives_every_group_the_same_weight():
    match = given.match_given(
        line(LINE, "PQ"), GivenSettings(groups={"P": ("a",), "Q": ("d", "e")})
    )
    row = match.balance.set_index("covariate").loc["x_place"]
    assert row["mean_control_after"] == pytest.approx((1.3 + (4.5 + 5.9) / 2) / 2)


def test_the_sentence_can_be_pasted_in_a_manuscript():
    settings = PropensitySettings(caliper=0.14, replacement=False, ratio=2)
    sentence = units.match_propensity(line(LINE, "PQ"), settings).sentence
    assert sentence.startswith(
        "Each pilot was given up to 2 comparators out of 6 authorities by nearest-neighbour "
        "matching on the logit of the propensity score (logistic regression of being a pilot on "
        "x_place, ridge penalty with C = 1), without replacement, pilots in turn (largest first) "
        "and within a caliper of 0.14 SD; scikit-learn "
    )
    assert sentence.endswith(
        "1 pilot of 2 was matched to 2 different comparators. Pilot Q (Name Q) was not matched: no "
        "comparator within the caliper of 0.14 SD. Ties in distance went to the lower "
        "authority code."
    )


def test_pilots_that_run_out_of_comparators_are_unmatched_with_the_reason():
    world = line({"P": 1.0, "Q": 2.0, "R": 3.0, "a": 1.5, "b": 9.0}, "PQR")
    match = units.match_propensity(world, PropensitySettings(replacement=False, ratio=1))
    assert len(match.groups) == 2
    assert set(match.unmatched.values()) == {"no comparator was left"}


def test_a_pilot_without_features_is_unmatched_and_named():
    world = line(LINE, "PQ")
    more = UnitTask((*world.pilots, Pilot("Z", None, None, 2014, "Zed")), world.features)
    for match in (
        units.match_propensity(more, PropensitySettings()),
        earlier_outcomes.match_pre_outcomes(more, PreOutcomesSettings(features=("x_place",))),
    ):
        assert "no case before the earliest embedding window" in match.unmatched["Z"]
        assert "Pilot Z (Zed) was not matched" in match.sentence
        assert len(match.groups) == 2


def test_a_feature_that_does_not_vary_is_left_out_with_a_note():
    flat = {"x_place": list(LINE.values()), "x_flat": [0.1 + 0.2] * 8, "x_side": [1, 1, *[0] * 6]}
    match = units.match_propensity(task(flat, list(LINE), ["P", "Q"]), PropensitySettings())
    assert chosen(match) == {"P": "ab", "Q": "de"}
    assert "The features x_flat, x_side do not vary and were left out." in match.sentence


@pytest.mark.parametrize(
    ("change", "settings", "error", "words"),
    [
        ({}, {"features": ("x_plase",)}, SettingsError, r"Did you mean 'x_place'\? Known feat"),
        ({}, {"features": ("y_*",)}, SettingsError, r"unknown feature 'y_\*'"),
        ({"x_place": [np.nan, *[1.0] * 7]}, {}, DataError, "no value for the authorities P"),
        ({"x_place": [2.0] * 8}, {}, DesignError, "none of the features x_place varies"),
        ({"x_place": list("abcdefgh")}, {}, DataError, "'x_place' is not a number"),
    ],
)
def test_faults_in_features_are_sentences(change, settings, error, words):
    world = task({"x_place": list(LINE.values())} | change, list(LINE), ["P", "Q"])
    with pytest.raises(error, match=words):
        units.match_propensity(world, PropensitySettings(**settings))


@pytest.mark.parametrize(
    ("world", "error", "words"),
    [
        (line({"P": 1.0, "Q": 2.0}, "PQ"), DesignError, "no authority to choose comparators from"),
        (line(LINE, "YZ"), DesignError, "none of the pilots Y, Z has cases before"),
        (task({"x_a": [1.0, 2.0, 3.0]}, ["P", "a", "a"], ["P"]), DataError, "authorities a twice"),
        (task({"age": [1.0, 2.0]}, ["P", "a"], ["P"]), DesignError, "no feature outcome_pre_mean"),
    ],
)
def test_faults_in_the_design_are_sentences(world, error, words):
    with pytest.raises(error, match=words):
        units.match_propensity(world, PropensitySettings())


def test_pre_outcomes_without_periods_says_so():
    with pytest.raises(DesignError, match="no feature outcome_pre_<period>"):
        earlier_outcomes.match_pre_outcomes(line(LINE, "PQ"), PreOutcomesSettings())


@pytest.mark.parametrize(
    ("model", "values", "words"),
    [
        (PropensitySettings, {"ratio": 0}, "greater than or equal to 1"),
        (PropensitySettings, {"caliper": -1}, "greater than 0"),
        (PropensitySettings, {"distance": "euclidean"}, "'logit' or 'probability'"),
        (PreOutcomesSettings, {"penalty": "none"}, "unknown setting 'penalty'"),
        (InverseWeightsSettings, {"trim": 1.5}, "less than or equal to 1"),
    ],
)
def test_wrong_settings_are_sentences(model, values, words):
    with pytest.raises(SettingsError, match=words):
        validate(model, values, where="[matching]")


# ---- authorities: lists ------------------------------------------------------------------------


def test_statistical_neighbours_are_the_first_in_the_pool():
    world = line(
        LINE,
        "PQ",
        neighbours={"P": ("x", "Q", "e", "a", "b"), "Q": ("e", "y"), "a": ("b",)},
    )
    match = given.match_neighbours(world, NeighbourSettings())
    assert chosen(match) == {"P": "ea", "Q": "e"}
    assert match.distances[["distance", "rank"]].to_numpy().tolist() == [[3, 1], [4, 2], [1, 1]]
    assert "1 pilot got fewer than 2." in match.sentence
    assert match.balance["covariate"].tolist() == ["x_place"]


def test_pilots_without_neighbours_in_the_pool_are_unmatched():
    world = line(LINE, "PQ", neighbours={"P": ("x", "Q")})
    match = given.match_neighbours(world, NeighbourSettings())
    assert match.groups == ()
    assert match.unmatched == {
        "P": "none of its 2 neighbours is in the pool",
        "Q": "its statistical neighbours are not known",
    }
    with pytest.raises(DesignError, match="no source of the study knows statistical neighbours"):
        given.match_neighbours(line(LINE, "PQ"), NeighbourSettings())


def test_given_groups_inline_keep_their_order():
    groups = {"Q": ("e", "c"), "P": ("c",)}
    match = given.match_given(line(LINE, "PQ"), GivenSettings(groups=groups))
    assert chosen(match) == {"P": "c", "Q": "ec"}
    assert match.sentence == (
        "The matched groups were given by the setting 'groups'. 2 pilots of 2 were matched to 2 "
        "different comparators."
    )


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"P": ("a",), "Q": ("zz",)}, "names the authority 'zz' as a comparator of pilot Q"),
        ({"P": ("a",), "Q": ("P",)}, "but P is itself a pilot"),
        ({"P": ("a",)}, "gives no comparator for pilot Q"),
        ({"P": ("a",), "Q": ()}, "gives no comparator for pilot Q"),
        ({"P": ("a", "a"), "Q": ("b",)}, "names a more than once for pilot P"),
    ],
)
def test_faults_in_given_groups_are_sentences(groups, words):
    with pytest.raises(DesignError, match=words):
        given.match_given(line(LINE, "PQ"), GivenSettings(groups=groups))


def test_given_authorities_that_cannot_be_used_are_left_out_with_a_note():
    world = line(LINE, "PQ", left_out={"k": "no case in 2012", "m": "no case in 2012"})
    groups = {"P": ("k", "a"), "Q": ("k", "m"), "Z": ("nowhere",)}
    match = given.match_given(world, GivenSettings(groups=groups))
    assert chosen(match) == {"P": "a"}
    assert match.unmatched == {"Q": "none of the comparators given for it can be used"}
    assert "The comparator k was left out: no case in 2012." in match.sentence
    assert "The group given for Z was not used" in match.sentence


def test_given_groups_from_a_file_by_outcome(tmp_path: Path):
    file = tmp_path / "groups.csv"
    file.write_text(
        "\ufeffPilot,comparator,outcome\nP,a,icpc\nP, b ,\nP,c,kinship-care\nQ,d,icpc\nQ,e,\n",
        encoding="utf-8",
    )
    world = line(LINE, "PQ", outcome="icpc")
    match = given.match_given(world, GivenSettings(file=file))
    assert chosen(match) == {"P": "ab", "Q": "de"}
    as_host = GivenSettings(file=file).model_copy(update={"file": str(file)})
    assert chosen(given.match_given(world, as_host)) == {"P": "ab", "Q": "de"}


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (None, DataError, "does not exist"),
        ("", DataError, "cannot be read: "),
        ("pilot,unit\nP,a\n", DataError, "lacks the column comparator; expected pilot"),
        ("Groups,\nPilot,Comparator\nP,a\n", DataError, "the columns stand in line 2; expected in"),
        ("pilot,comparator\nP,a\nQ,\n", DataError, "row 3: the column comparator is empty"),
        ("pilot,comparator\nP,a\nQ,zz\n", DesignError, "the file groups.csv names the authority"),
    ],
)
def test_faults_in_a_file_of_groups_are_sentences(tmp_path: Path, text, error, words):
    file = tmp_path / "groups.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(error, match=words):
        given.match_given(line(LINE, "PQ"), GivenSettings(file=file))


def test_given_groups_come_one_way_only():
    for values in ({}, {"groups": {"P": ("a",)}, "file": Path("x.csv")}):
        with pytest.raises(SettingsError, match="either as 'groups' or as 'file'"):
            given.match_given(line(LINE, "PQ"), GivenSettings(**values))


# ---- cases: nearest neighbours -----------------------------------------------------------------

TWO_STRATA = """
p 0 1 1.0
p 0 1 1.3
p 0 1 5.0
p 0 0 1.2
p 0 0 0.5
p 0 0 4.0
p 0 0 5.6
p 1 1 2.0
p 1 0 5.1
p 1 0 1.1
"""
SMALL = 0.15 / np.sqrt(
    sum(np.var(x) * len(x) for x in ([1, 1.3, 5, 1.2, 0.5, 4, 5.6], [2, 5.1, 1.1])) / (10 - 2)
)
"""A distance of 0.15 in SDs within strata, with 10 cases less 2 strata."""


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        # By row: 1 for pilots' cases that are matched; comparators' by times matched, scaled so
        # that they add up to their number.
        ({}, [1, 1, 1, 1, 1, 0, 1, 1, 0, 1]),
        # 1.2 serves 1.0 and 1.3; 5.6 and 1.1 serve one case each: 2, 1, 1 scaled by 3 / 4.
        ({"replacement": True}, [1, 1, 1, 1.5, 0, 0, 0.75, 1, 0, 0.75]),
        # 1.2 and 0.5 serve two cases by halves, the others one by half: scaled by 6 / 4.
        (
            {"replacement": True, "ratio": 2},
            [1, 1, 1, 1.5, 1.5, 0.75, 0.75, 1, 0.75, 0.75],
        ),
        # On one line 1.0 takes 1.1, 1.3 and 2.0 take 1.2, and 5.0 takes 5.1.
        ({"replacement": True, "within": ()}, [1, 1, 1, 1.5, 0, 0, 0, 1, 0.75, 0.75]),
        ({"replacement": True, "within": ("group",)}, [1, 1, 1, 1.5, 0, 0, 0, 1, 0.75, 0.75]),
        ({"caliper": SMALL}, [0, 1, 0, 1, 0, 0, 0, 0, 0, 0]),
        ({"caliper": SMALL * 0.201 / 0.15, "replacement": True}, [1, 1, 0, 1, *[0] * 6]),
        ({"caliper": SMALL * 0.199 / 0.15, "replacement": True}, [0, 1, 0, 1, *[0] * 6]),
        ({"caliper": SMALL * 5.7}, [1, 1, 1, 1, 1, 0, 1, 0, 0, 0]),
    ],
)
def test_cases_matched_within_strata_by_hand(settings, weights):
    sample = cases_of(TWO_STRATA)
    match = match_cases(sample, PropensityCasesSettings(**settings))
    np.testing.assert_allclose(match.sample.frame["weight"], [w for w in weights if w])
    assert match.sample.frame["value"].tolist() == [i for i, w in enumerate(weights) if w]
    assert match.n_dropped == weights.count(0)
    assert match.sentence.endswith(f" {weights.count(0)} cases were left out.")
    lost = sum(w == 0 for w in np.array(weights)[[0, 1, 2, 7]])
    assert bool(match.warnings) is bool(lost)
    assert all(f"{lost} of 4 cases of pilots found no comparator" in w for w in match.warnings)


def test_weights_that_the_cases_came_with_are_kept_as_factors():
    rows = [f"{row} {2 if i % 2 else 0.5}" for i, row in enumerate(TWO_STRATA.split("\n")[1:-1])]
    match = match_cases(cases_of("\n".join(rows)), PropensityCasesSettings(replacement=True))
    given_ = np.array([0.5, 2] * 5)
    expected = np.array([1, 1, 1, 1.5, 0, 0, 0.75, 1, 0, 0.75]) * given_
    np.testing.assert_allclose(match.sample.frame["weight"], expected[expected > 0])


@pytest.mark.parametrize("values", [{}, {"replacement": True, "ratio": 3, "caliper": 0.1}])
def test_order_of_cases_changes_nothing_where_cases_can_be_told_apart(values):
    sample = random_cases(5, ties=True)
    settings = PropensityCasesSettings(**values)
    mixed = Sample(sample.frame.sample(frac=1, random_state=1), sample.covariates)
    columns = [*sample.frame.columns[::-1]]
    turned = Sample(mixed.frame[columns], sample.covariates)
    want = match_cases(sample, settings).sample.frame.set_index("case").sort_index()
    for other in (mixed, turned):
        frame = match_cases(other, settings).sample.frame.set_index("case").sort_index()
        pd.testing.assert_frame_equal(frame[want.columns], want, atol=ROUNDING, rtol=ROUNDING)


def test_the_outcome_does_not_decide_ties_and_the_seed_does():
    sample = random_cases(6, ties=True)
    other = Sample(sample.frame.assign(value=-(sample.frame["value"] ** 3)), sample.covariates)
    taken = [
        match_cases(s, PropensityCasesSettings(seed=seed)).sample.frame["case"].tolist()
        for s, seed in ((sample, 0), (other, 0), (sample, 1))
    ]
    assert taken[0] == taken[1]
    assert taken[0] != taken[2]


def test_matching_and_weighting_cases_balances_them():
    sample = random_cases(7, 3000)
    for match in (
        match_cases(sample, PropensityCasesSettings(caliper=0.2, replacement=True)),
        weight_cases(sample, InverseWeightsSettings()),
    ):
        assert list(match.balance) == list(BALANCE_COLUMNS)
        age = match.balance.set_index("covariate").loc["age"]
        assert age["smd_before"] == pytest.approx(1, abs=0.1)
        assert abs(age["smd_after"]) < 0.1
        assert "sex=female" in set(match.balance["covariate"])


def test_strata_without_comparators_are_left_out_with_a_warning():
    rows = TWO_STRATA + "q 1 1 3.0\nq 0 0 3.0\nr 0 1 1.0\nr 0 1 2.0\n"
    for match in (
        match_cases(cases_of(rows), PropensityCasesSettings()),
        weight_cases(cases_of(rows), InverseWeightsSettings()),
    ):
        assert set(match.sample.frame["group"]) == {"p"}
        assert match.warnings[:2] == (
            "1 cases of pilots have no comparators' cases in their stratum (group q, post 1) and "
            "were left out.",
            "2 cases of pilots have no comparators' cases in their stratum (group r, post 0) and "
            "were left out.",
        )


def test_without_groups_cases_are_compared_before_and_after():
    frame = cases_of(TWO_STRATA).frame.drop(columns="group")
    match = match_cases(Sample(frame, ("x",)), PropensityCasesSettings(replacement=True))
    assert "within post by nearest neighbours" in match.sentence


@pytest.mark.parametrize("fit", [match_cases, weight_cases])
@pytest.mark.parametrize(
    ("change", "values", "error", "words"),
    [
        ({"id": "a"}, {}, DesignError, "these cases are a panel"),
        ({"treated": 1}, {}, DesignError, "no stratum has cases of both"),
        ({"x": 1.0}, {}, DesignError, "none of the covariates x varies"),
        ({}, {"covariates": ("y",)}, SettingsError, "unknown covariate 'y'. Known: x."),
        ({}, {"within": ("grup",)}, SettingsError, r"strata 'grup'\. Did you mean 'group'\?"),
        ({}, {"covariates": ()}, DesignError, "no covariates to match on"),
    ],
)
def test_faults_in_cases_are_sentences(fit, change, values, error, words):
    sample = Sample(cases_of(TWO_STRATA).frame.assign(**change), ("x",))
    kind = PropensityCasesSettings if fit is match_cases else InverseWeightsSettings
    with pytest.raises(error, match=words):
        fit(sample, kind(**values))


def test_a_caliper_that_nothing_meets_and_separated_cases_are_sentences():
    with pytest.raises(DesignError, match="none of the 4 cases of pilots has a comparator's case"):
        match_cases(cases_of(TWO_STRATA), PropensityCasesSettings(caliper=1e-6))
    apart = cases_of("p 0 1 2.0\np 0 1 3.0\np 0 0 1.0\np 0 0 0.0\n")
    for models in ("pooled", "separate"):
        with pytest.raises(EstimationError, match="separate the pilots' cases"):
            match_cases(apart, PropensityCasesSettings(penalty="none", scores=models))


# ---- cases: inverse weights --------------------------------------------------------------------

CELLS = "p 0 1 0\n" * 2 + "p 0 0 0\n" * 8 + "p 0 1 1\n" * 6 + "p 0 0 1\n" * 3


def test_unpenalised_weights_of_cells_are_treated_over_controls():
    # Shares treated 2/10 and 6/9, so odds 2/8 and 6/3; 8 treated in all.
    match = weight_cases(cases_of(CELLS), InverseWeightsSettings(penalty="none"))
    weight = match.sample.frame["weight"].to_numpy()
    np.testing.assert_allclose(weight, np.repeat([1, 2 / 8, 1, 6 / 3], [2, 8, 6, 3]), rtol=GLM)
    row = match.balance.set_index("covariate").loc["x"]
    assert row["mean_control_after"] == pytest.approx(6 / 8, rel=GLM)
    assert match.n_dropped == 0
    size = 8**2 / (8 * (2 / 8) ** 2 + 3 * 2**2)  # Kish
    assert f"11 cases of comparators have an effective sample size of {size:.0f}" in match.sentence


def test_trimming_cuts_the_largest_relative_weights():
    # Relative to their mean 8 / 11 the odds are 11/32 (8 times) and 11/4 (3 times); the quantile
    # 0.75 of 11 lies half way between the 8th and the 9th.
    cut = (11 / 32 + 11 / 4) / 2
    match = weight_cases(cases_of(CELLS), InverseWeightsSettings(penalty="none", trim=0.75))
    weight = match.sample.frame["weight"].to_numpy()
    control = match.sample.frame["treated"].to_numpy() == 0
    assert weight[control].sum() == pytest.approx(8)
    assert weight[-1] / weight[2] == pytest.approx(cut / (11 / 32), rel=GLM)
    assert "Weights above their 0.75 quantile were cut." in match.sentence


def test_controls_of_every_stratum_weigh_as_much_as_its_treated():
    sample = random_cases(9)
    for values, models in product(({}, {"trim": 0.9}, {"penalty": "none"}), ("pooled", "separate")):
        match = weight_cases(sample, InverseWeightsSettings(scores=models, **values))
        sums = match.sample.frame.groupby(["group", "post", "treated"])["weight"].sum().unstack()
        np.testing.assert_allclose(sums[0], sums[1], rtol=ROUNDING)
        treated = sample.frame["treated"] == 1
        assert match.sample.frame.loc[treated, "weight"].equals(sample.frame.loc[treated, "weight"])


@pytest.mark.parametrize("values", [{}, {"trim": 0.8}, {"penalty": "none"}], ids=str)
def test_cells_are_weighted_as_their_cases(values):
    cases_ = random_cases(9, 2_000)
    cases_ = Sample(cases_.frame.drop(columns="age"), ("sex", "ethnicity", "disabled"))
    settings = InverseWeightsSettings(**values)
    fewer = compress(cases_)
    assert len(fewer.frame) < 200
    of_cases, of_cells = weight_cases(cases_, settings), weight_cases(fewer, settings)
    keys = ["unit", "group", "treated", "post", *cases_.covariates]
    for column in ("weight", SQUARES):
        plain = of_cases.sample.frame.assign(**{SQUARES: lambda f: f["weight"] ** 2})
        sums = (
            plain.groupby(keys)[column].sum(),
            of_cells.sample.frame.groupby(keys)[column].sum(),
        )
        pd.testing.assert_series_equal(*sums, rtol=GLM)
    pd.testing.assert_frame_equal(of_cells.balance, of_cases.balance, rtol=GLM)
    assert of_cells.sentence == of_cases.sentence
    assert of_cells.n_dropped == of_cases.n_dropped


def test_cells_are_not_matched_on_numbers():
    with pytest.raises(DesignError, match="cannot be matched on the numeric covariates age"):
        weight_cases(compress(random_cases(9)), InverseWeightsSettings())


def test_extreme_weights_and_little_overlap_are_warned_of():
    rng = np.random.default_rng(2)
    x = np.r_[rng.normal(2.5, 1, 200), rng.normal(0, 1, 200)]
    rows = "\n".join(f"p 0 {int(i < 200)} {v:.6f}" for i, v in enumerate(x))
    warned = weight_cases(cases_of(rows), InverseWeightsSettings()).warnings
    assert any("times the mean of its stratum" in w for w in warned)
    assert any("overlap little" in w for w in warned)
    calm = InverseWeightsSettings(warn_weight=1e9, warn_effective=0, warn_outside=1)
    assert weight_cases(cases_of(rows), calm).warnings == ()


# ---- balance -----------------------------------------------------------------------------------


def test_balance_by_hand():
    covariates = pd.DataFrame(
        {"age": [1.0, 3, 5, 2, 4, 9], "sex": list("mffmmf"), "new": [1, 0, 1, 0, 0, 1]}
    )
    table = balance_table(
        covariates, np.array([1, 1, 1, 0, 0, 0]), weight_after=np.array([1, 1, 0, 1, 2, 0])
    ).set_index("covariate")
    age = table.loc["age"]
    assert age[["mean_treated", "mean_treated_after"]].tolist() == [3, 2]
    assert age["mean_control_before"] == 5
    assert age["mean_control_after"] == pytest.approx(10 / 3)
    assert age["smd_before"] == pytest.approx((3 - 5) / 2)  # SD of 1, 3, 5
    assert age["smd_after"] == pytest.approx((2 - 10 / 3) / 2)
    assert age["variance_ratio_before"] == pytest.approx(4 / 13)
    # Weights 1/3 and 2/3 on 2 and 4: variance (8 / 9) / (1 - 5 / 9) = 2; treated 1 and 3: 2.
    assert age["variance_ratio_after"] == pytest.approx(1)
    sex = table.loc["sex=f"]
    assert sex["smd_before"] == pytest.approx((2 / 3 - 1 / 3) / np.sqrt(2 / 9))
    assert np.isnan(sex["variance_ratio_before"])
    assert table.index.tolist() == ["age", "sex=f", "sex=m", "new"]


def test_one_pilot_has_no_sd_so_the_pooled_one_serves():
    table = balance_table(
        pd.DataFrame({"age": [5.0, 1, 2, 3], "flat": [1.0] * 4, "apart": [2.0, 7, 7, 7]}),
        np.array([1, 0, 0, 0]),
        weight_after=np.ones(4),
    ).set_index("covariate")
    assert table.loc["age", "smd_before"] == pytest.approx(3 / np.sqrt(2 / 3))  # 2 / (4 - 1)
    assert table.loc["flat", "smd_before"] == 0
    assert np.isnan(table.loc["apart", "smd_before"])  # different, but nothing to scale by
    assert np.isnan(table.loc["age", "variance_ratio_before"])


def test_distances_of_distributions_by_hand():
    """Ages 0 1 | 0 0 3 3: below 1 lie 1/2 of both, below 3 all | 1/2; four bins of 0.75 each."""
    frame = pd.DataFrame({"age": [0.0, 1, 0, 0, 3, 3], "sex": [1, 0, 0, 0, 0, 1]})
    treated = np.array([1, 1, 0, 0, 0, 0])
    weight = np.array([1.0, 1, 1, 1, 2, 0])
    table = balance_table(frame, treated, weight_after=weight).set_index("covariate")
    age, sex = table.loc["age"], table.loc["sex"]
    assert age["ks_before"] == pytest.approx(1 / 2)
    assert age["ks_after"] == pytest.approx(1 / 2)
    # Shares by bin: 1/2 1/2 0 0 of the treated, 1/2 0 0 1/2 of controls.
    assert age["l1_before"] == pytest.approx(1 / 2)
    assert age["l1_after"] == pytest.approx(1 / 2)
    assert sex["ks_before"] == sex["l1_before"] == pytest.approx(1 / 4)
    assert sex["ks_after"] == sex["l1_after"] == pytest.approx(1 / 2)


def test_ks_is_that_of_scipy_and_l1_runs_from_nothing_to_all_in_common():
    rng = np.random.default_rng(3)
    for n in (5, 60):
        x, treated = rng.integers(0, 8, n).astype(float), np.arange(n) % 3 == 0
        table = balance_table(
            pd.DataFrame({"x": x, "same": 2.0 + np.arange(n) // 3, "other": treated * 9.0 + 1}),
            treated.astype(int),
            weight_after=np.ones(n),
        ).set_index("covariate")
        assert table.loc["x", "ks_before"] == pytest.approx(ks_2samp(x[treated], x[~treated])[0])
        assert table.loc["other", ["l1_before", "ks_before"]].tolist() == pytest.approx([1, 1])
    nobody = balance_table(pd.DataFrame({"x": x}), treated.astype(int), weight_after=np.zeros(n))
    assert nobody[["ks_after", "l1_after"]].isna().to_numpy().all()


def test_love_plot_data_has_the_largest_difference_first():
    balance = pd.DataFrame(
        {"covariate": list("dcab"), "smd_before": [np.nan, 0.1, -0.5, 0.5], "smd_after": [0.0] * 4}
    )
    data = love_plot_data(balance)
    assert data["covariate"].tolist() == ["a", "b", "c", "d"]
    assert list(data) == ["covariate", "smd_before", "smd_after"]


# ---- the same in R -----------------------------------------------------------------------------

PLAIN_R = """
# matchit() as one would type it, on many small data sets (column `set`) at once.
plain <- function(data, ratio, caliper, replace, m_order, as_matrix) {
  suppressMessages(library(MatchIt))
  out <- list(set = integer(), treated = integer(), control = integer())
  weight <- numeric(nrow(data))
  for (rows in split(seq_len(nrow(data)), data$set)) {
    d <- data[rows, ]
    rownames(d) <- seq_len(nrow(d))
    distance <- d$score
    if (as_matrix) distance <- abs(outer(d$score, d$score, "-"))
    fit <- tryCatch(suppressWarnings(matchit(
      treated ~ 1, data = d, distance = distance, ratio = ratio, replace = replace,
      m.order = m_order, std.caliper = !as_matrix,
      caliper = if (as_matrix && !is.null(caliper)) caliper * sd(d$score) else caliper
    )), error = function(e) {
      if (grepl("were matched", conditionMessage(e))) NULL else stop(e)
    })
    if (is.null(fit)) next
    m <- fit$match.matrix
    keep <- !is.na(m)
    out$set <- c(out$set, rep(d$set[1], sum(keep)))
    out$treated <- c(out$treated, as.integer(rownames(m)[row(m)[keep]]))
    out$control <- c(out$control, as.integer(m[keep]))
    weight[rows] <- fit$weights
  }
  c(out, list(weight = weight))
}

balance <- function(data) {
  suppressMessages(library(MatchIt))
  fit <- matchit(treated ~ age + sex + new, data = data, distance = data$score, replace = TRUE,
                 ratio = 1, s.weights = data$weight)
  s <- summary(fit)
  shown <- c("Means Treated", "Means Control", "Std. Mean Diff.", "Var. Ratio", "eCDF Max")
  list(before = s$sum.all[, shown], after = s$sum.matched[, shown], names = rownames(s$sum.all),
       weight = unname(fit$weights))
}

distances <- function(data) {
  suppressMessages(library(MatchIt))
  f <- treated ~ x0 + x1 + x2
  list(euclidean = scaled_euclidean_dist(f, data), mahalanobis = mahalanobis_dist(f, data))
}
"""


@pytest.fixture(scope="module")
def plain_r(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("r") / "plain.R"
    file.write_text(PLAIN_R)
    return file


def random_sets(seed: int, n_sets: int) -> pd.DataFrame:
    """Many small data sets without ties.

    Scores are whole numbers, because MatchIt 4.5.1 to 4.5.3 cut the decimals off differences of
    scores on some systems (mended in 4.5.4: "calipers would not work properly on some systems").
    """
    rng = np.random.default_rng(seed)
    parts = []
    for number in range(n_sets):
        n = int(rng.integers(8, 30))
        treated = np.zeros(n, dtype=int)
        treated[rng.choice(n, int(rng.integers(2, 6)), replace=False)] = 1
        score = rng.choice(10**6, n, replace=False) - 5e5
        parts.append(pd.DataFrame({"set": number, "treated": treated, "score": score}))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.r
@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize(
    ("ratio", "caliper", "order", "as_matrix"),
    [
        (1, None, "largest", False),
        (1, None, "smallest", False),
        (1, 0.25, "data", False),
        (1, 0.1, "largest", False),
        # With ratio > 1 MatchIt 4.5.1 errs on a vector of scores; see docs/matching.md.
        (2, None, "data", True),
        (3, 0.5, "data", True),
    ],
)
def test_python_agrees_with_matchit_as_one_would_call_it(
    plain_r, ratio, caliper, order, as_matrix, replacement
):
    need_matchit()
    sets = random_sets(100 * ratio + replacement, 60)
    columns = {c: sets[c].to_numpy() for c in sets}
    arguments = {
        "ratio": ratio,
        "caliper": caliper,
        "replace": replacement,
        "m_order": order,
        "as_matrix": as_matrix,
    }
    answer = r.call(plain_r, "plain", columns, arguments)
    chosen = {n: set() for n in range(60)}
    for n, i, j in zip(answer["set"], answer["treated"], answer["control"], strict=True):
        chosen[int(n)].add((int(i) - 1, int(j) - 1))
    some = 0
    for number, part in sets.groupby("set"):
        score, rows = part["score"].to_numpy(), np.arange(len(part))
        treated, control = (rows[part["treated"] == side] for side in (1, 0))
        limit = None if caliper is None else caliper * np.std(score, ddof=1)
        pairs = match_on_distances(
            np.abs(score[treated][:, None] - score[control]),
            ratio=ratio,
            caliper=limit,
            replacement=replacement,
            turn=turns(score[treated], order),
        )
        mine = set(zip(treated[pairs.treated], control[pairs.control], strict=True))
        assert mine == chosen[number]
        weight = np.zeros(len(part))
        if mine:
            whole = type(pairs)(treated[pairs.treated], control[pairs.control], pairs.rank)
            weight = case_pairs.pair_weights(whole, len(part))
        np.testing.assert_allclose(weight, answer["weight"][part.index], atol=ROUNDING)
        some += len(mine)
    assert some > 60


@pytest.mark.r
@pytest.mark.parametrize(("fit", "fit_r", "kind", "values"), UNIT_SETTINGS)
@pytest.mark.parametrize("ties", [True, False])
def test_both_engines_choose_the_same_authorities(fit, fit_r, kind, values, ties):
    need_matchit()
    rng = np.random.default_rng(ties)
    orders = ["largest", "smallest", "data"]
    compared = 0
    for seed in range(10):
        world = random_task(seed, ties=ties)
        settings = kind(
            ratio=int(rng.integers(1, 4)),
            caliper=None if rng.random() < 0.5 else float(rng.choice([0.2, 0.5, 1.0])),
            replacement=bool(rng.random() < 0.5),
            order=str(rng.choice(orders)),
            **values,
        )
        try:
            one = fit(world, settings)
        except SosError as error:
            with pytest.raises(type(error)):
                fit_r(world, settings)
            continue
        two = fit_r(world, settings)
        assert two.groups == one.groups
        assert dict(two.unmatched) == dict(one.unmatched)
        pd.testing.assert_frame_equal(two.distances, one.distances, atol=SOLVERS, check_dtype=False)
        pd.testing.assert_frame_equal(two.scores, one.scores, atol=SOLVERS)
        pd.testing.assert_frame_equal(two.balance, one.balance)
        assert two.sentence.replace("MatchIt", "").split("; ")[0] == one.sentence.split("; ")[0]
        compared += len(one.groups)
    assert compared > 10


@pytest.mark.r
def test_both_engines_agree_on_maximum_likelihood_scores():
    need_matchit()
    compared = 0
    for seed in range(20):
        world = random_task(seed, ties=False)
        settings = PropensitySettings(features=("outcome_pre_2011", "x_*"), penalty="none")
        try:
            one = units.match_propensity(world, settings)
        except EstimationError:
            with pytest.raises(EstimationError, match="separate"):
                units.match_propensity_r(world, settings)
            continue
        two = units.match_propensity_r(world, settings)
        np.testing.assert_allclose(two.scores["score"], one.scores["score"], atol=GLM)
        assert two.groups == one.groups
        compared += 1
    assert compared > 5


@pytest.mark.r
def test_distances_are_those_of_matchit(plain_r):
    need_matchit()
    for seed in (3, 4, 8):
        world = random_task(seed, ties=False)
        names = ("outcome_pre_2011", "outcome_pre_2012", "outcome_pre_2013")
        given_ = candidates(world, names, matcher="x")
        columns = {"treated": given_.treated} | {f"x{j}": given_.values[:, j] for j in range(3)}
        answer = r.call(plain_r, "distances", columns)
        for kind in ("euclidean", "mahalanobis"):
            mine = earlier_outcomes.outcome_distances(given_, kind)
            np.testing.assert_allclose(mine, answer[kind].reshape(mine.shape), rtol=SOLVERS)


@pytest.mark.r
@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"ratio": 2, "order": "smallest", "C": 0.2},
        {"ratio": 2, "replacement": True, "caliper": 0.05},
        {"ratio": 3, "caliper": 0.1, "distance": "probability", "scores": "separate"},
        {"within": (), "caliper": 0.02, "std_caliper": False, "order": "data"},
        {"within": ("post",), "covariates": ("sex", "disabled"), "ratio": 2},
    ],
)
def test_both_engines_match_the_same_cases(values, ties):
    need_matchit()
    for seed in range(3):
        sample = random_cases(seed, 250, ties=ties)
        settings = PropensityCasesSettings(**values)
        one, two = match_cases(sample, settings), match_cases_r(sample, settings)
        pd.testing.assert_frame_equal(two.sample.frame, one.sample.frame)
        assert one.warnings == two.warnings
        assert "MatchIt" in two.sentence


@pytest.mark.r
@pytest.mark.parametrize("scores", ["pooled", "separate"])
@pytest.mark.parametrize("values", [{}, {"penalty": "none"}, {"trim": 0.9, "C": 0.1}])
def test_both_engines_weight_cases_alike(values, scores):
    sample = random_cases(12)
    settings = InverseWeightsSettings(scores=scores, **values)
    one, two = weight_cases(sample, settings), weight_cases_r(sample, settings)
    np.testing.assert_allclose(two.sample.frame["weight"], one.sample.frame["weight"], rtol=GLM)
    assert "; R " in two.sentence


@pytest.mark.r
def test_engines_of_r_match_nobody_as_python_does():
    need_matchit()
    for fit in (units.match_propensity, units.match_propensity_r):
        match = fit(line(LINE, "PQ"), PropensitySettings(caliper=1e-6))
        assert match.groups == ()
        assert match.distances.empty
        assert set(match.unmatched) == {"P", "Q"}
    with pytest.raises(DesignError, match="within the caliper"):
        match_cases_r(cases_of(TWO_STRATA), PropensityCasesSettings(caliper=1e-6))


@pytest.mark.r
def test_balance_is_that_of_matchit_summary(plain_r):
    need_matchit()
    rng = np.random.default_rng(1)
    n = 60
    frame = pd.DataFrame(
        {
            "treated": np.repeat([1, 0], [20, 40]),
            "weight": rng.uniform(0.5, 2, n),
            "score": rng.normal(size=n),
            "age": rng.normal(size=n),
            "sex": rng.choice(["f", "m", "x"], n),
            "new": rng.integers(0, 2, n),
        }
    )
    columns = {c: frame[c].to_numpy() for c in frame if c != "sex"}
    answer = r.call(plain_r, "balance", {**columns, "sex": pd.Categorical(frame["sex"])})
    mine = balance_table(
        frame[["age", "sex", "new"]],
        frame["treated"].to_numpy(),
        weight_before=frame["weight"].to_numpy(),
        weight_after=answer["weight"] * frame["weight"].to_numpy(),
    )
    mine.index = mine["covariate"].str.replace("=", "")
    theirs = {
        time: pd.DataFrame(answer[time], index=answer["names"]) for time in ("before", "after")
    }
    means = {"before": "mean_treated", "after": "mean_treated_after"}
    for time in ("before", "after"):
        names = [
            means[time],
            f"mean_control_{time}",
            f"smd_{time}",
            f"variance_ratio_{time}",
            f"ks_{time}",
        ]
        for j, name in enumerate(names):
            np.testing.assert_allclose(
                mine[name], theirs[time].loc[mine.index, j], rtol=1e-10, err_msg=name
            )


@pytest.mark.r
def test_where_matchit_on_a_vector_of_scores_breaks_ties_otherwise(plain_r):
    if need_matchit() != "4.5.1":
        pytest.skip("docs/matching.md tells of MatchIt 4.5.1")

    def plain(treated, score, **more):
        columns = {"set": np.zeros(len(score), int), "treated": np.array(treated)}
        columns["score"] = np.array(score, dtype=float)
        arguments = {"ratio": 1, "caliper": None, "replace": True, "m_order": "data", **more}
        answer = r.call(plain_r, "plain", columns, {**arguments, "as_matrix": False})
        return np.asarray(answer["control"]).tolist()

    # The lower score wins though it comes later; of equal lower scores the last row wins.
    assert plain([1, 0, 0], [2, 3, 1]) == [3]
    assert plain([1, 0, 0], [2, 1, 1]) == [3]
    assert plain([1, 0, 0], [2, 3, 3]) == [2]
    # With ratio 2 the row after a control already taken is skipped, or a control is taken twice.
    assert plain([1, 0, 0, 0], [0, 1, 2, 4], ratio=2) != [2, 3]
    # The engine is not led astray by any of this: it sends a matrix.
    world = line({"P": 0.0, "a": 0.1, "b": -0.2, "c": 0.3}, "P")
    for ratio, answer in ((1, "a"), (2, "ab"), (3, "abc")):
        match = units.match_propensity_r(world, PropensitySettings(ratio=ratio))
        assert chosen(match) == {"P": answer}


# ---- plugins -----------------------------------------------------------------------------------


def test_the_matchers_register_with_their_engines():
    registered = SimpleNamespace(matchers=[])
    units.register_matchers(registered.matchers.append)
    cases.register_matchers(registered.matchers.append)
    table = {m.name: (m.level, [e.name for e in m.engines]) for m in registered.matchers}
    assert table == {
        "propensity-units": ("units", ["python", "r-matchit"]),
        "pre-outcomes-units": ("units", ["python", "r-matchit"]),
        "mixed-units": ("units", ["python", "r-matchit"]),
        "statistical-neighbours": ("units", ["python"]),
        "given-groups": ("units", ["python"]),
        "whole-pool": ("units", ["python"]),
        "coarsened-exact": ("cases", ["python", "r-matchit"]),
        "propensity-cases": ("cases", ["python", "r-matchit"]),
        "inverse-weights": ("cases", ["python", "r"]),
        "entropy-balancing": ("cases", ["python", "r"]),
        "overlap-weights": ("cases", ["python", "r"]),
    }


@pytest.mark.parametrize(
    "matcher",
    [
        units.PropensityUnits(),
        earlier_outcomes.PreOutcomesUnits(),
        given.StatisticalNeighbours(),
        cases.PropensityCases(),
        cases.InverseWeights(),
    ],
    ids=lambda matcher: matcher.name,
)
@pytest.mark.r
def test_the_matchers_pass_the_kit_for_authors(matcher):
    check_matcher(matcher)


def test_given_groups_pass_the_kit_for_authors():
    groups = {f"P{n}": [f"Q0{n}", "Q16"] for n in range(1, 5)}
    check_matcher(given.GivenGroups(), {"groups": groups})


def test_matchit_declines_strata_that_make_too_large_a_matrix(monkeypatch):
    sample, settings = random_cases(1), PropensityCasesSettings()
    assert case_pairs.matchit_limits(sample, settings) is None
    monkeypatch.setattr(case_pairs, "MOST_PAIRS", 100)
    assert "but a matrix of distances may have 100" in case_pairs.matchit_limits(sample, settings)
    panel = Sample(sample.frame.assign(id=1), sample.covariates)
    assert case_pairs.matchit_limits(panel, settings) is None


@pytest.mark.slow
def test_a_hundred_thousand_cases_are_matched_in_seconds():
    sample = random_cases(3, 100_000)
    for values in ({"within": ()}, {"ratio": 3, "replacement": True}):
        match = match_cases(sample, PropensityCasesSettings(**values))
        assert abs(match.balance.set_index("covariate").loc["age", "smd_after"]) < 0.6
    kept = weight_cases(sample, InverseWeightsSettings()).sample.frame
    assert len(kept) == 100_000
    assert kept["weight"].sum() ** 2 / (kept["weight"] ** 2).sum() > 10_000
