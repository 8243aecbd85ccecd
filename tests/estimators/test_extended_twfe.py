"""Extended two-way fixed effects: lm of R, dense regressions, identities with other estimators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import staggered_samples as made
from sos_estimators import extended_twfe, imputed, sun_abraham
from sos_estimators.callaway_santanna import engine_python as group_time
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.extended_twfe import ExtendedTwfe, ExtendedTwfeSettings
from sos_estimators.imputed import ImputationSettings
from sos_estimators.sun_abraham import SunAbrahamSettings

from sos_plugins import Estimate, Sample
from sos_plugins.authors.testing import estimator_checks
from sos_plugins.errors import EstimationError

AGGREGATES = ("event", "group-time", "cohort", "calendar", "simple")
FORMS = [(c, e) for c in ("notyettreated", "nevertreated") for e in ("unit", "cohort")]
PAIRS = [(g, t) for g in (3, 4, 5) for t in range(g, 7)]


DELTA = 1e-8  # relative; slopes of raw covariates lose digits that centred ones keep


def fit(sample: Sample, **options: Any) -> Estimate:
    """Estimate with the errors of the method's own formula, unless others are asked for."""
    chosen = ExtendedTwfeSettings(**{"errors": "analytic", **options})
    return extended_twfe.fit_python(sample, chosen)


def effects_of(estimate: Estimate) -> pd.Series:
    return estimate.tidy.set_index("term")["estimate"].drop("overall")


@pytest.mark.r
@pytest.mark.parametrize(("control", "effects"), FORMS)
@pytest.mark.parametrize(
    ("adjustment", "aggregate"), [("additive", "event"), *(("interacted", a) for a in AGGREGATES)]
)
def test_r_agrees_on_weighted_cases_with_covariates(
    aggregate: str, control: str, effects: str, adjustment: str
) -> None:
    options = ExtendedTwfeSettings(
        aggregate=aggregate,
        control=control,
        effects=effects,
        adjustment=adjustment,
        vcov="fixest",
    )
    sample = made.cases()
    made.assert_same(
        extended_twfe.fit_python(sample, options), extended_twfe.fit_r(sample, options)
    )


def columns_for_r(sample: Sample) -> dict[str, Any]:
    frame = sample.frame
    numbers = ("value", "weight", "period", "age", "cohort", "flag")
    columns: dict[str, Any] = {c: frame[c].to_numpy() for c in numbers}
    return columns | {c: pd.Categorical(frame[c]) for c in ("unit", "cluster", "ethnicity")}


DIRECT = """
direct <- function(data) {
  data$effect <- ifelse(data$cohort > 0 & data$period >= data$cohort,
                        paste(data$cohort, data$period), "none")
  data$effect <- relevel(factor(data$effect), "none")
  fit <- lm(value ~ factor(unit) + factor(period) + age + ethnicity + flag + effect,
            data = data, weights = weight)
  chosen <- grep("^effect", names(coef(fit)))
  V <- sandwich::vcovCL(fit, cluster = data$cluster, type = "HC1")
  list(effect = sub("effect", "", names(coef(fit))[chosen]), estimate = unname(coef(fit)[chosen]),
       std_error = unname(sqrt(diag(V)[chosen])))
}
"""


@pytest.mark.r
def test_effects_are_coefficients_of_lm_on_cases(tmp_path: Path) -> None:
    from sos_plugins.r import client as r

    script = tmp_path / "direct.R"
    script.write_text(DIRECT)
    sample = made.cases()
    answer = r.call(script, "direct", columns_for_r(sample))
    options = {"aggregate": "group-time", "vcov": "CR1S", "adjustment": "additive"}
    tidy = fit(sample, **options).tidy.set_index("term")
    rows = tidy.loc[[f"ATT({effect.replace(' ', ',')})" for effect in answer["effect"]]]
    assert len(rows) == len(PAIRS)
    np.testing.assert_allclose(rows["estimate"], answer["estimate"], rtol=made.EXACT)
    np.testing.assert_allclose(rows["std_error"], answer["std_error"], rtol=made.EXACT)


INTERACTED = """
interacted <- function(data) {
  data$effect <- ifelse(data$cohort > 0 & data$period >= data$cohort,
                        paste(data$cohort, data$period), "none")
  data$effect <- relevel(factor(data$effect), "none")
  x <- model.matrix(~ age + ethnicity + flag, data)[, -1]
  fit <- lm(value ~ factor(unit) + factor(period) + x + x:factor(cohort) + x:factor(period) +
              effect + effect:x, data = data, weights = weight)
  b <- coef(fit)
  V <- sandwich::vcovCL(fit, cluster = data$cluster, type = "HC1")
  b <- b[!is.na(b)]
  V <- V[names(b), names(b)]
  answer <- lapply(c("cohort-period", "cohort"), function(centre) {
    contrasts <- t(sapply(levels(data$effect)[-1], function(level) {
      here <- data$effect == level
      rows <- if (centre == "cohort") data$cohort == data$cohort[here][1] else here
      at <- apply(x[rows, ], 2, weighted.mean, data$weight[rows])
      one <- setNames(numeric(length(b)), names(b))
      one[paste0("effect", level)] <- 1
      one[paste0("x", colnames(x), ":effect", level)] <- at
      one
    }))
    list(estimate = drop(contrasts %*% b), error = sqrt(diag(contrasts %*% V %*% t(contrasts))))
  })
  list(effect = levels(data$effect)[-1],
       estimate_cell = answer[[1]]$estimate, error_cell = answer[[1]]$error,
       estimate_cohort = answer[[2]]$estimate, error_cohort = answer[[2]]$error)
}
"""


@pytest.mark.r
@pytest.mark.parametrize("centre", ["cohort-period", "cohort"])
def test_interacted_effects_are_averages_of_an_uncentred_lm_on_cases(
    tmp_path: Path, centre: str
) -> None:
    """Slopes are those of lm with raw interactions; effects are evaluated at means by hand."""
    from sos_plugins.r import client as r

    script = tmp_path / "interacted.R"
    script.write_text(INTERACTED)
    sample = made.cases(n=12)
    answer = r.call(script, "interacted", columns_for_r(sample))
    estimate = fit(sample, aggregate="group-time", vcov="CR1S", centre=centre)
    tidy = estimate.tidy.set_index("term")
    rows = tidy.loc[[f"ATT({effect.replace(' ', ',')})" for effect in answer["effect"]]]
    key = "cohort" if centre == "cohort" else "cell"
    assert len(rows) == len(PAIRS)
    np.testing.assert_allclose(rows["estimate"], answer[f"estimate_{key}"], rtol=DELTA)
    np.testing.assert_allclose(rows["std_error"], answer[f"error_{key}"], rtol=DELTA)
    assert not any("collinear" in told for told in estimate.warnings)


def assert_imputed(sample: Sample) -> None:
    """Compare effects with what a dense regression of the untreated leaves of the treated.

    With cohort effects, treated cases have slopes of their own and say nothing of the rest, so both
    are the same (Wooldridge 2025, section 6). The pseudo-inverse gives slopes that no untreated
    case tells the value 0.
    """
    frame = sample.frame
    x = made.dense(sample)[:, -4:]
    effects = [pd.get_dummies(frame[c]).iloc[:, 1:].to_numpy(float) for c in ("cohort", "period")]
    by = [x * dummy[:, None] for d in effects for dummy in d.T]
    Z = np.column_stack([np.ones(len(frame)), *effects, x, *by])
    free = ((frame["cohort"] == 0) | (frame["period"] < frame["cohort"])).to_numpy()
    weight, value = (frame[c].to_numpy(float) for c in ("weight", "value"))
    root = np.sqrt(weight[free])
    left = value - Z @ (np.linalg.pinv(Z[free] * root[:, None]) @ (value[free] * root))
    tidy = fit(sample, aggregate="group-time", effects="cohort").tidy.set_index("term")
    for g, t in PAIRS:
        here = ((frame["cohort"] == g) & (frame["period"] == t)).to_numpy()
        expected = np.average(left[here], weights=weight[here])
        assert tidy.loc[f"ATT({g},{t})", "estimate"] == pytest.approx(expected, rel=DELTA)


def test_interacted_effects_are_what_a_regression_of_untreated_cases_leaves() -> None:
    assert_imputed(made.cases(n=12))


def test_a_level_that_untreated_cases_of_a_cohort_lack_costs_a_slope_and_no_effect() -> None:
    sample = made.cases(n=12)
    frame = sample.frame
    lacks = (frame["cohort"] == 5) & (frame["period"] < 5) & (frame["ethnicity"] == "c")
    fewer = sample.where(~lacks)
    assert_imputed(fewer)
    (told,) = [w for w in fit(fewer, effects="cohort").warnings if "collinear" in w]
    assert told.endswith(": ethnicity=c of cohort 5.")


def test_constant_covariates_of_units_change_effects_when_interacted_only() -> None:
    sample = made.panel(units=42)
    unit = sample.frame["unit"].str[1:].astype(int)
    value = sample.frame["value"] + 0.2 * (unit % 5) * sample.frame["period"]
    constant = Sample(sample.frame.assign(size=(unit % 5).astype(float), value=value), ("size",))
    additive = fit(constant, adjustment="additive")
    assert any("collinear with effects of units and periods: size." in w for w in additive.warnings)
    interacted = {centre: fit(constant, centre=centre) for centre in ("cohort-period", "cohort")}
    made.assert_same(interacted["cohort-period"], interacted["cohort"])
    overall = interacted["cohort"].term("overall")
    assert overall["estimate"] != pytest.approx(additive.term("overall")["estimate"], rel=1e-3)
    assert not any("collinear" in w for w in interacted["cohort"].warnings)


@pytest.mark.parametrize("unit", ["unit", "cohort"])
def test_averages_have_the_delta_method_of_a_dense_regression(unit: str) -> None:
    sample = made.cases()
    columns = np.column_stack(
        [made.dense(sample, unit=unit), made.effect_dummies(sample.frame, PAIRS)]
    )
    beta, variance = made.dense_regression(sample, columns)
    total = sample.frame.groupby(["cohort", "period"])["weight"].sum()
    estimate = fit(sample, effects=unit, vcov="CR0", adjustment="additive")
    for event in range(4):
        share = np.array([total[g, t] if t - g == event else 0.0 for g, t in PAIRS])
        share /= share.sum()
        row = estimate.term(f"event={event}")
        assert row["estimate"] == pytest.approx(share @ beta[-len(PAIRS) :], rel=made.EXACT)
        error = np.sqrt(share @ variance[-len(PAIRS) :, -len(PAIRS) :] @ share)
        assert row["std_error"] == pytest.approx(error, rel=made.EXACT)


# ---- identities ----------------------------------------------------------------------------------


@pytest.mark.parametrize("effects", ["unit", "cohort"])
@pytest.mark.parametrize("anticipation", [0, 1])
def test_on_a_balanced_panel_effects_are_those_of_imputation(
    effects: str, anticipation: int
) -> None:
    sample = made.panel()
    common: dict[str, Any] = {"aggregate": "group-time", "anticipation": anticipation}
    ours = effects_of(fit(sample, effects=effects, **common))
    other = effects_of(imputed.impute(sample, ImputationSettings(**common)))
    np.testing.assert_allclose(ours, other[ours.index], rtol=made.EXACT)


def test_with_cohort_effects_effects_on_cases_are_those_of_imputation_by_cohort() -> None:
    sample = made.cases()
    common: dict[str, Any] = {"aggregate": "group-time", "effects": "cohort"}
    ours = effects_of(fit(sample, **common, adjustment="additive"))
    by_cohort = sample.frame.assign(unit=sample.frame["cohort"].astype(str))
    options = ImputationSettings(aggregate="group-time")
    other = effects_of(imputed.impute(Sample(by_cohort, sample.covariates), options))
    # Treated cases help to find the coefficients of covariates here, and not in imputation, so
    # the identity holds without covariates only.
    assert not np.allclose(ours, other[ours.index], rtol=made.EXACT)
    ours = effects_of(fit(Sample(sample.frame), **common))
    other = effects_of(imputed.impute(Sample(by_cohort), options))
    np.testing.assert_allclose(ours, other[ours.index], rtol=made.EXACT)


@pytest.mark.parametrize("make", [made.panel, made.cases])
@pytest.mark.parametrize("errors", ["analytic", "own-effects"])
def test_against_never_treated_units_it_is_sun_and_abraham(make: Any, errors: str) -> None:
    sample = make()
    ours = fit(sample, control="nevertreated", adjustment="additive", errors=errors)
    made.assert_same(ours, sun_abraham.fit_python(sample, SunAbrahamSettings(errors=errors)))


def test_on_a_panel_with_cohort_effects_it_is_callaway_and_santanna_against_never_treated() -> None:
    sample = made.panel()
    ours = fit(sample, control="nevertreated", effects="cohort", aggregate="group-time")
    options = CallawaySantAnnaSettings(method="reg", base="universal")
    other = group_time.fit(sample, options).tidy.set_index("term")["estimate"]
    for term, estimate in effects_of(ours).items():
        assert estimate == pytest.approx(other[term], rel=made.EXACT, abs=made.EXACT)


@pytest.mark.parametrize("control", ["notyettreated", "nevertreated"])
def test_one_cohort_and_one_period_before_make_all_estimators_one(control: str) -> None:
    """With cohort 2 alone, in a panel, the first period is the only base there is."""
    sample = made.panel(cohorts=(0, 2))
    ours = effects_of(fit(sample, control=control, aggregate="group-time"))
    options = CallawaySantAnnaSettings(method="reg", control="notyettreated")
    for estimate in (
        group_time.fit(sample, options),
        imputed.impute(sample, ImputationSettings(aggregate="group-time")),
        sun_abraham.fit_python(sample, SunAbrahamSettings(aggregate="group-time")),
    ):
        other = effects_of(estimate)
        shared = [term for term in ours.index if term != "ATT(2,1)"]
        np.testing.assert_allclose(ours[shared], other[shared], rtol=made.EXACT)


def test_until_others_adopt_a_first_cohort_with_one_period_before_is_compared_not_yet() -> None:
    """Cohort 2 is compared with all others, in all periods since the first, until cohort 4 adopts.

    From then on the regression, unlike Callaway and Sant'Anna, goes on using what cohort 4 said.
    """
    sample = made.panel(cohorts=(0, 2, 4))
    ours = effects_of(fit(sample, aggregate="group-time"))
    options = CallawaySantAnnaSettings(method="reg", control="notyettreated")
    other = effects_of(group_time.fit(sample, options))
    same = ["ATT(2,2)", "ATT(2,3)"]
    np.testing.assert_allclose(ours[same], other[same], rtol=made.EXACT)
    assert ours["ATT(2,4)"] != pytest.approx(other["ATT(2,4)"], rel=made.EXACT)


def test_a_two_by_two_is_a_difference_of_differences() -> None:
    sample = made.panel(cohorts=(0, 2))
    frame = sample.frame[sample.frame["period"] <= 2]
    means = {
        key: float(np.average(rows["value"], weights=rows["weight"]))
        for key, rows in frame.groupby(["cohort", "period"])
    }
    expected = means[2, 2] - means[2, 1] - means[0, 2] + means[0, 1]
    estimate = fit(Sample(frame.reset_index(drop=True)))
    assert estimate.term("overall")["estimate"] == pytest.approx(expected, rel=made.EXACT)


# ---- the rest ------------------------------------------------------------------------------------


def test_without_never_treated_units_it_compares_with_those_not_treated_yet() -> None:
    sample = made.cases(never=False)
    estimate = fit(sample, aggregate="cohort")
    assert list(estimate.tidy["term"]) == ["overall", "cohort=3", "cohort=4", "cohort=5"]
    assert any("In the periods 6 no unit that is not treated yet" in w for w in estimate.warnings)
    with pytest.raises(EstimationError, match="no never-treated unit"):
        fit(sample, control="nevertreated")


def test_an_effect_that_cannot_be_told_is_an_error() -> None:
    """No authority of cohort 5 has cases both before and after: unit effects take all there is."""
    sample = made.cases(units=21)
    frame = sample.frame
    members = sorted(frame.loc[frame["cohort"] == 5, "unit"].unique())
    early = frame["unit"].isin(members[:1]) & (frame["period"] < 5)
    late = frame["unit"].isin(members[1:]) & (frame["period"] >= 5)
    apart = sample.where((frame["cohort"] != 5) | early | late)
    with pytest.raises(EstimationError, match=r"ATT\(5,6\) cannot be told from the effects"):
        fit(apart)
    assert fit(apart, effects="cohort").term("overall")["std_error"] > 0


def test_splitting_cases_changes_nothing() -> None:
    sample = made.cases()
    made.assert_same(fit(sample), fit(made.split_in_halves(sample)))


@pytest.mark.parametrize(("control", "effects"), FORMS)
def test_it_keeps_the_contract(control: str, effects: str) -> None:
    for check in estimator_checks(ExtendedTwfe(), {"control": control, "effects": effects}):
        check()
