"""Placebo dates and units: made-up samples whose answers are known, and the contract."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from did_samples import matched
from sos_estimators.diagnostics import placebo_dates, placebo_units
from sos_estimators.diagnostics.placebo import earlier, with_pilot
from sos_estimators.diagnostics.placebo_runs import PlaceboRuns, PlaceboSettings, fit_python
from sos_estimators.did import DidSettings
from sos_estimators.did import fit_python as fit_did

from sos_plugins import Estimate, Sample
from sos_plugins.authors.testing import assert_engines_agree, estimator_checks
from sos_plugins.authors.testing.examples import example_sample
from sos_plugins.errors import EstimationError, SettingsError
from sos_plugins.host.settings import validate

EXACT = 1e-10  # least squares in double precision


def classic(sample: Sample) -> Estimate:
    return fit_did(sample, DidSettings())


def stacked(sample: Sample) -> Estimate:
    return fit_did(sample, DidSettings(form="stacked"))


def panel(values: dict[str, list[float]], cohort: dict[str, int]) -> Sample:
    rows = [
        (unit, period, cohort.get(unit, 0), value)
        for unit, series in values.items()
        for period, value in enumerate(series, 1)
    ]
    frame = pd.DataFrame(rows, columns=["unit", "period", "cohort", "value"])
    treated = (frame["cohort"] > 0).astype(int)
    post = treated * (frame["period"] >= frame["cohort"])
    columns = {"weight": 1.0, "cluster": frame["unit"], "treated": treated, "post": post}
    return Sample(frame.assign(**columns))


ANTICIPATED = panel(
    # The pilot rises by 2 two periods before its adoption in period 5, comparators never do.
    {"P": [0, 0, 2, 2, 9, 9], "A": [1, 1, 1, 1, 1, 1], "B": [0, 1, 0, 1, 0, 1]},
    {"P": 5},
)


def test_a_placebo_date_finds_what_came_before_adoption() -> None:
    runs = placebo_dates(ANTICIPATED, classic, term="ATT", shifts=[1, 2])
    assert [run.label for run in runs] == ["1 period earlier", "2 periods earlier"]
    # By hand: comparators' means 0.5, 1, 0.5, 1 in periods 1 to 4.
    assert runs[0].estimate == pytest.approx((2 - 2 / 3) - (1 - 2 / 3), abs=EXACT)
    assert runs[1].estimate == pytest.approx((2 - 0) - (0.75 - 0.75), abs=EXACT)


def test_placebo_dates_never_see_cases_after_adoption() -> None:
    frame = ANTICIPATED.frame
    wild = Sample(frame.assign(value=frame["value"].where(frame["period"] < 5, 1e9)))
    for mine, other in zip(
        placebo_dates(ANTICIPATED, classic, term="ATT", shifts=[1, 2]),
        placebo_dates(wild, classic, term="ATT", shifts=[1, 2]),
        strict=True,
    ):
        assert mine == other


def test_a_date_before_the_data_has_a_reason_instead_of_an_estimate() -> None:
    run = placebo_dates(ANTICIPATED, classic, term="ATT", shifts=[4])[0]
    assert run.estimate is None
    assert "before its adoption" in run.reason
    with pytest.raises(EstimationError, match="1 or more"):
        placebo_dates(ANTICIPATED, classic, term="ATT", shifts=[0])


def test_in_matched_groups_each_group_moves_its_own_date() -> None:
    sample = matched()
    moved = earlier(sample, 2).frame
    start = {"P1": 2013, "P2": 2014, "P3": 2014}
    for group, first in start.items():
        part = moved[moved["group"] == group]
        assert part["period"].max() == first - 1
        assert (part["post"] == (part["period"] >= first - 2)).all()
        assert set(part.loc[part["treated"] == 1, "cohort"]) == {first - 2}
    assert set(moved.loc[moved["treated"] == 0, "cohort"]) == {0}


def test_without_groups_comparators_serve_up_to_the_last_adoption() -> None:
    sample = panel({u: [0.0] * 6 for u in "PQA"}, {"P": 3, "Q": 5})
    moved = earlier(sample, 1).frame.groupby("unit")["period"].max()
    assert moved.to_dict() == {"P": 2, "Q": 4, "A": 4}


def test_every_comparator_is_treated_in_turn() -> None:
    ranked = placebo_units(ANTICIPATED, classic, term="ATT", statistic="estimate")
    assert [run.label for run in ranked.placebos] == ["A", "B"]
    by_hand = (1 - 1) - (0.5 - 0.5)  # A against B: means after less before
    assert ranked.placebos[0].estimate == pytest.approx(by_hand, abs=EXACT)
    assert ranked.actual.estimate == pytest.approx(9 - 1 - 0, abs=EXACT)
    assert (ranked.p_value, ranked.n_ranked) == (1 / 3, 3)


def test_the_p_value_is_the_share_of_runs_as_extreme_as_the_real_one() -> None:
    rng = np.random.default_rng(3)
    values = {f"u{i}": list(rng.normal(size=6)) for i in range(7)}
    p_values = set()
    for unit in values:
        ranked = placebo_units(panel(values, {unit: 4}), classic, term="ATT", statistic="estimate")
        others = {u: series for u, series in values.items() if u != unit}
        change = {u: np.mean(v[3:]) - np.mean(v[:3]) for u, v in others.items()}
        sizes = [abs(change[u] - np.mean([change[v] for v in others if v != u])) for u in others]
        own = np.mean(values[unit][3:]) - np.mean(values[unit][:3]) - np.mean(list(change.values()))
        expected = (1 + sum(size >= abs(own) for size in sizes)) / 7
        assert ranked.p_value == pytest.approx(expected)
        p_values.add(round(expected, 6))
    assert len(p_values) > 3


def test_a_placebo_pilot_is_compared_with_the_other_comparators_of_its_groups() -> None:
    sample = matched()
    placebo = with_pilot(sample, "C2").frame  # serves P1 and P2
    assert set(placebo["group"]) == {"P1", "P2"}
    assert set(placebo["unit"]) == {"C1", "C2", "C3"}
    mine = placebo[placebo["treated"] == 1]
    assert set(mine["unit"]) == {"C2"}
    assert dict(mine.groupby("group")["cohort"].first()) == {"P1": 2013, "P2": 2014}
    assert (
        placebo["post"] == (placebo["period"] >= placebo["group"].map({"P1": 2013, "P2": 2014}))
    ).all()


def test_without_groups_a_placebo_takes_the_commonest_adoption() -> None:
    sample = panel({u: [0.0] * 6 for u in "PQRAB"}, {"P": 3, "Q": 5, "R": 5})
    assert set(with_pilot(sample, "A").frame.query("treated == 1")["cohort"]) == {5}
    assert set(with_pilot(sample, "A", 2).frame.query("treated == 1")["cohort"]) == {2}
    nobody = Sample(sample.frame.assign(treated=0, cohort=0, post=0))
    with pytest.raises(EstimationError, match="no pilots"):
        with_pilot(nobody, "A")


def test_placebos_find_nothing_where_there_is_nothing() -> None:
    sample = example_sample("stacked", effect=1.0)
    ranked = placebo_units(sample, stacked, term="ATT", statistic="estimate")
    assert len(ranked.placebos) == 12
    assert ranked.p_value == pytest.approx(1 / 13)
    assert np.mean([abs(run.estimate or np.nan) for run in ranked.placebos]) < 0.5


def test_the_plugin_shows_the_real_run_and_every_placebo() -> None:
    sample = example_sample("stacked", effect=1.0)
    dates = fit_python(sample, PlaceboSettings(form="stacked", shifts=(1, 2)))
    assert list(dates.tidy["term"]) == [
        "actual",
        "placebo 1 period earlier",
        "placebo 2 periods earlier",
    ]
    runs = placebo_dates(sample, stacked, term="ATT", shifts=[1, 2])
    assert dates.term("placebo 2 periods earlier")["estimate"] == runs[1].estimate
    assert dates.term("actual")["estimate"] == stacked(sample).term("ATT")["estimate"]
    units = fit_python(sample, PlaceboSettings(form="stacked", kind="units", statistic="estimate"))
    assert units.glance["rank_p_value"] == pytest.approx(1 / 13)
    assert len(units.tidy) == 13
    far = fit_python(sample, PlaceboSettings(form="stacked", shifts=(1, 30)))
    assert len(far.tidy) == 2
    assert any("30 periods earlier" in warning for warning in far.warnings)
    with pytest.raises(SettingsError, match="each once"):
        validate(PlaceboSettings, {"shifts": [1, 1]}, where="test")


@pytest.mark.r
def test_r_gives_the_same_placebos() -> None:
    sample = example_sample("stacked", effect=1.0, n_cases=5)
    assert_engines_agree(PlaceboRuns(), sample, PlaceboSettings(form="stacked"))


@pytest.mark.parametrize("check", estimator_checks(PlaceboRuns()), ids=str)
def test_placebo_keeps_the_contract(check: Callable[[], None]) -> None:
    check()
