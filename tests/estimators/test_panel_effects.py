"""Fixed and random effects: plm's results, Mundlak's identity, base R, and a known truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from clean_environment import REPOSITORY
from sos_estimators import did
from sos_estimators.diagnostics.panel_effects import (
    PanelEffects,
    PanelEffectsSettings,
    fit_python,
    fit_r,
)
from sos_estimators.diagnostics.panel_models import (
    Units,
    fixed_effects,
    hausman,
    mundlak,
    random_effects,
    with_means,
)

from sos_plugins import Estimate, Sample
from sos_plugins.authors.testing import assert_engines_agree, estimator_checks
from sos_plugins.errors import EstimationError

PRINTED = 1e-9
"""Results of plm are stored with twelve digits."""
EXACT = 1e-8
"""Least squares of a hundred columns by two solvers."""
REFERENCE = REPOSITORY / "tests" / "reference"
Fit = Callable[[Sample, PanelEffectsSettings], Estimate]
ENGINE = [fit_python, pytest.param(fit_r, marks=pytest.mark.r)]


@pytest.fixture(scope="module")
def grunfeld() -> pd.DataFrame:
    return pd.read_csv(REFERENCE / "panel_models_data.csv")


def plm(panel: str) -> dict[str, float]:
    stored = pd.read_csv(REFERENCE / "panel_models_results.csv")
    part = stored[stored["panel"] == panel]
    return dict(zip(part["figure"], part["value"], strict=True))


@pytest.mark.parametrize("panel", ["balanced", "unbalanced"])
def test_fixed_and_random_effects_are_those_of_plm(grunfeld: pd.DataFrame, panel: str) -> None:
    frame = grunfeld if panel == "balanced" else grunfeld[grunfeld.index % 7 != 3]
    x = np.column_stack([np.ones(len(frame)), frame[["value", "capital"]]])
    y, unit = frame["inv"].to_numpy(float), pd.factorize(frame["firm"])[0]
    within = fixed_effects(y, x, Units.of(unit, unit))
    random = random_effects(y, x, Units.of(unit, unit), within)
    n = unit.max() + 1
    cr0 = np.sqrt((n - 1) / n)  # plm's errors by cluster have no small-sample factor
    found: dict[str, float] = {}
    names = ("(Intercept)", "value", "capital")
    for name, fit in (("fixed", within), ("random", random.fit)):
        for place, term in enumerate(names):
            if fit.kept[place]:
                found[f"{name}_{term}"] = fit.estimates[place]
                found[f"{name}_{term}_std_error"] = np.sqrt(fit.covariance[place, place])
                found[f"{name}_{term}_cluster"] = cr0 * np.sqrt(fit.clustered[place, place])
    found["variance_within"] = random.idiosyncratic
    found["variance_of_effects"] = random.individual
    found["theta_smallest"] = random.share.min()
    found["hausman"] = hausman(within, random.fit, np.array([1, 2])).statistic or np.nan
    wanted = plm(panel)
    wanted.pop("wooldridge", None)
    assert found == pytest.approx(wanted, rel=PRINTED)


def test_coefficients_beside_their_means_are_those_within_units(grunfeld: pd.DataFrame) -> None:
    """Mundlak (1978), on an unbalanced panel too (Wooldridge 2019, Journal of Econometrics)."""
    frame = grunfeld[grunfeld.index % 7 != 3]
    x = np.column_stack([np.ones(len(frame)), frame[["value", "capital"]]])
    y, unit = frame["inv"].to_numpy(float), pd.factorize(frame["firm"])[0]
    within = fixed_effects(y, x, Units.of(unit, unit))
    random = random_effects(y, x, Units.of(unit, unit), within)
    extended = with_means(y, x, Units.of(unit, unit), random.share, within.kept)
    assert extended.estimates[1:3] == pytest.approx(within.estimates[1:3], rel=PRINTED)
    assert mundlak(extended, np.array([3, 4]), 10).df == 2
    assert "too many for 2 clusters" in mundlak(extended, np.array([3, 4]), 2).reason


def children(*, drawn_to_effects: float = 0.0, seed: int = 1) -> Sample:
    """Children of 16 authorities in eight years, some with several cases; the effect is 1."""
    rng = np.random.default_rng(seed)
    n = 4000
    unit = rng.integers(0, 16, n)
    child = unit * 100 + rng.integers(0, 60, n)
    period = rng.integers(2010, 2018, n)
    effect = rng.normal(0, 1.5, 1600)
    treated = (unit < 6).astype(int)
    post = (period >= 2014).astype(int)
    age = rng.normal(8, 3, n) + drawn_to_effects * effect[child]
    value = treated * post + effect[child] + 0.2 * age + 0.1 * period + rng.normal(0, 1, n)
    frame = pd.DataFrame(
        {
            "unit": [f"{u:02d}" for u in unit],
            "child": [f"c{c}" for c in child],
            "period": period,
            "cohort": np.where(treated == 1, 2014, 0),
            "value": value,
            "weight": 1.0,
            "age": age,
            "sex": rng.choice(["f", "m"], n),
            "treated": treated,
            "post": post,
        }
    )
    return Sample(frame.assign(cluster=frame["unit"]), ("age", "sex"))


@pytest.mark.parametrize("fit", ENGINE)
def test_effects_of_children_tell_the_truth_and_the_tests_what_differs(fit: Fit) -> None:
    options = PanelEffectsSettings(by="child")
    fair = fit(children(), options)
    for term in ("fixed", "random"):
        row = fair.term(term)
        assert abs(row["estimate"] - 1) < 4 * row["std_error"]
    assert fair.glance["variance_within"] == pytest.approx(1, rel=0.1)
    assert fair.glance["variance_of_effects"] == pytest.approx(1.5**2, rel=0.15)
    assert fair.glance["hausman_p_value"] > 0.01
    assert fair.glance["mundlak_p_value"] > 0.01
    selected = fit(children(drawn_to_effects=0.6), options)
    assert selected.glance["hausman_p_value"] < 1e-6
    assert selected.glance["mundlak_p_value"] < 1e-6
    assert any("Hausman's test takes errors for independent" in w for w in fair.warnings)


@pytest.mark.parametrize("fit", ENGINE)
def test_without_groups_fixed_effects_are_two_way_fixed_effects(fit: Fit) -> None:
    """Comparators have no "after" there: it is the effect itself, and no term beside it."""
    sample = children()
    frame = sample.frame
    starts = frame["cohort"].where(frame["unit"] > "02", frame["cohort"] - 2).clip(lower=0)
    on = frame["treated"] * (frame["period"] >= starts)
    calendar = Sample(frame.assign(cohort=starts, post=on), sample.covariates)
    fixed = fit(calendar, PanelEffectsSettings()).term("fixed")
    classic = did.fit_python(calendar, did.DidSettings(form="twfe", vcov="CR1")).term("ATT")
    assert fixed["estimate"] == pytest.approx(classic["estimate"], rel=EXACT)
    assert fixed["std_error"] == pytest.approx(classic["std_error"], rel=EXACT)


@pytest.mark.r
@pytest.mark.parametrize("by", ["child", "authority"])
@pytest.mark.parametrize("form", ["twfe", "pilot-post"])
def test_r_gives_the_same(by: str, form: str) -> None:
    sample = children(drawn_to_effects=0.3)
    weight = np.random.default_rng(2).uniform(0.5, 2.0, len(sample.frame))
    sample = Sample(sample.frame.assign(weight=weight), sample.covariates)
    options = PanelEffectsSettings.model_validate({"by": by, "form": form})
    own, in_r = fit_python(sample, options), fit_r(sample, options)
    for column in ("estimate", "std_error"):
        assert in_r.tidy[column].tolist() == pytest.approx(own.tidy[column].tolist(), rel=EXACT)
    same = [key for key in own.glance if "hausman" in key or "mundlak" in key or "iid" in key]
    for key in (*same, "theta", "variance_within", "variance_of_effects"):
        assert in_r.glance[key] == pytest.approx(own.glance[key], rel=1e-6), key


def test_what_cannot_be_told_is_a_sentence() -> None:
    sample = children()
    without = Sample(sample.frame.drop(columns="child"), sample.covariates)
    with pytest.raises(EstimationError, match="no column 'child' without gaps"):
        fit_python(without, PanelEffectsSettings(by="child"))
    once = Sample(
        sample.frame.assign(child=[str(n) for n in range(len(sample.frame))]), sample.covariates
    )
    with pytest.raises(EstimationError, match="No unit has more than one case"):
        fit_python(once, PanelEffectsSettings(by="child"))
    few = sample.where(sample.frame["unit"].isin(["00", "01", "14", "15"]))
    with pytest.raises(EstimationError, match="more units than there are covariates and periods"):
        fit_python(few, PanelEffectsSettings(by="authority"))


@pytest.mark.parametrize("check", estimator_checks(PanelEffects()), ids=str)
def test_the_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.r
def test_engines_agree() -> None:
    assert_engines_agree(PanelEffects(), children(), PanelEffectsSettings(by="child"))
