"""Power and calibration: against closed forms, and planted effects against what was asked for."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sos_plugins.cells.collected import CollectedCases
from sos_plugins.cells.compression import count, counts, is_compressed
from sos_plugins.contract.types import OutcomeInfo, Pilot, Sample
from sos_plugins.errors import DesignError, StudyError
from sos_plugins.host.registry import load_plugins
from sos_plugins.study import Study
from sos_plugins.study.calibrate import calibrate_of
from sos_plugins.study.pilots_and_pool import Design
from sos_plugins.study.power import Dealing, Tried, dealings, power_of
from sos_plugins.study.power_table import detectable, share_with_error
from sos_plugins.study.redeal import Redeal, added_up, plant, plant_in_sample, redeal
from sos_plugins.study.repeats import generator

REPEATS = 100
EFFECT = -1.1
FOUR_ERRORS = 4.0
"""Monte Carlo errors that a share may be off: once in 16,000 draws."""
SAME = 1e-9
"""Cells give what cases give, up to rounding."""
N_PILOTS, N_OTHERS, PERIODS, COHORT = 8, 16, range(1, 11), 8

STUDY = """
[study]
name = "dealt"
title = "Dealt"
seed = 4

[[sources]]
plugin = "tidy"
path = "cases.csv"

[design]
pilots = [{pilots}]

[matching]
units = {{ plugin = "{matcher}" }}

[[outcomes]]
plugin = "tidy-value"
label = "Score"
phrase = "the score"
{outcome}

[[estimators]]
plugin = "did"
form = "stacked"
engines = ["python"]

[rating]
plugin = "wwcsc"
"""


def study(outcome="", matcher="whole-pool", n_pilots=N_PILOTS, pilot="cohort = 8") -> Study:
    pilots = ", ".join(f'{{ unit = "U{i:02}", {pilot} }}' for i in range(n_pilots))
    text = STUDY.format(pilots=pilots, matcher=matcher, outcome=outcome)
    return Study.from_text(text, base=Path(), registry=load_plugins())


def collected(frame: pd.DataFrame, *, binary=False, covariates=()) -> CollectedCases:
    info = OutcomeInfo("tidy-value", "Score", "the score", "", binary, "units", "decrease")
    dates = {c: frame.get(c, pd.NaT) for c in ("date", "follow_up_end")}
    whole = frame.assign(child=frame.get("child"), **dates)
    nothing = pd.DataFrame(columns=["step", "reason", "n_before", "n_dropped", "n_after"])
    complete = pd.DataFrame(columns=["unit", "period", "n_candidates", "n_usable"])
    return CollectedCases(whole, info, covariates, nothing, complete, {})


def panel(seed=1) -> CollectedCases:
    """One normal figure an authority and period."""
    rng = np.random.default_rng(seed)
    units = [f"U{i:02}" for i in range(N_PILOTS + N_OTHERS)]
    rows = [
        {"unit": u, "period": t, "value": level + rng.normal()}
        for u, level in zip(units, rng.normal(0, 2, len(units)), strict=True)
        for t in PERIODS
    ]
    return collected(pd.DataFrame(rows))


def yes_no(seed=2, cases=40, dated=False) -> CollectedCases:
    rng = np.random.default_rng(seed)
    parts = []
    for i in range(N_PILOTS + N_OTHERS):
        for t in PERIODS:
            sex = rng.choice(["f", "m"], cases)
            value = (rng.random(cases) < 0.3 + 0.05 * (sex == "m")).astype(float)
            part = pd.DataFrame({"unit": f"U{i:02}", "period": t, "value": value, "sex": sex})
            if dated:
                day = rng.integers(0, 365, cases)
                part["date"] = pd.Timestamp(2000 + t, 4, 1) + pd.to_timedelta(day, unit="D")
                part["period"] = 2000 + t
                part["follow_up_end"] = part["date"] + pd.Timedelta(days=100)
            parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    return collected(frame, binary=True, covariates=("sex",))


def design(n_pilots=N_PILOTS, cohort=COHORT) -> Design:
    pilots = tuple(Pilot(f"U{i:02}", None, None, cohort) for i in range(n_pilots))
    return Design(pilots, tuple(f"U{i:02}" for i in range(n_pilots, N_PILOTS + N_OTHERS)))


def windowed(starts) -> Design:
    pilots = tuple(
        Pilot(f"U{i:02}", start, start + dt.timedelta(days=180), start.year)
        for i, start in enumerate(starts)
    )
    n = len(pilots)
    return Design(pilots, tuple(f"U{i:02}" for i in range(n, N_PILOTS + N_OTHERS)))


# Against closed forms ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured():
    return power_of(study().plan, [panel()], design(), effects=[EFFECT], repeats=REPEATS)


def closed_form(cases: CollectedCases, effect: float) -> float:
    """Power of the t test of the changes of dealt pilots against those of the others.

    With one figure an authority and period, the 2x2 difference-in-differences is the difference of
    two means of changes, here from the mean of periods 1 to 6 to period 7, the last before the
    programme. Dealing draws from these 24 changes without replacement, so their own standard
    deviation is the true one.
    """
    table = cases.frame.pivot_table(index="unit", columns="period", values="value")
    changes = table[COHORT - 1] - table[range(1, COHORT - 1)].mean(axis=1)
    df = N_PILOTS + N_OTHERS - 2
    shift = abs(effect) / (changes.std() * np.sqrt(1 / N_PILOTS + 1 / N_OTHERS))
    critical = stats.t.ppf(0.975, df)
    return float(stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift))


def test_power_is_that_of_a_t_test(measured):
    row = measured.table[measured.table["effect"] == EFFECT].iloc[0]
    assert row["n"] == REPEATS
    true = closed_form(panel(), EFFECT)
    assert 0.2 < true < 0.9
    assert abs(row["power"] - true) < FOUR_ERRORS * np.sqrt(true * (1 - true) / REPEATS)


def test_size_and_coverage_are_nominal_where_authorities_are_alike(measured):
    for row in measured.table.to_dict("records"):
        assert abs(row["coverage"] - 0.95) < FOUR_ERRORS * np.sqrt(0.95 * 0.05 / REPEATS)
    size = measured.smallest["size"].iloc[0]
    assert abs(size - 0.05) < FOUR_ERRORS * np.sqrt(0.95 * 0.05 / REPEATS)


def test_estimates_lie_around_what_was_planted(measured):
    for row in measured.table.to_dict("records"):
        error = FOUR_ERRORS * row["sd_estimate"] / np.sqrt(REPEATS)
        assert row["mean_estimate"] == pytest.approx(row["effect"], abs=error)
        # The mean of the standard errors is the spread that they claim to be.
        assert row["mean_std_error"] == pytest.approx(row["sd_estimate"], rel=0.25)


def test_the_detectable_effect_is_between_its_neighbours():
    found = detectable(np.array([0.0, 2.0, 1.0, 3.0]), np.array([0.05, 0.7, 0.4, 0.9]))
    assert found == pytest.approx(2.5)
    assert np.isnan(detectable(np.array([0.0, 1.0]), np.array([0.05, 0.7])))
    assert np.isnan(detectable(np.array([0.0, 1.0]), np.array([0.85, 0.9])))


def test_a_share_of_none_has_an_error():
    share, error = share_with_error(pd.Series([False] * 100))
    assert (share, error) == (0.0, pytest.approx(np.sqrt(0.01 * 0.99 / 100)))
    assert share_with_error(pd.Series([True, False]))[1] == pytest.approx(np.sqrt(0.25 / 2))


def test_processes_change_nothing(measured):
    again = power_of(study().plan, [panel()], design(), effects=[EFFECT], repeats=6, workers=2)
    here = power_of(study().plan, [panel()], design(), effects=[EFFECT], repeats=6)
    pd.testing.assert_frame_equal(again.table, here.table)
    assert measured.seed == again.seed == 4


# Effects that are planted ------------------------------------------------------------------------


def rates(cases: CollectedCases) -> pd.Series:
    frame = cases.frame.assign(n=counts(cases.frame))
    ones = (frame["value"] * frame["n"]).groupby([frame["unit"], frame["period"]]).sum()
    return ones / frame.groupby(["unit", "period"])["n"].sum()


@pytest.mark.parametrize("effect", [-0.12, 0.2])
@pytest.mark.parametrize("as_cells", [False, True])
def test_a_rate_moves_by_the_effect_after_the_window_alone(effect, as_cells):
    cases, dealt = yes_no(cases=400), design(3)
    if as_cells:
        cases = added_up(cases, dealt.pilots)
        assert is_compressed(cases.frame)
    planted = plant(cases, dealt, effect, np.random.default_rng(5))
    assert count(planted.frame) == count(cases.frame)
    moved = rates(planted) - rates(cases)
    touched = moved.loc[["U00", "U01", "U02"], COHORT:]
    assert moved.drop(touched.index).abs().max() == 0
    rate = rates(cases).loc[touched.index].mean()
    room = rate if effect < 0 else 1 - rate
    chance = abs(effect) / room
    error = np.sqrt(room * chance * (1 - chance) / (len(touched) * 400))
    assert touched.mean() == pytest.approx(effect, abs=FOUR_ERRORS * error)


def test_a_rate_without_room_moves_as_far_as_it_can():
    frame = yes_no().frame.assign(treated=1, post=1, cohort=COHORT, weight=1.0, cluster="c")
    sample = Sample(frame, (), binary=True)
    planted, size = plant_in_sample(sample, -0.9, np.random.default_rng(1))
    assert planted.frame["value"].sum() == 0
    assert size == pytest.approx(-frame.groupby("unit")["value"].mean().mean())


@pytest.mark.parametrize("as_cells", [False, True])
def test_other_values_move_by_the_effect_itself(as_cells):
    cases = collected(panel().frame.assign(value=lambda f: f["value"].round()))
    twice = replace(cases, frame=pd.concat([cases.frame] * 4, ignore_index=True))
    if as_cells:
        twice = added_up(twice, design(2).pilots)
        assert is_compressed(twice.frame)
    planted = plant(twice, design(2), 1.5, np.random.default_rng(1))
    moved = rates(planted) - rates(twice)
    touched = moved.loc[["U00", "U01"], COHORT:]
    assert touched.to_numpy() == pytest.approx(1.5)
    assert moved.drop(touched.index).abs().max() < SAME


@pytest.mark.parametrize("dated", [False, True])
def test_cells_give_the_estimates_of_the_cases(dated):
    cases = yes_no(dated=dated)
    real = windowed([dt.date(2008, 5, 1)] * 4) if dated else design(4)
    given = study(
        "binary = true",
        n_pilots=4,
        pilot="start = 2008-05-01, end = 2008-10-28" if dated else "cohort = 8",
    )
    (one,), _ = dealings(given.plan, [cases], real, {}, None)
    assert is_compressed(one.dealt.cases.frame)
    raw = replace(one, dealt=redeal(cases, real))
    assert not is_compressed(raw.dealt.cases.frame)
    for cells, whole in zip(Tried(one, (0.0,))(3), Tried(raw, (0.0,))(3), strict=True):
        for figure in ("estimate", "std_error", "p_value"):
            assert cells[figure] == pytest.approx(whole[figure], rel=SAME)


# Windows moved back ------------------------------------------------------------------------------


def test_nothing_after_the_first_real_window_is_dealt():
    cases = yes_no(dated=True)
    dealt = redeal(cases, windowed([dt.date(2008, 5, 1), dt.date(2009, 5, 1)]))
    assert dealt.cases.frame["follow_up_end"].max() < pd.Timestamp(2008, 5, 1)
    # Two years between two windows stay two years; a year of cases lies after the last of them.
    starts = [window.start for window in dealt.windows]
    assert (starts[1] - starts[0]).days in (365, 366)
    last = pd.Timestamp(max(window.end for window in dealt.windows))
    assert (dealt.cases.frame["date"].max() - last).days >= 365
    assert "moved back by" in dealt.notes[0]


def test_too_few_years_for_windows_one_after_the_other_give_one_window():
    cases = yes_no(dated=True)
    dealt = redeal(cases, windowed([dt.date(2006, 5, 1), dt.date(2009, 5, 1)]))
    assert len({(window.start, window.end) for window in dealt.windows}) == 1
    assert "all pilots begin on" in dealt.notes[0]
    periods = redeal(panel(), design(2, cohort=4))
    assert {window.cohort for window in periods.windows} == {3}


@pytest.mark.parametrize(
    ("real", "words"),
    [
        (design(2, cohort=2), "1.0 periods of records before the programme"),
        (design(2, cohort=1), "no case before the programme"),
        (design(23), "24 authorities have cases in every period"),
    ],
)
def test_what_cannot_be_dealt_is_told(real, words):
    with pytest.raises(DesignError, match=words):
        power_of(study(n_pilots=2).plan, [panel()], real, repeats=2)


def test_years_that_are_too_few_are_told():
    with pytest.raises(DesignError, match=r"years \(less the follow-up and a window\)") as told:
        redeal(yes_no(dated=True), windowed([dt.date(2003, 5, 1)] * 2))
    assert "shorter follow-up of the outcome or shorter embedding windows" in str(told.value)


def test_less_than_two_years_before_give_a_deal_without_leads_and_a_note():
    dealt = redeal(yes_no(dated=True), windowed([dt.date(2004, 6, 1)] * 2))
    (window,) = {(window.start, window.end) for window in dealt.windows}
    ready = dealt.cases.frame["follow_up_end"].min().date()
    assert 1.0 <= (window[0] - ready).days / 365.25 < 2.0
    assert (dealt.cases.frame["date"].max().date() - window[1]).days >= 365
    assert "leads cannot be tested here" in dealt.notes[1]
    periods = redeal(panel(), design(2, cohort=3))
    assert {w.cohort for w in periods.windows} == {2}
    assert periods.notes[1].startswith("Only 1.0 periods lie before them")
    plan, real = study(n_pilots=2).plan, design(2, cohort=3)
    result = power_of(plan, [panel()], real, effects=[-1], repeats=2)
    assert np.isfinite(result.table["mean_std_error"]).all()


def test_a_single_pilot_has_its_error_from_the_pool():
    """The spread of the changes of the 23 others, and t on 22 degrees of freedom."""
    (dealing,), _ = dealings(study(n_pilots=1).plan, [panel()], design(1), {}, None)
    table = panel().frame.pivot_table(index="unit", columns="period", values="value")
    changes = table[COHORT - 1] - table[range(1, COHORT - 1)].mean(axis=1)
    for number in range(3):
        (row,) = Tried(dealing, (0.0,))(number)
        dealt = dealing.dealt.deal(generator(dealing.seed, dealing.name, number))
        others = changes[list(dealt.pool)]
        n = N_PILOTS + N_OTHERS - 1
        assert row["std_error"] == pytest.approx(others.std() * np.sqrt(1 + 1 / n), rel=SAME)
        t = (changes[dealt.pilots[0].unit] - others.mean()) / row["std_error"]
        assert row["p_value"] == pytest.approx(2 * stats.t.sf(abs(t), n - 1), rel=SAME)
    result = power_of(study(n_pilots=1).plan, [panel()], design(1), effects=[-1], repeats=2)
    assert "from the authorities of the pool" in result.notes[-1]


def test_authorities_without_a_period_are_not_dealt():
    frame = panel().frame
    gap = frame[~((frame["unit"] == "U20") & (frame["period"] == 2))]
    dealt = redeal(replace(panel(), frame=gap), design())
    assert "U20" not in dealt.units
    assert "1 authorities without cases" in dealt.notes[-1]


def test_deals_are_drawn_from_all_authorities():
    dealt = Redeal(panel(), tuple(panel().frame["unit"].unique()), design().pilots)
    drawn = [dealt.deal(np.random.default_rng(n)) for n in range(40)]
    assert all(len(d.pilots) == N_PILOTS and len(d.pool) == N_OTHERS for d in drawn)
    assert {p.unit for d in drawn for p in d.pilots} == set(dealt.units)


# What a user gives -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"repeats": 1}, "at least 2 deals"),
        ({"effects": [-1.0, 0.0]}, "numbers other than 0"),
        ({"effects": [-1.0, 2.0]}, "not both at once"),
        ({"effects": [float("nan")]}, "numbers other than 0"),
    ],
)
def test_what_makes_no_sense_is_refused(options, words):
    with pytest.raises(StudyError, match=words):
        power_of(study().plan, [panel()], design(), **{"repeats": 2, **options})


def test_effects_on_rates_are_in_points():
    result = power_of(study("binary = true").plan, [yes_no()], design(), effects=[-5], repeats=2)
    assert sorted(result.table["effect"])[0] == pytest.approx(-0.05)


def test_effects_follow_the_standard_error_by_default():
    plan = study().plan
    result = power_of(plan, [panel()], design(), repeats=2)
    error = result.table["mean_std_error"].iloc[0]
    sizes = np.abs(result.table["effect"].to_numpy())[1:]
    assert sizes / sizes[0] == pytest.approx([1, 2, 3, 4], rel=0.05)
    assert sizes[0] == pytest.approx(error, rel=0.3)
    assert (result.table["effect"] <= 0).all()


# Verdicts ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def verdicts():
    plan = study(matcher="pre-outcomes-units", n_pilots=6).plan
    return calibrate_of(plan, [panel()], design(6), effects=[-20.0], repeats=6)


def test_every_study_has_one_verdict_on_every_outcome(verdicts):
    sums = verdicts.verdicts.groupby(["truth", "outcome"])[["share", "n"]].sum()
    assert sums["share"].to_numpy() == pytest.approx(1.0)
    assert (sums["n"] == 6).all()
    assert list(verdicts.claims["truth"]) == [0, 1]


def test_what_is_ten_times_the_noise_never_is_an_increase(verdicts):
    found = verdicts.verdicts[verdicts.verdicts["truth"] == 1]
    assert found["effect"].unique() == pytest.approx([-20.0])
    assert "increase" not in set(found["direction"])
    claims = verdicts.claims.set_index("truth")["share"]
    assert claims[1] >= claims[0]


def test_outcomes_are_dealt_the_same_pilots():
    frame = panel().frame
    other = replace(panel(3), info=replace(panel().info, name="other"))
    text = study().plan.text + (
        '\n[[outcomes]]\nplugin = "tidy-value"\nname = "other"\nlabel = "O"\nphrase = "o"\n'
    )
    plan = Study.from_text(text, base=Path(), registry=load_plugins()).plan
    short = replace(panel(), frame=frame[frame["unit"] != "U20"])
    result = calibrate_of(plan, [short, other], design(), effects=[-20.0], repeats=2)
    assert set(result.verdicts["outcome"]) == {"tidy-value", "other"}
    few = replace(panel(), frame=frame[frame["unit"] < "U14"])
    rest = replace(other, frame=frame[frame["unit"] > "U10"])
    with pytest.raises(DesignError, match="authorities in common"):
        calibrate_of(plan, [few, rest], design(), repeats=2)


def test_dealing_travels_between_processes():
    import pickle

    (one,), _ = dealings(study().plan, [panel()], design(), {}, None)
    again = pickle.loads(pickle.dumps(Tried(one, (0.0,))))
    assert isinstance(again.dealing, Dealing)
    assert again(1)[0]["estimate"] == Tried(one, (0.0,))(1)[0]["estimate"]
