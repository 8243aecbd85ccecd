"""The data of LaLonde (1986) that ship with MatchIt: its published examples, and MatchIt itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from r_packages import need_matchit
from sos_matchers.cases.data import tie_order
from sos_matchers.cases.entropy import EntropySettings, balance_cases
from sos_matchers.cases.pairs import PropensityCasesSettings, match_cases
from sos_matchers.earlier_outcomes import PreOutcomesSettings, match_pre_outcomes
from sos_matchers.units import PropensitySettings, match_propensity

from sos_plugins import Pilot, Sample, UnitTask
from sos_plugins.authors.results import balance_table
from sos_plugins.r import client as r

COVARIATES = ("age", "educ", "race", "married", "nodegree", "re74", "re75")
NUMBERS = ("age", "educ", "re74", "re75")
PRINTED = 0.5e-4
"""Half of the last of four decimals that are printed."""

ROUNDING = 1e-12
"""Sums of a few hundred numbers in double precision, in another order."""

PUBLISHED = pd.DataFrame(
    [
        ("age", -0.3094, 0.4400, 0.1577),
        ("educ", 0.0550, 0.4959, 0.1114),
        ("race=black", 1.7615, np.nan, 0.6404),
        ("race=hispan", -0.3498, np.nan, 0.0827),
        ("race=white", -1.8819, np.nan, 0.5577),
        ("married", -0.8263, np.nan, 0.3236),
        ("nodegree", 0.2450, np.nan, 0.1114),
        ("re74", -0.7211, 0.5181, 0.4470),
        ("re75", -0.2903, 0.9563, 0.2876),
    ],
    columns=["covariate", "smd_before", "variance_ratio_before", "ks_before"],
).set_index("covariate")
"""Balance before matching, as the vignette "MatchIt: Getting Started" of MatchIt 4 prints it."""

MATCHIT = """
lalonde <- function(data) {
  e <- new.env()
  data("lalonde", package = "MatchIt", envir = e)
  d <- e$lalonde
  d$race <- as.integer(factor(d$race)) - 1L
  as.list(d)
}

# matchit() on a matrix of distances, treated by controls, as one would type it.
on_matrix <- function(data, kind, ratio, caliper) {
  suppressMessages(library(MatchIt))
  if (kind == "mahalanobis") {
    d <- mahalanobis_dist(treat ~ age + educ + re74 + re75, data = data)
  } else {
    p <- glm(treat ~ . - treat, data = data, family = binomial, epsilon = 1e-12)
    d <- abs(outer(p$linear.predictors[data$treat == 1], p$linear.predictors[data$treat == 0], "-"))
  }
  d <- round(d * 1e8)
  fit <- matchit(treat ~ 1, data = data, distance = d, ratio = ratio, m.order = "data",
                 caliper = if (is.null(caliper)) NULL else caliper * 1e8, std.caliper = FALSE)
  m <- fit$match.matrix
  keep <- !is.na(m)
  list(treated = as.integer(rownames(m)[row(m)[keep]]), control = as.integer(m[keep]),
       weight = unname(fit$weights))
}
"""

pytestmark = pytest.mark.r


@pytest.fixture(scope="module")
def script(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("r") / "lalonde.R"
    file.write_text(MATCHIT)
    return file


@pytest.fixture(scope="module")
def lalonde(script) -> pd.DataFrame:
    need_matchit()
    answer = r.call(script, "lalonde", {})
    frame = pd.DataFrame({name: answer[name] for name in ("treat", *COVARIATES, "re78")})
    names = np.array(["black", "hispan", "white"])
    return frame.assign(race=names[frame["race"].astype(int)], treat=frame["treat"].astype(int))


@pytest.fixture(scope="module")
def sample(lalonde) -> Sample:
    frame = lalonde[list(COVARIATES)].assign(
        unit=np.where(lalonde["treat"] == 1, "NSW", "PSID"),
        period=1975,
        cohort=1976 * lalonde["treat"],
        value=lalonde["re78"],
        weight=1.0,
        treated=lalonde["treat"],
        post=0,
        person=np.arange(len(lalonde)),
    )
    return Sample(frame.assign(cluster=frame["unit"]), COVARIATES)


def columns(lalonde: pd.DataFrame) -> dict[str, object]:
    numbers = {c: lalonde[c].to_numpy(float) for c in lalonde if c not in ("race", "treat")}
    return {
        "treat": lalonde["treat"].to_numpy(),
        "race": pd.Categorical(lalonde["race"]),
        **{c: numbers[c] for c in COVARIATES if c != "race"},
    }


def test_balance_before_matching_is_the_published_one(lalonde):
    table = balance_table(
        lalonde[list(COVARIATES)], lalonde["treat"].to_numpy(), weight_after=np.ones(614)
    ).set_index("covariate")
    for name in PUBLISHED:
        np.testing.assert_allclose(
            table.loc[PUBLISHED.index, name], PUBLISHED[name], atol=PRINTED, err_msg=name
        )


@pytest.mark.parametrize(("ratio", "caliper"), [(1, None), (2, None), (1, 0.05)])
def test_the_same_people_are_matched_on_the_propensity_score(script, lalonde, ratio, caliper):
    """Authorities stand for people here: both sides in the order of their rows."""
    people = authorities(lalonde)
    settings = PropensitySettings(
        features=tuple(people.features.columns),
        penalty="none",
        ratio=ratio,
        caliper=caliper,
        std_caliper=False,
        replacement=False,
        order="data",
    )
    mine = pairs_of(match_propensity(people, settings))
    arguments = {"kind": "score", "ratio": ratio, "caliper": caliper}
    answer = r.call(script, "on_matrix", columns(lalonde), arguments)
    assert mine == their_pairs(answer)
    assert len(mine) > 90


@pytest.mark.parametrize("ratio", [1, 2])
def test_the_same_people_are_matched_on_mahalanobis_distance(script, lalonde, ratio):
    people = authorities(lalonde)
    settings = PreOutcomesSettings(
        features=NUMBERS, distance="mahalanobis", ratio=ratio, replacement=False, order="data"
    )
    mine = pairs_of(match_pre_outcomes(people, settings))
    arguments = {"kind": "mahalanobis", "ratio": ratio, "caliper": None}
    answer = r.call(script, "on_matrix", columns(lalonde), arguments)
    assert mine == their_pairs(answer)
    assert len(mine) == 185 * ratio


def test_optimal_pairing_has_a_smaller_sum_of_distances_than_matchits_greedy_one(lalonde):
    people = authorities(lalonde)
    shared = {"features": NUMBERS, "distance": "mahalanobis", "ratio": 1, "replacement": False}
    greedy = match_pre_outcomes(people, PreOutcomesSettings(**shared)).distances["distance"]
    optimal = match_pre_outcomes(people, PreOutcomesSettings(method="optimal", **shared))
    assert optimal.distances["distance"].sum() < 0.95 * greedy.sum()
    assert optimal.distances["comparator"].is_unique


def test_cases_are_weighted_as_matchit_weights_them(script, lalonde, sample):
    """With a caliper some get two and some one; who comes first in the order of ties does in R."""
    settings = PropensityCasesSettings(
        penalty="none", within=(), ratio=2, order="data", caliper=0.05, std_caliper=False
    )
    weight = match_cases(sample, settings).sample.frame.set_index("person")["weight"]
    order = tie_order(sample.frame, settings.seed)
    arguments = {"kind": "score", "ratio": 2, "caliper": 0.05}
    answer = r.call(script, "on_matrix", columns(lalonde.iloc[order]), arguments)
    theirs = pd.Series(answer["weight"], order)
    assert set(weight.index) == set(theirs.index[theirs > 0])
    np.testing.assert_allclose(weight, theirs[weight.index], rtol=ROUNDING)
    assert weight.nunique() > 2


def test_entropy_balancing_of_the_published_covariates_is_exact(sample):
    match = balance_cases(sample, EntropySettings())
    assert match.balance["smd_before"].abs().max() > 1.8
    assert match.balance["smd_after"].abs().max() < 1e-8
    weights = match.sample.frame.loc[match.sample.frame["treated"] == 0, "weight"]
    assert weights.sum() == pytest.approx(185)


def authorities(lalonde: pd.DataFrame) -> UnitTask:
    """People under codes in the order of their rows."""
    codes = [f"{n:04d}" for n in range(1, len(lalonde) + 1)]
    numbers = lalonde[[c for c in COVARIATES if c != "race"]].astype(float)
    races = pd.get_dummies(lalonde["race"], drop_first=True).astype(float)
    features = pd.concat([numbers, races], axis=1).set_axis(pd.Index(codes, name="unit"))
    own = [c for c, t in zip(codes, lalonde["treat"], strict=True) if t]
    return UnitTask(tuple(Pilot(c, None, None, 1976) for c in own), features)


def pairs_of(match) -> set[tuple[int, int]]:
    return {(int(row.pilot), int(row.comparator)) for row in match.distances.itertuples()}


def their_pairs(answer) -> set[tuple[int, int]]:
    return {(int(i), int(j)) for i, j in zip(answer["treated"], answer["control"], strict=True)}
