"""Errors of one authority from placebo pilots, against closed forms, R and simulated truth."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pool_studies import ADOPTION, World, one_pilot, prepared
from scipy import stats
from sos_estimators.did import DidSettings
from sos_estimators.event_study import EventStudySettings

from sos_plugins.contract.types import Pilot, Run, Sample
from sos_plugins.errors import EstimationError
from sos_plugins.host.registry import load_plugins
from sos_plugins.r import client as r
from sos_plugins.study import placebos
from sos_plugins.study.leads import LeadTests
from sos_plugins.study.placebos import (
    LEAST_PLACEBOS,
    Chance,
    Contrasts,
    Part,
    Path,
    Shocks,
    chance,
    effect_weights,
    lead_weights,
    pooled_leads,
    shares_of,
    without_negative_directions,
)
from sos_plugins.study.pool_errors import Drift, PoolErrors, hotelling, joint_power
from sos_plugins.study.sensitivity import Specification, run

ROUNDING = 1e-10
"""Relative difference of two ways to sum the same numbers."""
LEVEL = 0.05
WRONG_AT_MOST = 0.07
"""Share of pilots with parallel trends whose leads may be found not parallel, at 5%."""
CHANCE = 3.0
"""Standard errors of chance by which a simulated share may pass its bound: one in a thousand."""


def a_path(rng: np.random.Generator, n_units: int, n_events: int = 6) -> Path:
    """Means without sampling: one figure an authority and period."""
    events = np.arange(-n_events + 2.0, 2.0)
    means = rng.normal(size=(n_units, n_events))
    ones = np.ones_like(means)
    return Path(tuple(f"{i:03}" for i in range(n_units)), events, means, ones, 0 * ones)


def part(pool: Path, own: Path, of_pool: np.ndarray, of_own: np.ndarray) -> Part:
    shocks = Shocks.of(Contrasts.of(pool, of_pool))
    return Part(shocks, Contrasts.of(own, of_own), shares_of(own), own.units[1:])


def effect_of(path: Path, n_comparators: int) -> tuple[Chance, float]:
    """The chance of an effect, and the effect, of the first authority and the next ones."""
    own = replace_units(path, slice(0, 1 + n_comparators))
    pool = replace_units(path, slice(1, None))
    made = part(pool, own, effect_weights(pool, "all"), effect_weights(own, "all"))
    changes = made.own.values[:, 0]
    return chance([made]), float(changes[0] - made.shares @ changes[1:])


def replace_units(path: Path, rows: slice) -> Path:
    parts = (v[rows] for v in (path.means, path.weight, path.sampling))
    return Path(path.units[rows], path.events, *parts)


def test_without_sampling_one_pilot_and_the_whole_pool_give_the_t_test_of_two_groups() -> None:
    """One against J with the variance of the J: the pooled t test, whose first group has no df."""
    path = a_path(np.random.default_rng(1), 1 + 20)
    found, effect = effect_of(path, 20)
    weights = effect_weights(path, "all")
    changes = (weights[:, 0] * path.means).sum(axis=1)
    theirs = stats.ttest_ind(changes[:1], changes[1:])
    assert found.df == theirs.df == 19
    assert effect / np.sqrt(found.covariance[0, 0]) == pytest.approx(theirs.statistic, rel=ROUNDING)


@pytest.mark.r
def test_the_t_test_is_that_of_rs_linear_model_of_changes(tmp_path) -> None:
    """Donald and Lang (2007): regress the changes of authorities on being the pilot."""
    path = a_path(np.random.default_rng(2), 1 + 15)
    found, effect = effect_of(path, 15)
    changes = (effect_weights(path, "all")[:, 0] * path.means).sum(axis=1)
    script = tmp_path / "changes.R"
    script.write_text(
        "changes <- function(data) {\n  change <- data$change\n"
        "  pilot <- as.numeric(seq_along(change) == 1)\n"
        "  list(row = unname(summary(lm(change ~ pilot))$coefficients['pilot', ]))\n"
        "}\n"
    )
    row = r.call(script, "changes", {"change": changes})["row"]
    assert effect == pytest.approx(row[0], rel=ROUNDING)
    assert np.sqrt(found.covariance[0, 0]) == pytest.approx(row[1], rel=ROUNDING)
    assert 2 * stats.t.sf(abs(effect / row[1]), found.df) == pytest.approx(row[3], rel=1e-8)


def test_leads_of_one_pilot_against_all_are_hotellings_two_sample_test() -> None:
    """By the multivariate regression identity: F of the pilot's dummy given its differences."""
    rng = np.random.default_rng(3)
    path = a_path(rng, 1 + 25)
    own, pool = path, replace_units(path, slice(1, None))
    weights = lead_weights(own, -1, [np.array([e]) for e in (-4.0, -3.0, -2.0)])
    of = [np.broadcast_to(weights, (len(p.units), *weights.shape)) for p in (pool, own)]
    made = part(pool, own, *of)
    values = made.own.values[0] - made.shares @ made.own.values[1:]
    statistic, df_den = hotelling(values, chance([made]))
    differences = path.means[:, :3] - path.means[:, [3]]
    design = np.column_stack([np.ones(26), differences])
    dummy = np.r_[1.0, np.zeros(25)]
    left = dummy - design @ np.linalg.lstsq(design, dummy, rcond=None)[0]
    r2 = 1 - left @ left / ((dummy - dummy.mean()) ** 2).sum()
    assert df_den == 26 - 3 - 1
    assert statistic == pytest.approx(r2 / 3 / ((1 - r2) / df_den), rel=1e-8)


def test_shocks_are_what_is_left_of_the_spread_without_sampling() -> None:
    rng = np.random.default_rng(4)
    n, shock, sampling = 4000, 0.3, 0.2
    values = rng.normal(0, np.sqrt(shock + sampling), (n, 1))
    found = Shocks.of(Contrasts(values, np.full((n, 1, 1), sampling), np.zeros((n, 1, 1))))
    error = (shock + sampling) * np.sqrt(2 / n)
    assert found.covariance[0, 0] == pytest.approx(shock, abs=CHANCE * error)
    assert found.spread[0, 0] == pytest.approx(values.var(ddof=1), rel=1e-6)


def test_placebos_with_few_cases_count_less() -> None:
    """Half of the pool is known nearly exactly, half hardly: alike, they would err by 1e5.

    Each of the second half adds its own chance, one standardised square, to the first half's sum.
    """
    rng = np.random.default_rng(5)
    exact = rng.normal(size=(100, 1))
    rough = rng.normal(scale=1e3, size=(100, 1))
    sampling = np.r_[np.full(100, 1e-9), np.full(100, 1e6)][:, None, None]
    both = Contrasts(np.r_[exact, rough], sampling, np.zeros((200, 1, 1)))
    found = Shocks.of(both)
    assert found.covariance[0, 0] == pytest.approx(exact.var(ddof=1), rel=CHANCE * np.sqrt(2 / 100))


def test_fewer_than_ten_placebos_are_too_few() -> None:
    path = a_path(np.random.default_rng(6), LEAST_PLACEBOS)
    with pytest.raises(EstimationError, match=r"9 authorities of the pool .* at least 10"):
        effect_of(path, 2)


def test_an_authority_that_lacks_a_period_is_no_placebo() -> None:
    path = a_path(np.random.default_rng(7), 16)
    path.means[5, 2] = np.nan
    weights = lead_weights(path, -1, [np.array([-2.0])])
    every = np.broadcast_to(weights, (16, *weights.shape))
    assert Shocks.of(Contrasts.of(path, every)).n_placebos == 15


def test_no_negative_variance_is_left() -> None:
    fixed = without_negative_directions(np.diag([2.0, -1.0]))
    np.testing.assert_allclose(fixed, np.diag([2.0, 0.0]), atol=ROUNDING)


def test_a_shared_comparator_counts_once_for_its_whole_share() -> None:
    """Two pilots with the same comparator: variance of its shock is not halved as two would."""
    rng = np.random.default_rng(8)
    path = a_path(rng, 30)
    pool = replace_units(path, slice(2, None))

    def of(pilot: int, comparator: int) -> Part:
        rows = [pilot, comparator]
        parts = (v[rows] for v in (path.means, path.weight, path.sampling))
        own = Path(tuple(path.units[i] for i in rows), path.events, *parts)
        return part(pool, own, effect_weights(pool, "all"), effect_weights(own, "all"))

    shock = of(0, 2).shocks.covariance[0, 0]
    alone, same, apart = (
        chance(parts).covariance[0, 0]
        for parts in ([of(0, 2)], [of(0, 2), of(1, 2)], [of(0, 2), of(1, 3)])
    )
    assert alone == pytest.approx(2 * shock, rel=ROUNDING)
    assert same == pytest.approx((2 / 4 + 1) * shock, rel=ROUNDING)
    assert apart == pytest.approx((2 / 4 + 2 / 4) * shock, rel=ROUNDING)


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (7, ((-5,), (-4,), (-3,), (-2,))),
        (3, ((-5, -4), (-3,), (-2,))),
        (2, ((-5, -4, -3), (-2,))),
    ],
)
def test_the_earliest_leads_are_tested_as_one(most: int, expected: tuple) -> None:
    assert pooled_leads([-5, -4, -3, -2], most) == expected


def test_a_small_pool_tests_fewer_leads_and_says_so() -> None:
    told = lead_tests(World(pool=12, spread_of_sizes=0.0), 8).of_pilot("P000")
    assert (told.df_num, told.df_den) == (3, 12 - 3)
    assert told.reason == (
        "The event times -6 to -4 are tested as one lead: 12 placebo pilots allow 3."
    )


def test_a_pilot_with_far_more_cases_than_the_pool_tests_fewer_leads() -> None:
    """Nothing but sampling in the pool, and next to none in the pilot: its shocks are hardly told.

    The variance is well below what it is for an authority of the pool, and so are the degrees of
    freedom: they do not reach for the five leads that 20 placebo pilots allow.
    """
    outcome = prepared(World(cases=30, shock=0.0, pool=20), np.random.default_rng(13))
    grown = outcome.stacked.frame
    big = ["weight", "_cases", "_weight_squares", "_value_sums"]
    factor = np.where(grown["treated"] == 1, 100.0, 3.0)
    grown = grown.assign(**{c: grown[c] * factor for c in big})
    told = lead_tests(
        World(), 1, **{**vars(outcome), "stacked": replace(outcome.stacked, frame=grown)}
    )
    test = told.of_pilot("P000")
    assert test.status == "ok"
    assert test.df_num < ADOPTION - 1
    assert test.df_den >= placebos.LEAST_DF


@pytest.mark.r
def test_the_power_of_a_joint_test_is_rs(tmp_path) -> None:
    script = tmp_path / "power.R"
    script.write_text(
        "power <- function(data)\n"
        "  list(power = with(data, pf(qf(0.95, q, d), q, d, ncp = nc, lower.tail = FALSE)))\n"
    )
    given = {"nc": [0.0, 1.0, 8.0, 60.0], "q": [3.0, 1.0, 4.0, 5.0], "d": [9.0, 30.0, 27.0, 26.5]}
    theirs = r.call(script, "power", {k: np.array(v) for k, v in given.items()})["power"]
    ours = [joint_power(nc, int(q), d) for nc, q, d in zip(*given.values(), strict=True)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def errs(world: World, rng: np.random.Generator) -> tuple[bool, bool]:
    """Whether the leads of a pilot are found not parallel, and its interval misses its effect."""
    told = one_pilot(world, rng)
    return told.p_leads < LEVEL, told.p_effect < LEVEL


@pytest.mark.parametrize("pool", [31, 141])
@pytest.mark.parametrize("shock", [0.0, 0.02, 0.05])
@pytest.mark.parametrize("cases", [40, 500, 1500])
def test_more_cases_do_not_make_parallel_trends_look_broken(
    cases: int, shock: float, pool: int
) -> None:
    """With errors clustered by case, 3% to 93% of these pilots were called not parallel."""
    repeats, world = 300, World(cases=cases, shock=shock, pool=pool)
    rng = np.random.default_rng([cases, int(100 * shock), pool])
    found = np.array([errs(world, rng) for _ in range(repeats)])
    bound = WRONG_AT_MOST + CHANCE * np.sqrt(WRONG_AT_MOST * (1 - WRONG_AT_MOST) / repeats)
    assert (found.mean(axis=0) <= bound).all()


def test_a_drift_is_found_more_often_with_more_cases_and_smaller_shocks() -> None:
    rng = np.random.default_rng(9)
    worlds = [
        World(cases=1500, shock=shock, pool=141, drift=drift)
        for shock, drift in ((0.0, 0.02), (0.05, 0.02), (0.05, 0.0))
    ]
    quiet, shaken, none = (np.mean([errs(w, rng)[0] for _ in range(150)]) for w in worlds)
    assert quiet > 0.9
    assert quiet > shaken + 0.3
    assert shaken > none


REGISTRY = load_plugins()


def lead_tests(world: World, seed: int, **changes: Any) -> LeadTests:
    outcome = replace(prepared(world, np.random.default_rng(seed)), **changes)
    settings = EventStudySettings(form="stacked")
    study = Specification(
        outcome.stacked, "event-study", "python", settings, outcome.design.groups, 1
    )
    return LeadTests(REGISTRY, study, PoolErrors(outcome), Drift(0.1, "all"))


def test_a_pilots_leads_say_what_their_error_is_from() -> None:
    tests = lead_tests(World(), 1)
    told = tests.of_pilot("P000")
    assert (told.status, told.df_num) == ("ok", ADOPTION - 1)
    assert told.error_from == "error from 31 placebo pilots of the pool"
    assert told.n_placebos == 31
    assert not told.used_for_matching
    assert told.power is not None
    assert LEVEL < told.power < 1


def test_a_test_finds_its_own_drift_as_often_as_its_power_says() -> None:
    """A drift that alone gives an estimate of 10 points, where all authorities are alike in size.

    From six years before to four after it rises over five years: 2 points a year.
    """
    world = World(cases=300, shock=0.03, pool=141, spread_of_sizes=0.0, drift=0.02)
    found = [lead_tests(world, seed).of_pilot("P000") for seed in range(60)]
    share = np.mean([t.p_value < LEVEL for t in found])
    told = np.mean([t.power for t in found])
    assert share == pytest.approx(told, abs=CHANCE * np.sqrt(told * (1 - told) / len(found)))


def test_all_pilots_together_find_what_one_does_not() -> None:
    """Three pilots are too few for the estimator's own test of five leads."""
    world = World(pilots=3, pool=60, drift=0.02, shock=0.0)
    tests = lead_tests(world, 3)
    together = tests.of_all()
    assert together.error_from == "error from 60 placebo pilots of the pool"
    alone = [tests.of_pilot(p.unit) for p in tests.errors.design.pilots]
    assert together.power > max(t.power for t in alone)
    assert together.p_value < LEVEL


def test_too_small_a_pool_is_said_and_not_tested() -> None:
    told = lead_tests(World(pool=9), 4).of_pilot("P000")
    assert told.status == "not applicable"
    assert told.p_value is None
    assert "told from at least 10" in told.reason


@pytest.mark.parametrize(
    ("compared", "flag"),
    [
        ((), False),
        (("outcome_pre_mean", "n_cases"), False),
        (("outcome_pre_2004",), True),
        (None, True),
    ],
)
def test_leads_that_were_matched_on_are_marked(
    compared: tuple[str, ...] | None, flag: bool
) -> None:
    outcome = prepared(World(), np.random.default_rng(5))
    balance = pd.DataFrame({"covariate": ["outcome_pre_2004"]})
    match = replace(outcome.units, compared=compared, balance=balance)
    assert lead_tests(World(), 5, units=match).of_pilot("P000").used_for_matching is flag


def single_run(outcome, level: float = 0.95) -> Run:
    errors = PoolErrors(outcome)
    made = Specification(
        outcome.stacked, "did", "python", DidSettings(form="stacked", conf_level=level), (), 1
    )
    only = replace(made.only(["P000"]), alone="P000")
    return run(
        REGISTRY,
        "single-pilot",
        "alone",
        lambda: only,
        lambda told, setup, conf: errors.judged(told, setup.alone, "all", conf),
    )


def test_a_single_run_keeps_its_estimate_and_takes_its_error_from_the_pool() -> None:
    outcome = prepared(World(), np.random.default_rng(6))
    told = single_run(outcome, 0.9)
    frame = outcome.stacked.frame
    weight, rate = frame["weight"], frame["value"] * frame["weight"]
    by = [frame["treated"], frame["post"], frame["period"]]
    means = rate.groupby(by).sum() / weight.groupby(by).sum()
    rough = means.groupby(level=[0, 1]).mean()
    assert told.estimate == pytest.approx(
        (rough[1, 1] - rough[1, 0]) - (rough[0, 1] - rough[0, 0]), abs=0.01
    )
    assert told.error_from == "error from 31 placebo pilots of the pool"
    half = stats.t.ppf(0.95, told.df) * told.std_error
    assert told.conf_high - told.estimate == pytest.approx(half, rel=ROUNDING)
    assert told.p_value == pytest.approx(
        2 * stats.t.sf(abs(told.estimate) / told.std_error, told.df), rel=ROUNDING
    )


def test_a_single_run_without_a_pool_has_no_error_and_says_why() -> None:
    told = single_run(prepared(World(pool=5), np.random.default_rng(7)))
    assert told.status == "ok"
    assert told.estimate is not None
    assert told.std_error is told.p_value is told.conf_low is None
    assert "The error of one authority is not known. 5 authorities of the pool" in told.warnings[0]


def dated(rng: np.random.Generator, n_units: int = 12) -> pd.DataFrame:
    """Cases with dates over six years, followed up for 90 days."""
    days = rng.integers(0, 6 * 365, n_units * 200)
    date = pd.Timestamp("2008-04-01") + pd.to_timedelta(days, unit="D")
    return pd.DataFrame(
        {
            "unit": np.repeat([f"{i:03}" for i in range(n_units)], 200),
            "child": None,
            "date": date,
            "follow_up_end": date + pd.Timedelta(days=90),
            "period": date.year - (date.month < 4),
            "value": rng.binomial(1, 0.3, len(days)).astype(float),
        }
    )


def test_sums_of_the_pool_are_those_of_its_cases_in_every_window() -> None:
    """Sums are made once for windows of all pilots; cases are labelled one by one here."""
    cases = dated(np.random.default_rng(8))
    pilots = tuple(
        Pilot(code, start, start + dt.timedelta(days=200), 2011)
        for code, start in (("P1", dt.date(2010, 9, 3)), ("P2", dt.date(2011, 2, 11)))
    )
    units = [f"{i:03}" for i in range(1, 12)]
    pool = placebos.pool_of(cases, units, pilots, binary=True)
    assert len(pool.sums) < len(cases)
    for pilot in pilots:
        before = (pd.Timestamp(pilot.start) - cases["follow_up_end"]).dt.days
        after = (cases["date"] - pd.Timestamp(pilot.end)).dt.days
        event = np.where(after > 0, np.floor((after - 1) / 365.25), -1 - (before - 1) // 365.25)
        own = cases.assign(event=event)[((before > 0) | (after > 0)) & cases["unit"].isin(units)]
        theirs = own.groupby(["unit", "event"])["value"].agg(["mean", "size"]).unstack()
        path = Path.of(placebos.event_sums(pool, pilot), panel=False)
        np.testing.assert_allclose(path.means, theirs["mean"].to_numpy(float), rtol=ROUNDING)
        np.testing.assert_allclose(path.weight, theirs["size"].to_numpy(float), rtol=ROUNDING)


def test_sampling_is_the_variance_of_a_mean_of_cases() -> None:
    cases = dated(np.random.default_rng(9)).assign(event=lambda f: f["period"] - 2011)
    sums = placebos.own_sums(cases, binary=False)
    path = Path.of(sums, panel=False)
    for i, unit in enumerate(path.units):
        own = cases[cases["unit"] == unit]
        apart = own["value"] - own.groupby("event")["value"].transform("mean")
        within = (apart**2).sum() / (len(own) - own["event"].nunique())
        n = own.groupby("event").size().to_numpy()
        np.testing.assert_allclose(path.sampling[i], within / n, rtol=ROUNDING)


def test_one_figure_an_authority_and_year_has_no_sampling() -> None:
    panel = pd.DataFrame(
        {"unit": np.repeat(["a", "b"], 4), "event": [-2, -1, 0, 1] * 2, "value": np.arange(8.0)}
    )
    path = Path.of(placebos.own_sums(panel, binary=False), panel=False)
    assert (path.sampling == 0).all()


def moved(name: str, *, shift: float) -> float:
    """The headline of an estimator when treated cases three periods before adoption rise."""
    offer = REGISTRY.estimator(name)
    rng = np.random.default_rng(10)
    rows = [
        {
            "unit": f"{u:02}", "period": t, "cohort": 5 * (u < 6), "treated": int(u < 6),
            "post": int(t >= 5), "weight": 1.0, "cluster": f"{u:02}", "event": t - 5,
            "group": f"{u % 6:02}", "case": 100 * u + 10 * t + k, "value": rng.normal(),
        }
        for u in range(14) for t in range(1, 9) for k in range(2)
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    frame["value"] += shift * ((frame["treated"] == 1) & (frame["event"] == -3))
    if offer.sample == "calendar":
        frame = frame.drop(columns=["group", "case", "event"])
    options = offer.Settings()
    estimate = offer.engines[0].fit(Sample(frame), options)
    return float(estimate.term(offer.headline(options))["estimate"])


@pytest.mark.parametrize(
    "name",
    [n for n in sorted(REGISTRY.names("estimator")) if not REGISTRY.estimator(n).diagnostic],
)
def test_an_estimator_measures_from_the_baseline_that_it_declares(name: str) -> None:
    changed = abs(moved(name, shift=1.0) - moved(name, shift=0.0)) > 1e-6
    assert changed == (REGISTRY.estimator(name).baseline == "all")
