"""The classic difference-in-differences: stored results of R, closed forms, dense recomputation."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from did_samples import matched, results, stored, two_by_two, with_columns
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sos_estimators import did as classic
from sos_estimators.did import Did, DidSettings, fit_python, fit_r
from sos_estimators.regression import engine_r as r_engine

from sos_plugins import Engine, Estimate, Sample
from sos_plugins.contract.columns import GLANCE_COLUMNS
from sos_plugins.errors import EstimationError, SettingsError
from sos_plugins.host.settings import validate

STORED_ESTIMATE = 1e-11  # both are double precision; stored with 15 digits
STORED_ERROR = 1e-9  # relative; fixest demeans iteratively, to about 1e-10
STORED_LOGIT = 1e-6  # relative; fixest's glm stops at a deviance change of 1e-8
ENGINES = 1e-10  # relative; the same least squares, summed in another order
DENSE = 1e-9  # relative; normal equations with a pseudo-inverse lose some digits

Fit = Callable[[Sample, DidSettings], Estimate]
ENGINE = [fit_python, pytest.param(fit_r, marks=pytest.mark.r)]
CASES = ["cases_cont_shared", "cases_bin_shared"]
SANDWICH = {"HC0": "CR1", "HC1": "CR1S"}


def att(estimate: Estimate, term: str = "ATT") -> tuple[float, float]:
    row = estimate.term(term)
    return float(row["estimate"]), float(row["std_error"])


@pytest.mark.parametrize("fit", ENGINE)
@pytest.mark.parametrize("data", ["mpdta", "panel_shared", *CASES])
def test_two_way_fixed_effects_are_those_of_fixest(from_r: Path, data: str, fit: Fit) -> None:
    rows = results(from_r, data, "twfe")
    assert len(rows) in (1, 4)
    for row in rows.to_dict("records"):
        sample = stored(from_r, data, weights=row.get("weights") == "w", x=row.get("x") == "x")
        estimate, error = att(fit(sample, DidSettings(vcov="fixest")))
        assert estimate == pytest.approx(row["estimate"], abs=STORED_ESTIMATE)
        assert error == pytest.approx(row["std_error"], rel=STORED_ERROR)


@pytest.mark.parametrize("fit", ENGINE)
@pytest.mark.parametrize("method", ["twfe_vcovCL", "twfe_clubSandwich"])
@pytest.mark.parametrize("data", CASES)
def test_variances_are_those_of_sandwich_and_clubsandwich(
    from_r: Path, data: str, method: str, fit: Fit
) -> None:
    rows = results(from_r, data, method)
    rows = rows[rows["type"] != "CR2"]
    assert len(rows) == (8 if method == "twfe_vcovCL" else 12)
    for row in rows.to_dict("records"):
        sample = stored(from_r, data, weights=row["weights"] == "w", x=row["x"] == "x")
        vcov = SANDWICH.get(row["type"], row["type"])
        estimate, error = att(fit(sample, DidSettings(vcov=vcov)))
        assert estimate == pytest.approx(row["estimate"], abs=STORED_ESTIMATE)
        assert error == pytest.approx(row["std_error"], rel=STORED_ERROR)


@pytest.mark.parametrize("fit", ENGINE)
def test_the_logit_is_that_of_fixest(from_r: Path, fit: Fit) -> None:
    row = results(from_r, "cases_bin_shared", "logit").iloc[0]
    sample = stored(from_r, "cases_bin_shared", x=True)
    options = DidSettings(model="logit", vcov="fixest")
    estimate, error = att(fit(sample, options), "log_odds")
    assert estimate == pytest.approx(row["estimate"], rel=STORED_LOGIT)
    assert error == pytest.approx(row["std_error"], rel=STORED_LOGIT)


@pytest.mark.r
@pytest.mark.parametrize("vcov", ["CR0", "CR1", "CR1S", "fixest"])
@pytest.mark.parametrize("model", ["linear", "logit"])
@pytest.mark.parametrize("form", ["twfe", "stacked", "pilot-post"])
def test_both_engines_agree(form: str, model: str, vcov: str) -> None:
    sample = matched(binary=model == "logit")
    options = DidSettings(form=form, model=model, vcov=vcov)
    one, two = fit_python(sample, options), fit_r(sample, options)
    pd.testing.assert_frame_equal(one.tidy, two.tidy, rtol=ENGINES, atol=ENGINES)
    assert one.glance == two.glance
    assert one.warnings == two.warnings


def dense(frame: pd.DataFrame, columns: list[NDArray[np.float64]]) -> tuple[float, float, int]:
    """Coefficient and CR0 error of the first column, and the rank, from all dummies written out."""
    x = np.column_stack(columns)
    w, y = frame["weight"].to_numpy(), frame["value"].to_numpy()
    bread = np.linalg.pinv(x.T @ (x * w[:, None]), hermitian=True)
    beta = bread @ (x.T @ (w * y))
    scores = pd.DataFrame(x * (w * (y - x @ beta))[:, None]).groupby(frame["cluster"]).sum()
    influence = scores.to_numpy() @ bread
    rank = np.linalg.matrix_rank(x * np.sqrt(w)[:, None])
    return float(beta[0]), float(np.sqrt((influence[:, 0] ** 2).sum())), int(rank)


def dummies(values: pd.Series) -> NDArray[np.float64]:
    return pd.get_dummies(values).to_numpy(float)


@pytest.mark.parametrize("form", ["twfe", "stacked", "pilot-post"])
def test_absorbing_gives_what_all_dummies_give(form: str) -> None:
    sample = matched()
    f = sample.frame
    further: list[Any] = [f["age"], dummies(f["ethnicity"])[:, 1:], f["disabled"]]
    effects: dict[str, list[Any]] = {
        "twfe": [dummies(f["unit"]), dummies(f["period"])],
        "stacked": [
            dummies(f["group"] + f["unit"]),
            dummies(f["group"] + f["period"].astype(str)),
        ],
        "pilot-post": [dummies(f["period"]), f["treated"], f["post"]],
    }
    columns = [np.asarray(c, float) for c in [f["treated"] * f["post"], *further, *effects[form]]]
    estimate, error, rank = dense(f, columns)
    n, g = len(f), f["cluster"].nunique()
    stata = g / (g - 1) * (n - 1) / (n - rank)
    plain = att(fit_python(sample, DidSettings(form=form, vcov="CR0")))
    wide = att(fit_python(sample, DidSettings(form=form, vcov="CR1S")))
    assert plain == pytest.approx((estimate, error), rel=DENSE)
    assert wide[1] == pytest.approx(error * np.sqrt(stata), rel=DENSE)


@pytest.mark.parametrize("fit", ENGINE)
def test_years_of_the_calendar_are_those_of_the_cases(fit: Fit) -> None:
    """As a sample whose periods are those of the calendar; the cells have none, and say so."""
    sample = matched()
    calendar = sample.frame["period"] + (sample.frame["group"] == "P1")
    given_both = replace(sample, frame=sample.frame.assign(calendar_period=calendar))
    plain = replace(sample, frame=sample.frame.assign(period=calendar))
    found = fit(given_both, DidSettings(form="pilot-post", years="calendar"))
    assert att(found) == pytest.approx(att(fit(plain, DidSettings(form="pilot-post"))), rel=ENGINES)
    assert att(found) != pytest.approx(att(fit(sample, DidSettings(form="pilot-post"))), rel=1e-3)
    with pytest.raises(EstimationError, match="no column 'calendar_period'"):
        fit(sample, DidSettings(years="calendar"))


def test_two_by_two_is_the_difference_of_differences() -> None:
    cells = {(1, 0): [3.0, 5.0], (1, 1): [9.0, 11.0], (0, 0): [1.0, 3.0, 2.0], (0, 1): [4.0]}
    sample = two_by_two(cells)
    for form in ("twfe", "pilot-post"):
        assert att(fit_python(sample, DidSettings(form=form)))[0] == pytest.approx((10 - 4) - 2)
    weight = np.where(sample.frame["value"] == 11, 3.0, 1.0)
    weighted = fit_python(with_columns(sample, weight=weight), DidSettings())
    assert att(weighted)[0] == pytest.approx((10.5 - 4) - 2)


@pytest.mark.parametrize("fit", ENGINE)
def test_one_pilot_and_one_comparator_give_no_standard_error(fit: Fit) -> None:
    cells = {(1, 0): [3.0, 5.0], (1, 1): [9.0, 11.0], (0, 0): [1.0, 3.0, 2.1], (0, 1): [4.0]}
    estimate = fit(two_by_two(cells), DidSettings())
    row = estimate.term("ATT")
    assert np.isfinite(row["estimate"])
    assert np.isnan([row[c] for c in ("std_error", "p_value", "conf_low", "df")]).all()
    assert any("too few for a standard error" in w for w in estimate.warnings)


def test_a_saturated_logit_has_a_closed_form() -> None:
    p = {(1, 0): 0.4, (1, 1): 0.7, (0, 0): 0.2, (0, 1): 0.3}
    cells = {k: [1.0] * round(10 * v) + [0.0] * round(10 - 10 * v) for k, v in p.items()}
    odds = {k: np.log(v / (1 - v)) for k, v in p.items()}
    log_odds = odds[1, 1] - odds[1, 0] - odds[0, 1] + odds[0, 0]
    fit = fit_python(two_by_two(cells, copies=2), DidSettings(model="logit"))
    assert att(fit, "log_odds")[0] == pytest.approx(log_odds)
    without = 1 / (1 + np.exp(-(odds[1, 1] - log_odds)))
    assert att(fit)[0] == pytest.approx(0.7 - without)


def test_the_interval_uses_t_with_clusters_minus_one() -> None:
    from scipy import stats

    fit = fit_python(matched(), DidSettings(conf_level=0.9, vcov="CR1"))
    row = fit.term("ATT")
    assert row["df"] == 8 - 1
    t = row["estimate"] / row["std_error"]
    assert row["statistic"] == pytest.approx(t)
    assert row["p_value"] == pytest.approx(2 * stats.t(7).sf(abs(t)))
    half = stats.t(7).ppf(0.95) * row["std_error"]
    assert row["conf_high"] - row["estimate"] == pytest.approx(half)
    assert row["estimate"] - row["conf_low"] == pytest.approx(half)


def test_the_true_effect_is_found() -> None:
    fit = fit_python(matched(20_000, effect=1.5), DidSettings(form="stacked"))
    estimate, error = att(fit)
    assert abs(estimate - 1.5) < 4 * error < 0.5


QUICK = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@QUICK
@given(seed=st.integers(0, 10**6), form=st.sampled_from(["twfe", "stacked", "pilot-post"]))
def test_splitting_a_case_in_halves_changes_nothing(seed: int, form: str) -> None:
    sample = matched(400, seed=seed)
    halves = sample.frame.assign(weight=sample.frame["weight"] / 2)
    doubled = replace(sample, frame=pd.concat([halves, halves], ignore_index=True))
    for vcov in ("CR0", "CR1", "CR2"):
        options = DidSettings(form=form, vcov=vcov)
        one, two = fit_python(sample, options), fit_python(doubled, options)
        pd.testing.assert_frame_equal(one.tidy, two.tidy, rtol=ENGINES)


@QUICK
@given(seed=st.integers(0, 10**6), model=st.sampled_from(["linear", "logit"]))
def test_names_and_order_change_nothing(seed: int, model: str) -> None:
    sample = matched(600, seed=seed, binary=model == "logit")
    rng = np.random.default_rng(seed)
    units = sorted(set(sample.frame["unit"]))
    names = dict(zip(units, rng.permutation([f"E{i:03}" for i in range(len(units))]), strict=True))
    frame = sample.frame.sample(frac=1, random_state=seed).reset_index(drop=True)
    renamed = frame.assign(**{c: frame[c].map(names) for c in ("unit", "cluster", "group")})
    options = DidSettings(form="stacked", model=model, vcov="fixest")
    one, two = (fit_python(s, options) for s in (sample, replace(sample, frame=renamed)))
    pd.testing.assert_frame_equal(one.tidy, two.tidy, rtol=1e-8)
    assert one.glance == two.glance


@QUICK
@given(seed=st.integers(0, 10**6), a=st.floats(-5, 5), b=st.floats(0.1, 10))
def test_values_may_be_shifted_and_scaled(seed: int, a: float, b: float) -> None:
    sample = matched(400, seed=seed)
    moved = with_columns(sample, value=a + b * sample.frame["value"])
    one, two = (att(fit_python(s, DidSettings())) for s in (sample, moved))
    assert two == pytest.approx((b * one[0], b * one[1]), rel=1e-7, abs=1e-9)


def broken(**columns: object) -> Sample:
    return with_columns(matched(300), **columns)


def only(mask: pd.Series) -> Sample:
    sample = matched(300)
    return sample.where(mask.reindex(sample.frame.index))


FRAME = matched(300).frame


@pytest.mark.parametrize("fit", ENGINE)
@pytest.mark.parametrize(
    ("sample", "sentence"),
    [
        (broken(treated=0), "No case belongs to a treated unit"),
        (
            only((FRAME["treated"] == 1) & (FRAME["group"] != "P1")),
            "cannot be told from authority and period effects, because every unit is treated",
        ),
        (only(FRAME["post"] == 1), "No treated unit has a case before its adoption"),
        (only(FRAME["post"] == 0), "No treated unit has a case after its adoption"),
        (broken(value=1.0), "The value is 1 in every case"),
        (broken(cluster="A"), r"All cases lie in one cluster \(A\)"),
        (broken(value=np.nan), "'value' has 300 missing or infinite values in 300 cases"),
        (broken(age=np.inf), "'age' has 300 missing"),
        (broken(weight=-1.0), "300 cases have a negative weight"),
        (broken(value="high"), "'value' holds .*must hold numbers"),
        (broken(post=2), "'post' must hold 0 and 1"),
        (only(FRAME["post"] == 9), "The sample has no cases"),
        (
            only((FRAME["period"] < 2013) | (FRAME["treated"] == 1) & (FRAME["period"] > 2013)),
            "cannot be told from authority and period effects, because .*comparators",
        ),
        (broken(age=FRAME["treated"] * FRAME["post"]), "cannot be told.*the covariates age"),
    ],
)
def test_samples_without_an_answer_say_why(sample: Sample, sentence: str, fit: Fit) -> None:
    with pytest.raises(EstimationError, match=sentence):
        fit(sample, DidSettings())


def test_forms_and_models_ask_for_what_they_need() -> None:
    sample = matched(300)
    no_groups = replace(sample, frame=sample.frame.drop(columns="group"))
    with pytest.raises(EstimationError, match=r"needs matched groups.*form = 'twfe'"):
        fit_python(no_groups, DidSettings(form="stacked"))
    with pytest.raises(EstimationError, match="needs a value of 0 or 1"):
        fit_python(sample, DidSettings(model="logit"))
    same = with_columns(sample, post=sample.frame["treated"] * sample.frame["post"])
    with pytest.raises(EstimationError, match="comparators have no cases on both sides"):
        fit_python(same, DidSettings(form="pilot-post"))
    many = with_columns(matched(2000), ethnicity=[f"id{i}" for i in range(2000)])
    with pytest.raises(EstimationError, match="'ethnicity' has 2000 levels"):
        fit_python(many, DidSettings())


@pytest.mark.parametrize("fit", ENGINE)
@pytest.mark.parametrize("model", ["linear", "logit"])
def test_an_effect_that_cannot_be_told_without_covariates_says_why(model: str, fit: Fit) -> None:
    sample = replace(matched(binary=True), covariates=())
    early = (sample.frame["treated"] == 1) | (sample.frame["period"] < 2013)
    pair = sample.where(early & (sample.frame["group"] == "P1"))
    with pytest.raises(EstimationError, match="no pilot has cases both before and after in"):
        fit(pair, DidSettings(model=model))


@pytest.mark.parametrize("fit", ENGINE)
def test_collinear_covariates_are_left_out_and_named(fit: Fit) -> None:
    sample = matched()
    f = sample.frame
    further = f.assign(
        density=f["unit"].map({u: float(i) for i, u in enumerate(sorted(f["unit"].unique()))}),
        twice=2 * f["age"],
        constant=1.0,
        empty=f["weight"] * 0 == 1,
    )
    names = ("density", *sample.covariates, "twice", "constant", "empty")
    with_them = fit(replace(sample, frame=further, covariates=names), DidSettings())
    assert att(with_them) == pytest.approx(att(fit(sample, DidSettings())), rel=ENGINES)
    assert "Covariates with one value only are left out: constant, empty." in with_them.warnings
    (said,) = (w for w in with_them.warnings if "collinear" in w)
    assert said.endswith("the covariates before them: density, twice.")


@pytest.mark.parametrize("fit", ENGINE)
def test_cases_that_a_logit_cannot_use_are_counted(fit: Fit) -> None:
    sample = matched(binary=True)
    frame = sample.frame.copy()
    frame.loc[frame["unit"] == "C4", "value"] = 1.0
    frame.loc[frame["ethnicity"] == "Black", "value"] = 0.0
    n = int(((frame["unit"] == "C4") | (frame["ethnicity"] == "Black")).sum())
    frame = frame[(frame["unit"] != "C4") | (frame["ethnicity"] != "Black")]
    n -= len(sample.frame) - len(frame)
    given_all = fit(replace(sample, frame=frame), DidSettings(model="logit"))
    used = frame[(frame["unit"] != "C4") & (frame["ethnicity"] != "Black")]
    given_used = fit(replace(sample, frame=used), DidSettings(model="logit"))
    pd.testing.assert_frame_equal(given_all.tidy, given_used.tidy, rtol=ENGINES)
    assert given_all.glance["n_cases"] == len(used) == len(frame) - n
    (said,) = (w for w in given_all.warnings if "perfectly" in w)
    assert said.startswith(f"{n} of {len(frame)} cases are left out of the logit")
    assert "by unit" in said
    assert "by ethnicity" in said


@pytest.mark.parametrize("fit", ENGINE)
def test_a_logit_without_finite_answer_says_so(fit: Fit) -> None:
    sample = matched(binary=True)
    f = sample.frame
    never = with_columns(sample, value=f["value"].where((f["treated"] * f["post"]) == 0, 0.0))
    with pytest.raises(EstimationError, match=r"treated cases after adoption have the value 0"):
        fit(never, DidSettings(model="logit"))
    separated = with_columns(sample, age=f["value"] * 10 + f["age"] / 100)
    with pytest.raises(EstimationError, match="did not converge"):
        fit(separated, DidSettings(model="logit"))


def test_warnings_that_a_reader_must_see() -> None:
    sample = matched()
    f = sample.frame
    assert (
        "Only 3 clusters are treated (fewer than 10)"
        in fit_python(sample, DidSettings(vcov="CR1")).warnings[0]
    )
    assert fit_python(sample, DidSettings(vcov="CR1", few_clusters=3)).warnings == ()
    (rough,) = fit_python(sample, DidSettings()).warnings
    assert rough.startswith("CR2 has fewer than 4 degrees of freedom for ATT (3.66)")
    single = fit_python(sample.where(f["group"] == "P1"), DidSettings())
    assert "Only one cluster is treated (P1)" in single.warnings[0]
    late = fit_python(sample.where((f["unit"] != "P2") | (f["post"] == 1)), DidSettings())
    assert any("(1 units, " in w and "no case before treatment" in w for w in late.warnings)
    without = fit_python(sample.where(f["unit"] != "P2"), DidSettings())
    assert att(late) == att(without)
    soon = fit_python(sample.where((f["unit"] != "P2") | (f["post"] == 0)), DidSettings())
    assert any("without a case after adoption: P2; they show no effect" in w for w in soon.warnings)
    zero = with_columns(sample, weight=f["weight"].where(f.index >= 7, 0.0))
    fit = fit_python(zero, DidSettings())
    assert "7 cases with weight 0 are left out." in fit.warnings
    assert fit.glance["n_cases"] == len(f) - 7
    assert att(fit) == att(fit_python(sample.where(f.index >= 7), DidSettings()))


def test_glance_has_the_keys_of_the_glossary() -> None:
    glance = fit_python(matched(), DidSettings()).glance
    assert set(GLANCE_COLUMNS) <= set(glance)
    expected = {
        "n_cases": 1500,
        "n_units": 8,
        "n_treated_units": 3,
        "n_clusters": 8,
        "n_periods": 8,
        "vcov": "CR2",
        "conf_level": 0.95,
    }
    assert {k: glance[k] for k in expected} == expected


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"vcov": "HC3"}, "setting 'vcov'.*'CR0'"),
        ({"form": "fixed"}, "setting 'form'.*'twfe'"),
        ({"conf_level": 1.0}, "setting 'conf_level': .*less than 1"),
        ({"vcv": "CR0"}, "unknown setting 'vcv'. Did you mean 'vcov'"),
    ],
)
def test_settings_are_checked(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        validate(DidSettings, values, where="did")


def test_the_plugin_registers_one_estimator() -> None:
    registered: list[object] = []
    classic.register_estimators(registered.append)
    (did,) = registered
    assert isinstance(did, Did)
    assert (did.name, did.headline(DidSettings())) == ("did", "ATT")
    assert [e.name for e in did.engines] == ["python", "pyfixest", "r", "r-fixest"]


def engine(name: str) -> Engine:
    (named,) = [e for e in Did.engines if e.name == name]
    return named


def test_the_r_engine_is_missing_when_r_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOS_NO_R", "1")
    assert engine("python").missing() == ()
    for name in ("r", "r-fixest"):
        (told,) = engine(name).missing()
        assert "switched off" in told


def test_the_r_engine_declines_thousands_of_dummies() -> None:
    sample = matched(3000)
    many = with_columns(sample, unit=[f"U{i}" for i in range(3000)])
    assert "3008, more than 2000" in str(r_engine.too_many_effects(many, "twfe"))
    assert engine("r").limits(sample, DidSettings()) is None


@pytest.mark.r
def test_an_r_user_can_source_the_script(tmp_path: Path) -> None:
    sample = matched()
    sample.frame.to_csv(tmp_path / "cases.csv", index=False)
    code = f"""
    source("{(r_engine.FOLDER / "did.R").as_posix()}", chdir = TRUE)
    cases <- read.csv("{(tmp_path / "cases.csv").as_posix()}", stringsAsFactors = TRUE)
    cases$disabled <- cases$disabled == "True"
    fit <- did_fit(cases, "stacked", covariates = c("age", "ethnicity", "disabled"))
    cat(sprintf("%.15g", c(fit$estimate, fit$std_error)))
    """
    ran = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=True)
    told = [float(v) for v in ran.stdout.split()]
    assert told == pytest.approx(att(fit_python(sample, DidSettings(form="stacked"))), rel=ENGINES)
