"""Dates dealt out anew: the same as refitting, in Python and in R; known size, sets that hold."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sos_estimators.callaway_santanna import CallawaySantAnna
from sos_estimators.event_study import EventStudy
from sos_estimators.extended_twfe import ExtendedTwfe
from sos_estimators.imputed import Imputation, TwoStage
from sos_estimators.inference.sign_flips import sign_test, t_test
from sos_estimators.reassignment import estimators as reassignment
from sos_estimators.reassignment.averages import Evaluate
from sos_estimators.reassignment.randomise import assignments, number_of_assignments, randomise
from sos_estimators.regression.engine_r import FOLDER
from sos_estimators.stacked import Stacked
from sos_estimators.staggered.cohort_cells import make_cells
from sos_estimators.sun_abraham import SunAbraham

from sos_plugins import Estimate, Estimator, Sample
from sos_plugins.contract.types import AssignmentDraws
from sos_plugins.errors import EstimationError
from sos_plugins.r import client as r

REFIT = 1e-9  # of estimates and errors of size one; the same sums in another order
EXACT = 1e-12  # p values are counts of the same assignments
ENDS = 1e-6  # of ends of confidence sets, found by halving
SIMULATED = 0.045  # of a size of 5% from 150 samples: 2.5 standard errors of chance
YEARS = 6


def frame(seed: int, dates: tuple[int, ...], n_units: int, *, covariate: bool) -> pd.DataFrame:
    """Cells of authorities and years, of unlike weight."""
    rng = np.random.default_rng(seed)
    cohort = np.zeros(n_units, dtype=np.int64)
    cohort[: len(dates)] = dates
    unit = np.repeat([f"E{u:02}" for u in range(n_units)], YEARS)
    table = pd.DataFrame({"unit": unit, "cluster": unit})
    table["period"] = np.tile(np.arange(1, YEARS + 1), n_units)
    table["value"] = rng.normal(size=(n_units, YEARS)).cumsum(axis=1).ravel()
    table["weight"] = rng.uniform(0.5, 3.0, len(table))
    if covariate:
        table["x"] = rng.normal(size=len(table))
    return adopted(table, cohort)


def adopted(table: pd.DataFrame, cohort: Any) -> pd.DataFrame:
    """The same cells with other dates of adoption."""
    units = sorted(table["unit"].unique())
    starts = table["unit"].map(dict(zip(units, np.asarray(cohort).tolist(), strict=True)))
    treated = starts > 0
    post = treated & (table["period"] >= starts)
    return table.assign(cohort=starts, treated=treated.astype(int), post=post.astype(int))


@dataclass(frozen=True)
class Case:
    """An estimator with settings, and how to evaluate it."""

    plugin: Estimator
    settings: dict[str, Any]
    covariate: bool = False

    def __str__(self) -> str:
        shown = "-".join(str(value) for value in self.settings.values())
        return f"{self.plugin.name}-{shown}{'-x' if self.covariate else ''}"

    def sample(self, table: pd.DataFrame) -> Sample:
        return Sample(table, ("x",) if self.covariate else ())

    def options(self) -> Any:
        leads = {"leads": False} if self.plugin.name == "imputation" else {}
        return self.plugin.Settings(errors="own-effects", **leads, **self.settings)

    def fit(self, table: pd.DataFrame) -> Estimate:
        return self.plugin.engines[0].fit(self.sample(table), self.options())

    def evaluator(self, table: pd.DataFrame) -> tuple[Evaluate, Any]:
        options = self.options()
        control = getattr(options, "control", "nevertreated")
        cells = make_cells(self.sample(table), options, control)
        if self.plugin.name == "stacked":
            cohorts = sorted(set(table["cohort"]) - {0})
            return reassignment.stacked(cells, options, cohorts)
        if self.plugin.name == "callaway-santanna":
            return reassignment.group_time(cells, options)
        if self.plugin.name in ("imputation", "two-stage"):
            return reassignment.imputed(cells, options)
        leads = self.plugin.name == "sun-abraham" or control == "nevertreated"
        return reassignment.saturated(cells, options, leads=leads)


AVERAGES = ("simple", "event", "cohort", "calendar")
CASES = [
    *(
        Case(plugin, {"aggregate": aggregate})
        for plugin in (SunAbraham(), Imputation(), TwoStage(), ExtendedTwfe(), CallawaySantAnna())
        for aggregate in AVERAGES
    ),
    *(Case(Stacked(), {"aggregate": a, "before": 1, "after": 1}) for a in ("simple", "event")),
    Case(Stacked(), {"aggregate": "event", "before": 1, "after": 1, "weights": "none"}),
    Case(Stacked(), {"aggregate": "event", "before": 1, "after": 0, "control": "nevertreated"}),
    *(
        Case(plugin, {"aggregate": "event", "control": "nevertreated"})
        for plugin in (Imputation(), TwoStage(), ExtendedTwfe())
    ),
    Case(CallawaySantAnna(), {"aggregate": "event", "control": "notyettreated"}),
    Case(CallawaySantAnna(), {"aggregate": "event", "base": "universal"}),
    Case(Imputation(), {"aggregate": "event", "max_event": 1}),
    Case(Imputation(), {"aggregate": "event"}, covariate=True),
    Case(TwoStage(), {"aggregate": "event"}, covariate=True),
    Case(SunAbraham(), {"aggregate": "event"}, covariate=True),
    Case(ExtendedTwfe(), {"aggregate": "event", "adjustment": "additive"}, covariate=True),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_the_same_as_refitting(case: Case) -> None:
    table = frame(1, (3, 3, 4, 5), 12, covariate=case.covariate)
    evaluate, cohort = case.evaluator(table)
    for seed in range(3):
        dealt = np.random.default_rng(seed).permutation(cohort) if seed else cohort
        refitted = case.fit(adopted(table, dealt)).tidy.set_index("term")
        drawn = randomise(_One(evaluate, dealt), dealt, draws=1, seed=1, conf_level=0.95)
        shared = [name for name in evaluate.names if name in refitted.index]
        assert len(shared) == len(refitted)
        ours = pd.DataFrame(
            {"estimate": drawn.estimates, "std_error": drawn.std_errors}, index=evaluate.names
        ).loc[shared]
        expected = refitted.loc[shared, ["estimate", "std_error"]]
        reference = expected["estimate"] == 0
        ours.loc[reference, "std_error"] = np.nan
        np.testing.assert_allclose(ours, expected, rtol=REFIT, atol=REFIT)


@dataclass(frozen=True)
class _One:
    """An evaluator of one assignment, whatever is dealt."""

    evaluate: Evaluate
    cohort: Any

    @property
    def names(self) -> tuple[str, ...]:
        return self.evaluate.names

    def without(self, unit: int) -> Evaluate:
        return self.evaluate.without(unit)

    def __call__(self, cohort: Any) -> Any:
        return self.evaluate(self.cohort)


def test_assignments_are_all_there_are_and_each_once() -> None:
    cohort = np.array([4, 0, 5, 0, 4])
    every, complete = assignments(cohort, draws=1000, seed=1)
    assert complete
    assert len(every) == number_of_assignments(cohort) == 30
    distinct = {tuple(row) for row in itertools.permutations(cohort.tolist())}
    assert {tuple(row) for row in every.tolist()} == distinct
    some, complete = assignments(cohort, draws=29, seed=1)
    assert (len(some), complete) == (29, False)


BRUTE = [
    Case(SunAbraham(), {"aggregate": "simple"}),
    Case(Imputation(), {"aggregate": "simple"}),
    Case(CallawaySantAnna(), {"aggregate": "simple"}),
]


@pytest.mark.parametrize("case", BRUTE, ids=str)
def test_p_values_are_shares_of_refitted_assignments(case: Case) -> None:
    table = frame(2, (4, 5), 7, covariate=False)
    evaluate, cohort = case.evaluator(table)
    drawn = randomise(evaluate, cohort, draws=999, seed=1, conf_level=0.9)
    assert drawn.complete
    every, _ = assignments(cohort, draws=999, seed=1)
    rows = [case.fit(adopted(table, dealt)).term("overall") for dealt in every]
    observed = case.fit(table).term("overall")
    for what, ours in (("estimate", drawn.p_beta[0]), ("statistic", drawn.p_t[0])):
        sizes = np.abs([row[what] for row in rows])
        expected = np.mean(sizes >= abs(observed[what]) * (1 - 1e-9))
        assert ours == pytest.approx(expected, rel=EXACT)
    assert drawn.smallest(drawn.assignments[0]) == pytest.approx(1 / len(every))


@pytest.mark.parametrize("case", BRUTE, ids=str)
def test_ends_of_the_confidence_set_are_where_an_effect_is_rejected(case: Case) -> None:
    """Taking an effect out of the treated values and testing again decides each end."""
    table = frame(3, (3, 4, 5), 9, covariate=False)
    evaluate, cohort = case.evaluator(table)
    drawn = randomise(evaluate, cohort, draws=504, seed=1, conf_level=0.9)
    for end, outward in ((drawn.conf_low[0], -1.0), (drawn.conf_high[0], 1.0)):
        for step, rejected in ((-ENDS, False), (ENDS, True)):
            size = float(end) + outward * step
            moved = table.assign(value=table["value"] - size * table["post"])
            again, same = case.evaluator(moved)
            p = randomise(again, same, draws=504, seed=1, conf_level=0.9).p_t[0]
            assert (p <= 0.1 + EXACT) == rejected


@pytest.mark.parametrize("case", BRUTE, ids=str)
def test_the_jackknife_refits_without_each_authority(case: Case) -> None:
    table = frame(4, (3, 3, 4, 5), 10, covariate=False)
    options = case.options().model_copy(update={"inference": ("jackknife",)})
    estimate = case.plugin.engines[0].fit(case.sample(table), options)
    ours = pd.DataFrame(estimate.glance["inference"]).set_index("term").loc["overall"]
    without = np.array(
        [
            case.fit(table[table["unit"] != u]).term("overall")["estimate"]
            for u in set(table["unit"])
        ]
    )
    whole = case.fit(table).term("overall")["estimate"]
    n = len(without)
    expected = np.sqrt((n - 1) / n * np.square(without - whole).sum())
    assert ours["std_error"] == pytest.approx(expected, rel=REFIT)


@pytest.mark.r
@pytest.mark.parametrize("script", ["sun_abraham", "imputation", "two_stage", "extended_twfe"])
def test_r_deals_out_all_dates_alike(script: str, tmp_path: Path) -> None:
    plugin = {
        "sun_abraham": SunAbraham(),
        "imputation": Imputation(),
        "two_stage": TwoStage(),
        "extended_twfe": ExtendedTwfe(),
    }[script]
    leads = ", leads = FALSE" if script == "imputation" else ""
    code = tmp_path / "twin.R"
    code.write_text(
        f'''
twin <- function(data, arguments) {{
  home <- setwd("{FOLDER.as_posix()}")
  on.exit(setwd(home))
  source("few_treated.R", local = TRUE)
  source("{script}.R", local = TRUE)
  fit <- function(cases) {script}(cases, aggregate = "simple", own_effects = TRUE{leads})
  c(randomised(fit, data), list(jackknife = jackknifed(fit, data)))
}}
''',
        encoding="utf-8",
    )
    table = frame(5, (4, 5), 7, covariate=False)
    numbers = pd.factorize(table["unit"], sort=True)[0] + 1
    columns = {name: table[name].to_numpy() for name in ("value", "weight", "period", "cohort")}
    answer = r.call(code, "twin", {**columns, "unit": numbers, "cluster": numbers}, {})
    case = Case(plugin, {"aggregate": "simple"})
    evaluate, cohort = case.evaluator(table)
    drawn = randomise(evaluate, cohort, draws=999, seed=1, conf_level=0.95)
    assert int(np.ravel(answer["assignments"])[0]) == drawn.assignments[0]
    for name, ours in (("p_beta", drawn.p_beta[0]), ("p_t", drawn.p_t[0])):
        assert float(np.ravel(answer[name])[0]) == pytest.approx(ours, rel=REFIT)
    options = case.options().model_copy(update={"inference": ("jackknife",)})
    table_of = plugin.engines[0].fit(case.sample(table), options).glance["inference"]
    expected = table_of[0]["std_error"]
    assert float(np.ravel(answer["jackknife"])[0]) == pytest.approx(expected, rel=REFIT)


@pytest.mark.r
def test_r_flips_signs_alike(tmp_path: Path) -> None:
    code = tmp_path / "flips.R"
    code.write_text(
        f'''
flips <- function(data, arguments) {{
  source("{(FOLDER / "few_treated.R").as_posix()}", local = TRUE)
  list(p = sign_flips(data$own), t = t.test(data$own)$p.value,
       low = t.test(data$own)$conf.int[1])
}}
''',
        encoding="utf-8",
    )
    for seed, q in ((1, 3), (2, 6), (3, 9)):
        own = np.random.default_rng(seed).normal(0.4, 1.0, q)
        answer = r.call(code, "flips", {"own": own}, {})
        flipped, by_t = sign_test(own, 0.95), t_test(own, 0.95)
        assert flipped.p_value == pytest.approx(float(np.ravel(answer["p"])[0]), rel=EXACT)
        assert by_t.p_value == pytest.approx(float(np.ravel(answer["t"])[0]), rel=REFIT)
        assert by_t.conf_low == pytest.approx(float(np.ravel(answer["low"])[0]), rel=REFIT)
        assert flipped.p_value >= 2 / 2**q


def test_the_set_of_sign_vectors_is_where_an_effect_is_rejected() -> None:
    own = np.random.default_rng(6).normal(1.0, 0.7, 8)
    tested = sign_test(own, 0.9)
    for end, outward in ((tested.conf_low, -1.0), (tested.conf_high, 1.0)):
        assert sign_test(own - (end - outward * ENDS), 0.9).p_value > 0.1
        assert sign_test(own - (end + outward * ENDS), 0.9).p_value <= 0.1


def test_few_signs_leave_the_set_open() -> None:
    tested = sign_test(np.array([1.0, 1.2, 0.9]), 0.95)
    assert tested.p_value == pytest.approx(2 / 8)
    assert (tested.conf_low, tested.conf_high) == (-np.inf, np.inf)


def test_what_cannot_be_trusted_is_said() -> None:
    table = frame(7, (4,), 9, covariate=False)
    options = Imputation.Settings(aggregate="simple", inference=("RI-t", "RI-beta", "sign-flips"))
    estimate = Imputation().engines[0].fit(Sample(table), options)
    rows = pd.DataFrame(estimate.glance["inference"]).set_index("method")
    assert rows.loc["RI-t", "p_value"] is None or np.isnan(float(rows.loc["RI-t", "p_value"]))
    assert 0 < float(rows.loc["RI-beta", "p_value"]) <= 1
    told = " ".join(estimate.warnings)
    assert "RI-t needs two treated authorities" in told
    assert "no p value of RI-beta is below 0.11" in told
    assert "RI-t allows for that" in told


def test_with_covariates_that_change_there_is_a_sentence() -> None:
    table = frame(8, (3, 3, 3, 4, 4, 4), 24, covariate=True)
    options = CallawaySantAnna.Settings(aggregate="simple", method="reg", inference=("RI-t",))
    estimate = CallawaySantAnna().engines[0].fit(Sample(table, ("x",)), options)
    assert "inference" not in estimate.glance
    assert any(
        w.startswith("There is no table of inference: with covariates") for w in estimate.warnings
    )


LOTS = AssignmentDraws(tuple(f"E{u:02}" for u in range(9)), 6, seed=4)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.settings["aggregate"] == "event"], ids=str
)
def test_statistics_by_lot_are_those_of_refitting(case: Case) -> None:
    """The dates 4, 4 and 5 go to the three authorities with the first lots."""
    table = frame(11, (5, 4, 4), 9, covariate=case.covariate)
    found = case.plugin.reassigned(case.sample(table), case.options(), LOTS)
    seen = case.fit(table).term("overall")
    assert found.estimate == pytest.approx(seen["estimate"], rel=REFIT)
    assert found.statistic == pytest.approx(seen["statistic"], rel=REFIT)
    assert found.n_possible == 252
    for order, statistic in zip(LOTS.orders(LOTS.units), found.drawn, strict=True):
        cohort = np.zeros(9, dtype=np.int64)
        cohort[order[:3]] = (4, 4, 5)
        refit = case.fit(adopted(table, cohort)).term("overall")
        assert statistic == pytest.approx(refit["statistic"], rel=REFIT)


def test_what_has_no_new_assignments_is_a_clause() -> None:
    sample = Sample(frame(1, (4, 5), 9, covariate=True), ("x",))
    for plugin, why in (
        (CallawaySantAnna(), "with covariates the propensities of a new assignment are others"),
        (EventStudy(), "'event-study' assigns no adoption anew"),
    ):
        with pytest.raises(EstimationError, match=why):
            plugin.reassigned(sample, plugin.Settings(), LOTS)


def other_engines() -> list[Any]:
    """Every engine beside ``python`` of every estimator here, each with what it needs."""
    made = []
    for plugin in {case.plugin.name: case.plugin for case in CASES}.values():
        for engine in plugin.engines[1:]:
            needs = [need.name for need in engine.requires if need.language == "r"]
            marks = [pytest.mark.r] if needs else []
            marks += [pytest.mark.cran(name) for name in needs if name not in ("base", "sandwich")]
            name = f"{plugin.name}-{engine.name}"
            made.append(pytest.param(plugin, engine.name, marks=marks, id=name))
    return made


@pytest.mark.parametrize(("plugin", "engine"), other_engines())
def test_an_engine_without_a_table_says_so(plugin: Estimator, engine: str) -> None:
    table = frame(3, (4, 5, 4), 8, covariate=False)
    fit = next(one.fit for one in plugin.engines if one.name == engine)
    asked = plugin.Settings(aggregate="simple", inference=("RI-t", "jackknife"))
    found, plain = (fit(Sample(table), o) for o in (asked, plugin.Settings(aggregate="simple")))
    told = (
        f"Engine {engine} makes no table of inference (RI-t, jackknife): engine python alone does."
    )
    assert "inference" not in found.glance
    assert found.warnings == (*plain.warnings, told)


@pytest.mark.slow
def test_randomisation_keeps_its_size_where_pilots_are_small() -> None:
    """No effect; the smallest authorities adopt, a date each: RI-t finds one in about 5%."""
    found = []
    for seed in range(150):
        rng = np.random.default_rng((9, seed))
        table = frame(seed, (3, 4, 5, 6), 20, covariate=False)
        size = np.sort(rng.lognormal(0, 0.8, 20)).repeat(YEARS)
        noise = rng.normal(size=len(table)) / np.sqrt(size)
        table = table.assign(value=0.3 * table["value"] + noise, weight=size)
        evaluate, cohort = Case(Imputation(), {"aggregate": "simple"}).evaluator(table)
        found.append(
            randomise(evaluate, cohort, draws=99, seed=seed, conf_level=0.5).p_t[0] <= 0.05
        )
    assert np.mean(found) == pytest.approx(0.05, abs=SIMULATED)
    assert stats.binomtest(int(np.sum(found)), len(found), 0.05).pvalue > 0.01
