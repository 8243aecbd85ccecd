"""A balanced panel by its moments, or its units, gives what its rows give."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sos_estimators.callaway_santanna import engine_python, moments, panel_effects
from sos_estimators.callaway_santanna.panel import Panel, compact
from sos_estimators.callaway_santanna.panel_comparisons import comparison_sets
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from staggered_samples import PANELS, labelled, stored_sample

from sos_plugins import Estimate, Sample

ESTIMATE = 1e-10  # relative or absolute; the same sums in another order
ERROR = 1e-9  # relative; the same
NOTHING = 1e-12  # of standard errors that are zero but for rounding, outcomes being of size 1

METHODS = ("reg", "ipw", "dr")
CONTROLS = ("nevertreated", "notyettreated")
CLUSTERS = ("cluster", "unit-of-observation")
COVARIATES = ("age", "ethnicity", "flag")
SETS: dict[str, tuple[str, ...]] = {"none": (), "age": ("age",), "three": COVARIATES}


def panel(n: int = 84, *, seed: int = 0, changing: bool = False) -> pd.DataFrame:
    """Weighted children of 21 authorities seen in six years, three cohorts and never treated."""
    rng = np.random.default_rng(seed)
    child = np.repeat(np.arange(n), 6)
    period = np.tile(np.arange(2001, 2007), n)
    unit = child % 21
    rows = len(child) if changing else n
    of_rows = np.arange(len(child)) if changing else child
    frame = pd.DataFrame(
        {
            "id": child,
            "unit": [f"u{u:02d}" for u in unit],
            "cluster": [f"c{u % 7}{u // 14}" for u in unit],
            "period": period,
            "cohort": np.array([0, 0, 0, 2003, 2004, 2005, 0])[unit % 7],
            "weight": rng.uniform(0.3, 2.0, rows)[of_rows],
            "age": rng.normal(8, 4, rows)[of_rows],
            "ethnicity": rng.choice(["a", "b", "c"], rows, p=[0.5, 0.3, 0.2])[of_rows],
            "flag": (rng.random(rows) < 0.4)[of_rows],
        }
    )
    treated = (frame["cohort"] > 0) & (period >= frame["cohort"])
    value = rng.normal(size=n)[child] + 0.03 * frame["age"] * (period - 2000) + 1.5 * treated
    return labelled(frame.assign(value=value + rng.normal(size=len(frame))))


def without_never() -> pd.DataFrame:
    frame = panel()
    return frame[frame["cohort"] > 0].reset_index(drop=True)


def early_and_late() -> pd.DataFrame:
    frame = panel()
    return labelled(frame.assign(cohort=frame["cohort"].replace({2003: 2001, 2005: 2009})))


FRAMES: dict[str, Callable[[], pd.DataFrame]] = {
    "fixed": panel,
    "changing": lambda: panel(changing=True),
    "without never": without_never,
    "early and late": early_and_late,
}


def both_ways(
    frame: pd.DataFrame, covariates: tuple[str, ...], options: CallawaySantAnnaSettings
) -> Estimate:
    """Compare with the rows; the panel must have been taken as one."""
    sample = Sample(frame, covariates)
    assert panel_effects.panel_effects(sample, options) is not None
    found, rows = engine_python.fit(sample, options), engine_python.fit_rows(sample, options)
    assert_same(found, rows)
    assert found.glance == rows.glance
    assert found.warnings == rows.warnings
    return found


def assert_same(found: Estimate, rows: Estimate) -> None:
    assert list(found.tidy["term"]) == list(rows.tidy["term"])
    for column, tolerance in (("estimate", ESTIMATE), ("std_error", ERROR)):
        np.testing.assert_allclose(
            found.tidy[column], rows.tidy[column], rtol=tolerance, atol=ESTIMATE
        )
    pd.testing.assert_frame_equal(found.covariance, rows.covariance, rtol=ERROR, atol=ESTIMATE)


@pytest.mark.parametrize("covariates", SETS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", FRAMES)
def test_a_panel_gives_what_its_rows_give(name: str, method: str, covariates: str) -> None:
    frame = FRAMES[name]()
    asked = itertools.product(CONTROLS, ("varying", "universal"), (0, 1), CLUSTERS)
    for j, (control, base, anticipation, cluster) in enumerate(asked):
        if name != "without never" or control == "notyettreated":
            options = CallawaySantAnnaSettings(
                method=method,
                control=control,
                base=base,
                anticipation=anticipation,
                cluster=cluster,
                aggregate=("group-time", "event", "cohort", "calendar", "simple")[j % 5],
            )
            both_ways(frame, SETS[covariates], options)


@pytest.mark.parametrize("weights", ["none", "fixed", "changing"])
@pytest.mark.parametrize("covariates", [(), ("x",)])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("data", PANELS)
def test_stored_panels_give_what_their_rows_give(
    from_r: Path, data: str, method: str, covariates: tuple[str, ...], weights: str
) -> None:
    frame = stored_sample(from_r, data).frame
    rng = np.random.default_rng(2)
    if weights == "fixed":
        chosen = dict(zip(frame["id"].unique(), rng.uniform(0.2, 2, len(frame)), strict=False))
        frame = frame.assign(weight=frame["id"].map(chosen))
    elif weights == "changing":
        frame = frame.assign(weight=rng.uniform(0.2, 2, len(frame)))
    place = frame["id"].astype(int) % 13
    for cluster, aggregate, control in (
        ("unit-of-observation", "group-time", "nevertreated"),
        ("cluster", "event", "notyettreated"),
    ):
        options = CallawaySantAnnaSettings(
            method=method, control=control, cluster=cluster, aggregate=aggregate
        )
        both_ways(frame.assign(cluster=place), covariates, options)


@pytest.mark.parametrize("method", METHODS)
def test_a_window_of_events_is_the_same(method: str) -> None:
    options = CallawaySantAnnaSettings(method=method, aggregate="event", min_event=-2, max_event=1)
    found = both_ways(panel(), ("age",), options)
    assert list(found.tidy["term"]) == ["overall", *(f"event={e}" for e in (-2, -1, 0, 1))]


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("covariates", SETS)
def test_draws_are_those_of_the_rows(covariates: str, cluster: str) -> None:
    frame = panel().sample(frac=1, random_state=1, ignore_index=True)
    frame["id"] = "n" + frame["id"].astype(str)
    options = CallawaySantAnnaSettings(
        errors="bootstrap", band=True, draws=199, cluster=cluster, multiplier="webb"
    )
    sample = Sample(frame, SETS[covariates])
    assert panel_effects.panel_effects(sample, options) is not None
    found, rows = engine_python.fit(sample, options), engine_python.fit_rows(sample, options)
    assert_same(found, rows)
    critical = (found.glance["band_critical"], rows.glance["band_critical"])
    assert critical[0] == pytest.approx(critical[1], rel=ERROR)


def shape(panel: Panel, options: CallawaySantAnnaSettings) -> bool:
    return moments.suits(panel, by_unit=panel.by_unit and not options.needs_draws)


def test_moments_are_as_many_for_many_units_as_for_few() -> None:
    options = CallawaySantAnnaSettings(method="reg", cluster="unit-of-observation")
    sizes = []
    for n in (84, 840):
        made = compact(Sample(panel(n), ("age",)), options)
        assert made is not None
        assert shape(made, options)
        found = moments.moments(made, comparison_sets(made, options), by_unit=True)
        sizes.append({cohort: held.shape for cohort, held in found.products.items()})
    assert sizes[0] == sizes[1] == dict.fromkeys((0, 2003, 2004, 2005), (16, 16))


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_moments_and_units_one_by_one_are_the_same(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = CallawaySantAnnaSettings(
        method="reg", cluster=cluster, control="notyettreated", aggregate="event"
    )
    sample = Sample(panel(), ("age",))
    made = compact(sample, options)
    assert made is not None
    assert shape(made, options)
    by_moments = engine_python.fit(sample, options)
    monkeypatch.setattr(moments, "MAX_MOMENTS", 0)
    assert not shape(made, options)
    assert_same(by_moments, engine_python.fit(sample, options))


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_without_noise_there_is_no_standard_error_of_lost_digits(cluster: str) -> None:
    frame = panel()
    trend = frame["period"] - 2000 + frame["id"]
    effect = (frame["cohort"] > 0) & (frame["period"] >= frame["cohort"])
    options = CallawaySantAnnaSettings(cluster=cluster)
    tidy = engine_python.fit(Sample(frame.assign(value=trend + 3.0 * effect)), options).tidy
    np.testing.assert_allclose(tidy.loc[tidy["term"] == "overall", "estimate"], 3, rtol=ESTIMATE)
    assert (tidy["std_error"].fillna(0) < NOTHING).all()


def test_a_small_change_beside_large_levels_keeps_its_digits() -> None:
    frame = panel()
    frame["value"] += 1e5 * (frame["id"] % 11)
    options = CallawaySantAnnaSettings(cluster="unit-of-observation", aggregate="event")
    found = engine_python.fit(Sample(frame), options).tidy
    plain = engine_python.fit(Sample(panel()), options).tidy
    np.testing.assert_allclose(found["std_error"], plain["std_error"], rtol=1e-8)  # 1e5 x epsilon


# ---- what must change nothing --------------------------------------------------------------------


def as_shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sample(frac=1, random_state=3, ignore_index=True)


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(id="child " + frame["id"].astype(str))


CHANGES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "shuffled": as_shuffled,
    "by period": lambda f: f.sort_values("period", kind="stable", ignore_index=True),
    "years backwards": lambda f: f.iloc[::-1],
    "text": as_text,
    "text, shuffled": lambda f: as_shuffled(as_text(f)),
    "objects": lambda f: as_text(f).astype({"id": object, "unit": object, "cluster": object}),
    "categories": lambda f: as_text(f).astype({"id": "category", "cluster": "category"}),
    "categories, shuffled": lambda f: as_shuffled(as_text(f).astype({"id": "category"})),
    "numbers with gaps": lambda f: as_shuffled(f.assign(id=f["id"] * 1001 - 17)),
    "renamed": lambda f: f.assign(
        unit=f["unit"].str[::-1],
        id=f["id"].map(dict(enumerate(np.random.default_rng(0).permutation(len(f))))),
    ),
    "small numbers": lambda f: f.astype({"period": "int16", "cohort": "int16", "id": "uint8"}),
    "floats": lambda f: f.astype({"cohort": float, "id": float}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_order_names_and_types_change_nothing(change: str) -> None:
    frame = panel(changing=True)
    for cluster, covariates in (("cluster", ()), ("unit-of-observation", COVARIATES)):
        options = CallawaySantAnnaSettings(cluster=cluster, aggregate="event")
        changed = both_ways(CHANGES[change](frame), covariates, options)
        assert_same(changed, engine_python.fit(Sample(frame, covariates), options))


@pytest.mark.parametrize("method", METHODS)
def test_a_child_as_two_of_half_the_weight_changes_nothing(method: str) -> None:
    frame = panel()
    chosen = frame["id"] % 3 == 0
    halved = frame.assign(weight=frame["weight"].where(~chosen, frame["weight"] / 2))
    split = pd.concat([halved, halved[chosen].assign(id=lambda d: d["id"] + 1000)])
    options = CallawaySantAnnaSettings(method=method, aggregate="cohort")
    whole = engine_python.fit(Sample(frame, COVARIATES), options)
    assert_same(both_ways(split.reset_index(drop=True), COVARIATES, options), whole)


# ---- what only rows can do -----------------------------------------------------------------------


def test_what_a_check_must_tell_is_left_to_the_rows() -> None:
    frame = panel()
    options = CallawaySantAnnaSettings()
    flawed = {
        "unbalanced": frame.drop(index=7),
        "no id": frame.drop(columns="id"),
        "groups": frame.assign(group="a"),
        "weightless": frame.assign(weight=frame["weight"].where(frame["id"] != 3, 0)),
        "missing": frame.assign(value=frame["value"].where(frame.index != 7)),
        "twice": pd.concat([frame[:-6], frame[:6]]),
        "moves": frame.assign(cohort=frame["cohort"].where(frame.index != 7, 2005)),
        "cohorts": frame.assign(cohort=frame["cohort"].where(frame["id"] != 3, 2004)),
        "clusters": frame.assign(cluster=frame["cluster"].where(frame.index != 7, "z")),
        "one cluster": frame.assign(cluster="z"),
        "constant": frame.assign(value=1.0),
        "untreated": frame.assign(cohort=0),
    }
    for name, changed in flawed.items():
        sample = Sample(changed.reset_index(drop=True))
        assert compact(sample, options) is None, name
        said = [outcome_of(sample, fit) for fit in (engine_python.fit, engine_python.fit_rows)]
        assert said[0] == said[1], name
    for covariate in (frame["age"].where(frame.index != 7), np.arange(len(frame)).astype(str)):
        sample = Sample(frame.assign(extra=covariate), ("extra",))
        assert compact(sample, options) is None
        assert outcome_of(sample, engine_python.fit) == outcome_of(sample, engine_python.fit_rows)


def outcome_of(sample: Sample, fit: Callable[..., Estimate]) -> Any:
    try:
        found = fit(sample, CallawaySantAnnaSettings())
    except Exception as error:
        return type(error), str(error)
    return found.tidy.to_dict(), found.warnings


def test_errors_are_in_the_words_of_the_rows() -> None:
    frame = panel()
    for changed, asked in (
        (frame[frame["cohort"] > 0], {}),
        (frame[frame["cohort"] == 2004], {"control": "notyettreated"}),
        (frame[frame["period"] >= 2005], {}),
        (frame, {"aggregate": "event", "min_event": 9}),
        (frame, {"method": "ipw", "overlap": 0.01}),
    ):
        said = []
        for fit in (engine_python.fit, engine_python.fit_rows):
            sample = Sample(changed.reset_index(drop=True))
            with pytest.raises(Exception, match=r"\.") as caught:
                fit(sample, CallawaySantAnnaSettings(**asked))
            said.append((caught.type, str(caught.value)))
        assert said[0] == said[1]


@pytest.mark.parametrize("method", METHODS)
def test_a_level_that_a_cohort_lacks_is_left_to_the_rows(method: str) -> None:
    frame = panel()
    place = np.where(frame["cohort"] == 2004, "only here", "elsewhere")
    place = np.where((frame["cohort"] == 0) & (frame["id"] % 2 == 0), "there", place)
    sample = Sample(frame.assign(place=place), ("place",))
    options = CallawaySantAnnaSettings(method=method)
    assert panel_effects.panel_effects(sample, options) is None
    found, rows = engine_python.fit(sample, options), engine_python.fit_rows(sample, options)
    pd.testing.assert_frame_equal(found.tidy, rows.tidy)
    assert found.warnings == rows.warnings


@pytest.mark.parametrize("limits", [{"overlap": 0.25}, {"trim": 0.25}, {"trim": 0.13}])
@pytest.mark.parametrize("covariates", [(), ("age",)])
@pytest.mark.parametrize("method", ["ipw", "dr"])
def test_limits_of_propensities_are_the_same(
    method: str, covariates: tuple[str, ...], limits: dict[str, float]
) -> None:
    frame = panel()
    few = frame["cohort"].isin([0, 2003]) | (frame["id"] % 2 == 0)
    options = CallawaySantAnnaSettings(method=method, **limits)
    sample = Sample(frame[few].reset_index(drop=True), covariates)
    said = [outcome_with(sample, options, f) for f in (engine_python.fit, engine_python.fit_rows)]
    assert said[0][0] == said[1][0]
    for mine, theirs in zip(said[0][1], said[1][1], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=ERROR, atol=ESTIMATE)


def outcome_with(
    sample: Sample, options: CallawaySantAnnaSettings, fit: Callable[..., Estimate]
) -> tuple[Any, list[Any]]:
    try:
        found = fit(sample, options)
    except Exception as error:
        return str(error), []
    return found.warnings, [found.tidy["estimate"], found.tidy["std_error"]]
