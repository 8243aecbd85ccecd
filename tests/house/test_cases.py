"""Small inputs whose right answer is known: by hand, from R, or from the same table said otherwise.

Each lies in ``tests/cases``; the public report that gave the idea is named in the docstring.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sos_matchers.earlier_outcomes import (
    PreOutcomesSettings,
    match_pre_outcomes,
    match_pre_outcomes_r,
)

from sos_plugins import Pilot, UnitTask
from sos_plugins.cli import main

CASES = Path(__file__).parents[1] / "cases"
SIX_DIGITS = 5e-6
"""The right answers were written down with five or six digits."""
SAME = 1e-9
"""Two ways to say the same table; sums may run in another order."""
COLUMNS = ("--unit", "area", "--period", "year", "--cohort", "adopted", "--value", "score")

Estimates = list[dict[str, Any]]


@pytest.fixture
def case(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of the case that a test is marked with."""
    name = request.node.get_closest_marker("case").args[0]
    return Path(shutil.copytree(CASES / name, tmp_path / name))


def said(*words: str, fails: bool = False) -> str:
    """What a command prints; it must succeed, or fail with a sentence."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    assert (result.exit_code != 0) == fails, result.output
    return result.output


def estimates(estimator: str, data: Path, *words: str) -> Estimates:
    """Run an estimator on a table, with ``--engine all`` each engine that can run."""
    result = CliRunner().invoke(
        main, ["estimate", estimator, "--data", str(data), *COLUMNS, *words, "--json"]
    )
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    return answer if isinstance(answer, list) else [answer]


def term(estimate: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The row of a term."""
    return next(row for row in estimate["tidy"] if row["term"] == name)


def figures(estimate: Mapping[str, Any]) -> list[tuple[str, float, float | None]]:
    """Terms, estimates and standard errors."""
    return [(row["term"], row["estimate"], row["std_error"]) for row in estimate["tidy"]]


def changed(data: Path, name: str, change: Callable[[str], str]) -> Path:
    """Write the table beside itself with its text changed."""
    other = data.with_name(name)
    other.write_text(change(data.read_text(encoding="utf-8")), encoding="utf-8")
    return other


def run_study(study: Path, out: Path) -> dict[str, pd.DataFrame]:
    """Run a study and return the tables that it wrote."""
    said("run", str(study), "--no-stations", "--out", str(out), "-q")
    return {file.stem: pd.read_csv(file) for file in (out / "tables").glob("*.csv")}


def comparators(tables: Mapping[str, pd.DataFrame]) -> dict[str, set[str]]:
    """Comparators of each pilot."""
    groups = tables["tidy-value_groups"]
    rows = groups[groups["role"] == "comparator"]
    return {str(pilot): set(own["unit"]) for pilot, own in rows.groupby("group")}


# ---------------------------------------------------------------- names of columns


@pytest.mark.r
@pytest.mark.case("covariate-named-owner")
@pytest.mark.parametrize(
    ("estimator", "right"),
    [
        ("sun-abraham", 2.123716),  # R: lm
        ("imputation", 2.086689),  # R: lm
        ("two-stage", 2.08669),
        ("extended-twfe", 2.29847),
        ("stacked", 2.02393),
    ],
)
def test_a_covariate_may_be_called_owner(case: Path, estimator: str, right: float) -> None:
    """Ideas: grantmcdermott/etwfe #79, bcallaway11/did 2.5.0, lrberge/fixest #330."""
    words = ("--covariates", "owner", "--set", "aggregate=simple", "--engine", "all")
    results = estimates(estimator, case / "data.csv", *words)
    assert len(results) > 1
    for estimate in results:
        assert term(estimate, "overall")["estimate"] == pytest.approx(right, abs=SIX_DIGITS)


@pytest.mark.case("covariate-named-outcome_pre_mean")
def test_a_covariate_does_not_take_the_place_of_the_outcome_before(case: Path) -> None:
    tables = run_study(case / "study.toml", case / "out")
    assert comparators(tables) == {"Ash": {"Cedar", "Fir"}, "Birch": {"Elm", "Yew"}}


@pytest.mark.case("covariate-x_share-and-characteristic-share")
def test_a_covariate_x_share_and_a_characteristic_share_are_two_things(case: Path) -> None:
    for study, old, new in (("study.toml", "", ""), ("other.toml", "x_share", "need")):
        text = (case / "study.toml").read_text(encoding="utf-8")
        table = (case / "data.csv").read_text(encoding="utf-8")
        name = study.replace("toml", "csv")
        (case / name).write_text(table.replace(old, new) if old else table, encoding="utf-8")
        (case / study).write_text(text.replace("data.csv", name), encoding="utf-8")
    both = [run_study(case / name, case / f"out-{name}") for name in ("study.toml", "other.toml")]
    assert comparators(both[0]) == comparators(both[1])


# ---------------------------------------------------------------- who is treated, and when


@pytest.mark.case("always-treated-did")
def test_units_treated_before_the_data_start_are_left_out_and_told(case: Path) -> None:
    """Ideas: kylebutts/did2s_stata #8, bcallaway11/did #56, lrberge/fixest #449."""
    (results,) = estimates("did", case / "data.csv", "--set", "vcov=CR1")
    assert term(results, "ATT")["estimate"] == pytest.approx(2.50667, abs=SIX_DIGITS)
    assert results["glance"]["n_treated_units"] == 2
    told = " ".join(results["warnings"])
    assert "2008 (3 units, 15 cases) have no case before treatment" in told
    assert "say nothing" not in told
    assert "Only 2 clusters are treated" in told


@pytest.mark.case("adoption-in-period-0")
@pytest.mark.parametrize(
    ("estimator", "name", "right"),
    [
        ("did", "ATT", 1.99456),
        ("callaway-santanna", "overall", 1.99758),
        ("imputation", "overall", 2.00636),
        ("bacon", "overall", 1.99456),
    ],
)
def test_period_0_is_no_never(case: Path, estimator: str, name: str, right: float) -> None:
    """Ideas: bcallaway11/did pull requests 267 and 264, d2cml-ai/csdid 75."""
    result = CliRunner().invoke(
        main, ["estimate", estimator, "--data", str(case / "data.csv"), *COLUMNS, "--json"]
    )
    if result.exit_code:
        assert "never" in result.output
        assert "0" in result.output
        assert not isinstance(result.exception, AssertionError)
    else:
        estimate = json.loads(result.stdout)
        assert term(estimate, name)["estimate"] == pytest.approx(right, abs=SIX_DIGITS)


@pytest.mark.case("financial-years-anticipation")
@pytest.mark.parametrize(
    ("estimator", "right"),
    [("callaway-santanna", 2.09556), ("sun-abraham", 2.09556), ("imputation", 2.07722)],
)
def test_financial_years_are_a_year_apart(case: Path, estimator: str, right: float) -> None:
    """Ideas: lrberge/fixest #589; years such as 201415 in the Department for Education's files."""
    calendar = case / "calendar.csv"
    table = pd.read_csv(case / "data.csv")
    table["year"] //= 100
    table["adopted"] //= 100
    table.to_csv(calendar, index=False)
    (results,) = estimates(estimator, case / "data.csv", "--set", "anticipation=1")
    (same,) = estimates(estimator, calendar, "--set", "anticipation=1")
    assert term(results, "overall")["estimate"] == pytest.approx(right, abs=SIX_DIGITS)
    assert figures(results) == figures(same)


@pytest.mark.case("none-is-a-category")
def test_the_text_none_is_a_level(case: Path) -> None:
    """Ideas: pandas-dev/pandas #61788, #10647, #55032."""
    words = changed(case / "data.csv", "words.csv", lambda t: t.replace("None", "No support"))
    (results,) = estimates("did", case / "data.csv", "--covariates", "support")
    (same,) = estimates("did", words, "--covariates", "support")
    assert results["glance"]["n_cases"] == 36
    assert term(results, "ATT")["estimate"] == pytest.approx(2.42021, abs=SIX_DIGITS)
    assert term(results, "ATT")["estimate"] == pytest.approx(
        term(same, "ATT")["estimate"], rel=SAME
    )


@pytest.mark.case("comparator-treated-in-the-table")
def test_what_the_table_says_is_treated_is_no_comparator(case: Path) -> None:
    """Ideas: bcallaway11/did pull request 248 and #264."""
    tables = run_study(case / "study.toml", case / "out")
    att = tables["tidy-value_estimates"].iloc[0]
    assert att["estimate"] == pytest.approx(2.00792, abs=SIX_DIGITS)
    assert not set().union(*comparators(tables).values()) & {"Cedar", "Elm"}
    result = json.loads((case / "out" / "result.json").read_text(encoding="utf-8"))
    assert "Cedar" in json.dumps(result["warnings"])
    assert "Cedar" in (case / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.case("placebo-without-placebos")
def test_no_placebo_gives_no_p_value(case: Path) -> None:
    (results,) = estimates("placebo", case / "data.csv", "--set", "kind=units")
    if results["glance"]["n_placebos"] == 0:
        assert results["glance"]["rank_p_value"] is None
        assert results["warnings"]
    without = changed(
        case / "data.csv",
        "without.csv",
        lambda t: "".join(line for line in t.splitlines(True) if ",2009," not in line),
    )
    (results,) = estimates("placebo", without, "--set", "kind=units")
    assert results["glance"]["rank_p_value"] == pytest.approx(0.25)


@pytest.mark.case("never-coded-9999")
@pytest.mark.parametrize(
    ("estimator", "name", "right"),
    [
        ("did", "ATT", 2.045556),  # R: lm
        ("bacon", "overall", 2.045556),
        ("callaway-santanna", "overall", 1.97556),
        ("sun-abraham", "overall", 1.97556),
        ("imputation", "overall", 2.04556),
        ("two-stage", "overall", 2.04556),
        ("event-study", None, None),
        ("placebo", None, None),
        ("honest-did", None, None),
        ("extended-twfe", None, None),
        ("stacked", None, None),
    ],
)
def test_adoption_after_the_data_is_never(
    case: Path, estimator: str, name: str | None, right: float | None
) -> None:
    """Ideas: lrberge/fixest #502 and #589 and its data base_stagg, kylebutts/did2s #1."""
    never = changed(case / "data.csv", "never.csv", lambda t: t.replace(",9999,", ",0,"))
    mixed = changed(case / "data.csv", "mixed.csv", lambda t: re.sub("(Yew,....),9999", r"\1,0", t))
    (same,) = estimates(estimator, never)
    for data in (case / "data.csv", mixed):
        (results,) = estimates(estimator, data)
        assert "9999" in " ".join(results["warnings"])
        for (a, x, e), (b, y, f) in zip(figures(results), figures(same), strict=True):
            assert a == b
            assert x == pytest.approx(y, rel=SAME, abs=SAME)
            assert (e is None) == (f is None)
            assert e is None or e == pytest.approx(f, rel=SAME)
        if name is not None:
            assert term(results, name)["estimate"] == pytest.approx(right, abs=SIX_DIGITS)


@pytest.mark.case("nobody-never-treated")
def test_the_two_way_regression_needs_no_never_treated(case: Path) -> None:
    """Ideas: evanjflack/bacondecomp #82, kylebutts/did2s #13, did2s_stata #12. R: 2.265."""
    (did,) = estimates("did", case / "data.csv")
    assert term(did, "ATT")["estimate"] == pytest.approx(2.265, abs=SIX_DIGITS)
    assert did["warnings"]
    (bacon,) = estimates("bacon", case / "data.csv")
    shares = {row["term"]: (row["estimate"], row["weight"]) for row in bacon["tidy"]}
    assert shares["2 vs 4"] == pytest.approx((2.135, 1 / 3), abs=SIX_DIGITS)
    assert shares["4 vs 2"] == pytest.approx((2.33, 2 / 3), abs=SIX_DIGITS)
    told = said("estimate", "event-study", "--data", str(case / "data.csv"), *COLUMNS, fails=True)
    assert "no unit is never treated" in told


# ---------------------------------------------------------------- engines


@pytest.mark.r
@pytest.mark.case("two-areas-two-years-extended-twfe-in-r")
def test_one_effect_is_enough_for_r(case: Path) -> None:
    """Idea: d2cml-ai/csdid #21."""
    formula = ("--set", "errors=analytic")
    found = estimates("extended-twfe", case / "data.csv", "--engine", "all", *formula)
    assert {e["provenance"]["engine"] for e in found} >= {"python", "r", "pyfixest"}
    for estimate in found:
        row = term(estimate, "overall")
        assert row["estimate"] == pytest.approx(1.76667, abs=SIX_DIGITS)
        assert row["std_error"] == pytest.approx(0.256472, abs=SIX_DIGITS)


@pytest.mark.r
@pytest.mark.case("one-pilot-one-comparator-callaway-santanna-in-r")
def test_an_effect_without_an_error_comes_back_from_r(case: Path) -> None:
    """Idea: jepusto/clubSandwich #89. By hand: (12.3 - 10.6 - 0.2 + 12.9 - 10.6 - 0.9) / 2."""
    for engine in ("python", "r"):
        (results,) = estimates("callaway-santanna", case / "data.csv", "--engine", engine)
        row = term(results, "overall")
        assert row["estimate"] == pytest.approx(1.45, abs=SIX_DIGITS)
        assert row["std_error"] is None


@pytest.mark.r
@pytest.mark.case("bacon-drop-leaves-none")
@pytest.mark.parametrize("engine", ["python", "r"])
def test_no_complete_area_is_a_sentence(case: Path, engine: str) -> None:
    """Ideas: evanjflack/bacondecomp #83, #85, #71."""
    words = ("--set", "incomplete=drop", "--engine", engine)
    told = said("estimate", "bacon", "--data", str(case / "data.csv"), *COLUMNS, *words, fails=True)
    assert "each of the 4 periods" in told
    assert "IndexError" not in told


@pytest.mark.r
@pytest.mark.case("imputation-reference-row")
def test_engines_give_the_same_rows(case: Path) -> None:
    results = estimates("imputation", case / "data.csv", "--engine", "all")
    assert len(results) > 1
    for estimate in results:
        assert [row["term"] for row in estimate["tidy"]] == ["overall", "event=-1", "event=0"]
        assert term(estimate, "event=-1")["estimate"] == 0


@pytest.mark.case("exact-fit-told-as-too-few-clusters")
@pytest.mark.parametrize("estimator", ["did", "event-study"])
def test_an_exact_fit_is_told_as_one(case: Path, estimator: str) -> None:
    """Ideas: jepusto/clubSandwich #86, lrberge/fixest #438."""
    (results,) = estimates(estimator, case / "data.csv")
    told = " ".join(results["warnings"])
    assert "fitted exactly" in told
    assert "too few for a standard error" not in told
    assert "(4.00)" not in told
    assert all(row["std_error"] is None for row in results["tidy"])


@pytest.mark.r
@pytest.mark.case("doubly-robust-scores-of-cross-sections")
@pytest.mark.parametrize(
    ("words", "right"),
    [
        ((), 0.400807),
        (("--set", "scores=exact"), 0.400807),
        (("--set", "scores=published"), 0.405748),
    ],
    ids=["default", "exact", "published"],
)
def test_doubly_robust_errors_of_cross_sections(
    case: Path, words: tuple[str, ...], right: float
) -> None:
    """Ideas: d2cml-ai/csdid pull requests 75 to 77; csdid 0.4.3 with drdid 1.1.7 gives 0.400807."""
    how = ("--covariates", "need", "--cluster", "row", "--set", "aggregate=simple")
    for engine in ("python", "r"):
        (results,) = estimates(
            "callaway-santanna", case / "data.csv", *how, *words, "--engine", engine
        )
        assert term(results, "overall")["std_error"] == pytest.approx(right, abs=SIX_DIGITS)


# ---------------------------------------------------------------- what held, and goes on holding


@pytest.mark.r
@pytest.mark.case("comparators-all-changed-alike")
@pytest.mark.parametrize("method", ["dr", "reg", "ipw"])
def test_no_effect_is_lost_where_comparators_changed_alike(case: Path, method: str) -> None:
    """moderndid 0.2.0 loses ATT(3,3) with outcome regression. Differences of means by hand."""
    words = ("--id", "area", "--set", f"method={method}", "--engine", "all")
    results = estimates("callaway-santanna", case / "data.csv", *words)
    assert {"python", "r", "differences"} <= {e["provenance"]["engine"] for e in results}
    for engine in results:
        assert term(engine, "ATT(3,3)")["estimate"] == pytest.approx(8 / 3, abs=SIX_DIGITS)
        assert term(engine, "ATT(3,4)")["estimate"] == pytest.approx(22 / 3, abs=SIX_DIGITS)
        assert term(engine, "overall")["estimate"] == pytest.approx(5, abs=SIX_DIGITS)


@pytest.mark.case("unbalanced-panel")
def test_an_unbalanced_panel_by_hand(case: Path) -> None:
    """Ideas: bcallaway11/did #76, #102, #124, #234. Differences of cell means by hand."""
    (results,) = estimates(
        "callaway-santanna", case / "data.csv", "--id", "area", "--set", "aggregate=event"
    )
    by_hand = {-2: -1.0425, -1: -0.72875, 0: 1.80458, 1: 1.98708, 2: 2.425}
    for event, right in by_hand.items():
        assert term(results, f"event={event}")["estimate"] == pytest.approx(right, abs=SIX_DIGITS)


@pytest.mark.case("no-never-treated-and-always-treated")
def test_the_always_treated_change_nothing(case: Path) -> None:
    """Idea: bcallaway11/did 2.5.1; the figures of csdid 0.4.3."""
    without = changed(
        case / "data.csv",
        "without.csv",
        lambda t: "".join(x for x in t.splitlines(True) if not x.startswith(("Cedar,", "Elm,"))),
    )
    words = ("--id", "area", "--set", "control=notyettreated", "--set", "errors=analytic")
    for data in (case / "data.csv", without):
        (results,) = estimates("callaway-santanna", data, *words)
        assert term(results, "overall")["estimate"] == pytest.approx(2.25563, abs=SIX_DIGITS)
        assert term(results, "overall")["std_error"] == pytest.approx(0.128654, abs=SIX_DIGITS)
        (results,) = estimates("callaway-santanna", data, *words, "--set", "aggregate=event")
        for event, right in {-2: 0.22, -1: -0.285, 0: 2.4275, 1: 1.7325, 2: 2.435}.items():
            assert term(results, f"event={event}")["estimate"] == pytest.approx(
                right, abs=SIX_DIGITS
            )


@pytest.mark.case("sun-abraham-is-callaway-santanna")
def test_sun_abraham_equals_callaway_santanna(case: Path) -> None:
    """Ideas: lrberge/fixest #287, kylebutts/did2s #11, grantmcdermott/etwfe #37."""
    data, by_id = case / "data.csv", ("--id", "area")
    (sunab,) = estimates("sun-abraham", data, *by_id)
    universal = ("--set", "method=reg", "--set", "base=universal", "--set", "aggregate=event")
    (group_time,) = estimates("callaway-santanna", data, *by_id, *universal)
    other = {row["term"]: row["estimate"] for row in group_time["tidy"]}
    compared = 0
    for row in sunab["tidy"]:
        if row["term"].startswith("event="):
            assert row["estimate"] == pytest.approx(other[row["term"]], abs=SAME)
            compared += 1
    assert compared > 3
    etwfe = ("--set", "control=nevertreated", "--set", "aggregate=simple")
    (saturated,) = estimates("extended-twfe", data, *by_id, *etwfe)
    assert term(saturated, "overall")["estimate"] == pytest.approx(1.93429, abs=SIX_DIGITS)
    overall = term(sunab, "overall")["estimate"]
    assert term(saturated, "overall")["estimate"] == pytest.approx(overall, abs=SAME)


@pytest.mark.r
@pytest.mark.case("odd-names-through-r")
@pytest.mark.parametrize(
    ("estimator", "name", "right"),
    [
        ("did", "ATT", 1.93436),
        ("imputation", "overall", 1.94831),
        ("sun-abraham", "overall", 2.13513),
        ("callaway-santanna", "overall", None),
    ],
)
def test_odd_names_pass_through_r(
    case: Path, estimator: str, name: str, right: float | None
) -> None:
    """Ideas: rpy2/rpy2 #343, briscverse/ryp #9, lrberge/fixest #330."""
    words = ("--covariates", "if (x-1) é", "--engine", "all")
    results = estimates(estimator, case / "data.csv", *words)
    assert {e["provenance"]["engine"] for e in results} >= {"python", "r"}
    first = term(results[0], name)["estimate"]
    assert right is None or first == pytest.approx(right, abs=SIX_DIGITS)
    for estimate in results:
        assert term(estimate, name)["estimate"] == pytest.approx(first, abs=1e-6)


@pytest.mark.r
@pytest.mark.case("bacon-with-always-treated")
def test_the_decomposition_adds_up_to_the_regression(case: Path) -> None:
    """Ideas: evanjflack/bacondecomp 7, #83. R: lm on this table gives 1.999423."""
    for estimate in estimates("bacon", case / "data.csv", "--engine", "all"):
        assert term(estimate, "overall")["estimate"] == pytest.approx(1.999423, abs=SIX_DIGITS)
        parts = [row for row in estimate["tidy"] if row["term"] != "overall"]
        assert sum(row["weight"] for row in parts) == pytest.approx(1)
        weighted = sum(row["weight"] * row["estimate"] for row in parts)
        assert weighted == pytest.approx(1.999423, abs=SIX_DIGITS)


@pytest.mark.case("wild-bootstrap-by-enumeration")
def test_bootstrap_and_randomisation_by_enumeration(case: Path) -> None:
    """Ideas: s3alfisc/fwildclusterboot #157, #159. All 64 signs and 20 assignments: reference.R."""
    listed = 'inference=["CR1","WCR","WCU","RI-t","RI-beta"]'
    (results,) = estimates("did", case / "data.csv", "--set", listed)
    p = {row["method"]: row["p_value"] for row in results["glance"]["inference"]}
    assert p["WCR"] == pytest.approx(0.03125)
    assert p["WCU"] == 0
    assert p["RI-t"] == pytest.approx(0.1)
    assert p["RI-beta"] == pytest.approx(0.1)


@pytest.mark.case("ssda903-checks")
def test_rules_of_ssda903_on_the_same_rows(case: Path) -> None:
    """What data-to-insight/csc-validator-be-903 flags on these rows; 436 differs, as documented."""
    words = (f'paths=["{(case / "returns").as_posix()}"]', 'authority="332"')
    sets = [part for word in words for part in ("--set", word)]
    result = CliRunner().invoke(main, ["profile", "--source", "ssda903", *sets, "--json"])
    assert result.exit_code == 0, result.output
    flagged = {
        row["fault"].removeprefix("ssda903:"): row["n_flagged"]
        for row in json.loads(result.stdout)["summary"]
        if row["fault"].startswith("ssda903:")
    }
    right = {"142": 1, "148": 2, "356": 1, "380": 8, "381": 4, "388": 6}
    right |= {"431": 3, "432": 0, "433": 3, "434": 4, "435": 0, "436": 2}
    assert {rule: flagged.get(rule, 0) for rule in right} == right


@pytest.mark.case("cin-namespaces-and-date-forms")
@pytest.mark.parametrize("form", ["plain", "default", "prefixed"])
def test_namespaces_of_the_census(case: Path, form: str) -> None:
    """Idea: rules 8820, 8831, 8832 of data-to-insight/csc-validator-be-cin."""
    word = f'paths=["{(case / f"{form}.xml").as_posix()}"]'
    result = CliRunner().invoke(
        main, ["profile", "--source", "cin-census", "--set", word, "--json"]
    )
    assert result.exit_code == 0, result.output
    profile = json.loads(result.stdout)
    assert [row["n"] for row in profile["rows"] if row["table"] == "referrals"] == [5]
    flagged = {
        (row["column"], row["check"]): row["n_flagged"]
        for row in profile["source_checks"]
        if row["n_flagged"] and row["table"] == "referrals"
    }
    assert any(column == "referral_date" for column, _ in flagged)


@pytest.mark.r
@pytest.mark.parametrize("replacement", [True, False])
def test_every_match_lies_within_the_caliper(replacement: bool) -> None:
    """Ideas: kosukeimai/MatchIt #236, #207, #163. Not the first match alone; engines agree."""
    caliper = 0.6
    for seed in range(10):
        task = _task_of_random_authorities(seed)
        both = [
            {
                group.pilot: group.comparators
                for group in match(
                    task,
                    PreOutcomesSettings(ratio=4, caliper=caliper, replacement=replacement),
                ).groups
            }
            for match in (match_pre_outcomes, match_pre_outcomes_r)
        ]
        assert both[0] == both[1], seed
        z = _standardised(task)
        for pilot, others in both[0].items():
            for other in others:
                assert np.linalg.norm(z.loc[pilot] - z.loc[other]) <= caliper + 1e-7


def _task_of_random_authorities(seed: int) -> UnitTask:
    rng = np.random.default_rng(seed)
    codes = [f"{200 + i}" for i in range(24)]
    frame = pd.DataFrame(
        rng.integers(0, 5, (24, 2)).astype(float),
        index=pd.Index(codes, name="unit"),
        columns=["outcome_pre_2011", "outcome_pre_2012"],
    )
    frame["outcome_pre_mean"] = frame.mean(axis=1)
    return UnitTask(tuple(Pilot(c, None, None, 2014) for c in codes[:5]), frame)


def _standardised(task: UnitTask) -> pd.DataFrame:
    """Earlier outcomes in units of their deviation about the means of pilots and of the others."""
    z = task.features[["outcome_pre_2011", "outcome_pre_2012"]]
    pilot = z.index.isin([p.unit for p in task.pilots])
    centre = np.where(pilot[:, None], z[pilot].mean().to_numpy(), z[~pilot].mean().to_numpy())
    return z / np.sqrt(((z - centre) ** 2).sum() / (len(z) - 2))
