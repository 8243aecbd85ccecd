"""Coarsened exact matching: cut points, strata, weights, imbalance, and what is told."""

from __future__ import annotations

import itertools
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import study_helpers
from r_packages import need_matchit
from sos_matchers.cases.data import tie_order
from sos_matchers.cases.exact import bins
from sos_matchers.cases.exact.bins import Numbers, number_of_bins
from sos_matchers.cases.exact.coarsen import combined
from sos_matchers.cases.exact.imbalance import IMBALANCE_COLUMNS
from sos_matchers.cases.exact.plugin import CoarsenedExact, match_exactly
from sos_matchers.cases.exact.settings import CoarsenedExactSettings

from sos_plugins import CaseMatch, Sample
from sos_plugins.authors.testing import check_matcher
from sos_plugins.cells.compression import compress
from sos_plugins.errors import DesignError, SettingsError
from sos_plugins.host.settings import validate
from sos_plugins.r import client as r
from sos_plugins.study.study import Study

ROUNDING = 1e-12
"""Sums of a few hundred numbers in double precision, in another order."""
ENGINES = {engine.name: engine for engine in CoarsenedExact.engines}


def match(sample: Sample, engine: str = "python", **settings) -> CaseMatch:
    return ENGINES[engine].fit(sample, CoarsenedExactSettings(**settings))


def cases(rows: list[dict], covariates: tuple[str, ...] = ("x",)) -> Sample:
    """Cases of one matched group after the window unless a row says otherwise."""
    base = {"group": "A", "post": 1, "period": 2015, "weight": 1.0, "value": 0.0}
    frame = pd.DataFrame([{**base, **row} for row in rows])
    frame["cohort"] = 2014 * frame["treated"]
    frame["cluster"] = frame["unit"]
    return Sample(frame, covariates)


def random_cases(seed: int, n: int = 300, *, gaps: bool = False, weighted: bool = True) -> Sample:
    rng = np.random.default_rng(seed)
    treated = (rng.random(n) < 0.4).astype(int)
    group = rng.choice(["330", "340"], n)
    frame = pd.DataFrame(
        {
            "unit": np.where(treated == 1, group, rng.choice(["801", "802"], n)),
            "period": rng.integers(2010, 2013, n),
            "cohort": 2011 * treated,
            "value": rng.normal(size=n),
            "weight": rng.choice([1.0, 0.5, 0.3], n) if weighted else 1.0,
            "group": group,
            "treated": treated,
            "post": rng.integers(0, 2, n),
            "case": rng.permutation(n),
            "child": rng.integers(0, n // 4, n).astype(str),
            "date": pd.Timestamp("2015-01-01") + pd.to_timedelta(rng.integers(0, 3, n), "D"),
            "age": np.round(rng.uniform(0, 17, n) + treated, 2),
            "plans": rng.poisson(0.4, n),
            "sex": rng.choice(["male", "female"], n),
            "ethnicity": rng.choice(["WBRI", "WIRI", "MWBC", "Missing"], n, p=[0.5, 0.2, 0.2, 0.1]),
            "disabled": rng.random(n) < 0.1 + 0.1 * treated,
        }
    )
    if gaps:
        frame.loc[rng.random(n) < 0.15, "age"] = np.nan
        frame.loc[rng.random(n) < 0.15, "sex"] = None
    frame["cluster"] = frame["unit"]
    return Sample(frame, ("age", "plans", "sex", "ethnicity", "disabled"))


METHODS = {
    "cutpoints": {"age": [4.5, 12.5, 18.0], "plans": [0.5]},
    "groupings": {"ethnicity": {"White": ["WBRI", "WIRI"], "Mixed": ["MWBC"]}},
}
"""The coarsening of the 2021 analysis, of what the random cases have."""

# ---- cut points ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "rule", "answer"),
    [
        # Sturges: 1 + log2(n), rounded up.
        (range(8), "sturges", 4),
        (range(9), "sturges", 5),
        # Scott: 100 values from 0 to 99, variance 841.67 so width 3.5 * 29.01 / 4.642 = 21.87.
        (range(100), "scott", 5),
        # Freedman and Diaconis: quartiles 24.75 and 74.25, width 2 * 49.5 / 4.642 = 21.33.
        (range(100), "fd", 5),
        # Quartiles agree, the octiles do too; 1/16 and 15/16 are 0 and 1: width 8 / 7 / 4.642.
        ([*[0] * 90, *[1] * 10], "fd", 5),
        ([7.0] * 5, "fd", 1),
        ([7.0] * 5, "scott", 1),
    ],
)
def test_numbers_of_bins_by_hand(values, rule, answer):
    assert number_of_bins(rule, Numbers.of(np.array(list(values), dtype=float))) == answer


def test_a_value_at_a_cut_point_lies_above_it_and_a_gap_in_a_bin_of_its_own():
    cuts = bins.cuts_of((12.5, 4.5, 4.5), Numbers.of(np.arange(18.0)))
    found = cuts.bins_of(np.array([-1.0, 0, 4.4999, 4.5, 12.5, 99, np.nan]))
    assert found.tolist() == [0, 0, 0, 1, 2, 2, 3]


NCLASS_R = """
bins <- function(data) list(
  sturges = nclass.Sturges(data$x), scott = nclass.scott(data$x), fd = nclass.FD(data$x)
)
"""


@pytest.mark.r
def test_numbers_of_bins_are_those_of_r(tmp_path):
    script = tmp_path / "bins.R"
    script.write_text(NCLASS_R)
    rng = np.random.default_rng(5)
    draws = [
        *(rng.normal(size=n) * 10.0**e for n, e in itertools.product([7, 40, 333], [-3, 0, 6])),
        *(rng.lognormal(size=n) for n in (10, 500)),
        *(rng.poisson(0.3, n).astype(float) for n in (50, 900)),
        rng.choice([0.0, 1.0], 300, p=[0.97, 0.03]),
    ]
    for values in draws:
        answer = r.call(script, "bins", {"x": values})
        mine = {
            rule: number_of_bins(rule, Numbers.of(values)) for rule in ("sturges", "scott", "fd")
        }
        assert mine == {rule: int(np.ravel(answer[rule])[0]) for rule in mine}


def test_combinations_are_numbered_in_order_however_many_levels_there_are():
    rng = np.random.default_rng(1)
    codes = [rng.integers(0, 3, 200) for _ in range(5)]
    sizes = [10**15] * 5  # 10^75 combinations do not fit a whole number
    key, n = combined(codes, sizes)
    rows = list(zip(*codes, strict=True))
    assert n == len(set(rows))
    assert [sorted(set(rows)).index(row) for row in rows] == key.tolist()


# ---- strata and weights --------------------------------------------------------------------------


def plain_patterns(sample: Sample) -> list[tuple]:
    """The patterns of METHODS, in the plainest words."""

    def age(x):
        return "Missing" if x != x else sum(x >= cut for cut in (4.5, 12.5, 18.0))

    groups = {"WBRI": "White", "WIRI": "White", "MWBC": "Mixed"}
    return [
        (
            row.group,
            row.post,
            age(row.age),
            row.plans > 0,
            "Missing" if row.sex is None or row.sex != row.sex else row.sex,
            groups.get(row.ethnicity, row.ethnicity),
            bool(row.disabled),
        )
        for row in sample.frame.itertuples()
    ]


def plain_weights(sample: Sample, *, composite: bool) -> list[Fraction]:
    """METHODS.md, row by row, in fractions."""
    patterns, frame = plain_patterns(sample), sample.frame
    sides: dict[tuple, set] = {}
    for pattern, treated in zip(patterns, frame["treated"], strict=True):
        sides.setdefault(pattern, set()).add(treated)
    matched = [len(sides[pattern]) == 2 for pattern in patterns]
    start = [Fraction(w) for w in frame["weight"]]
    if composite:
        keys = list(zip(frame["unit"], frame["child"], frame["date"], strict=True))
        times = Counter(key for key, m in zip(keys, matched, strict=True) if m)
        start = [w / max(times[key], 1) for w, key in zip(start, keys, strict=True)]
    total: Counter = Counter()
    rows = list(zip(patterns, frame["treated"], start, matched, strict=True))
    for pattern, treated, w, m in rows:
        if m:
            total[treated] += w
            total[pattern, treated] += w
    return [
        Fraction(0)
        if not m
        else w
        if treated
        else w * total[pattern, 1] / total[pattern, 0] * total[0] / total[1]
        for pattern, treated, w, m in rows
    ]


@pytest.mark.parametrize("weights", ["cem", "composite"])
@pytest.mark.parametrize("gaps", [False, True])
def test_weights_are_those_of_the_formula_row_by_row(weights, gaps):
    sample = random_cases(1, gaps=gaps)
    found = match(sample, weights=weights, **METHODS)
    expected = np.array([float(w) for w in plain_weights(sample, composite=weights == "composite")])
    assert found.n_dropped == (expected == 0).sum() > 10
    kept = sample.frame[expected > 0]
    assert found.sample.frame["case"].tolist() == kept["case"].tolist()
    np.testing.assert_allclose(found.sample.frame["weight"], expected[expected > 0], rtol=ROUNDING)


def test_composite_weights_by_hand():
    # Pilot A and pilot B share the comparator c: its child 7 is in both stacks on the same day.
    # Boys of A: T_s = 2; c's two boys start with 1/2 (child 7, twice) and 1: C_s = 3/2.
    # Boys of B: T_s = 1; child 7 once more: C_s = 1/2. Girls of B: T_s = 1, d's girl: C_s = 1.
    # A girl of A has no comparator; child 9 of c, a girl in A's stack, has no pilot.
    # Then T = 4 and C = 3/2 + 1/2 + 1 = 3, and comparators' rows weigh:
    #   child 7 in A: (2 / 1.5) (3 / 4) (1/2) = 1/2;  child 8 in A: (2 / 1.5) (3 / 4) 1 = 1
    #   child 7 in B: (1 / 0.5) (3 / 4) (1/2) = 3/4;  child 5 in B: (1 / 1) (3 / 4) 1 = 3/4
    def row(group, unit, child, sex, day=1):
        return {
            "group": group,
            "unit": unit,
            "treated": int(group == unit),
            "child": child,
            "date": pd.Timestamp(2015, 1, day),
            "sex": sex,
        }

    rows = [
        row("A", "A", "1", "boy"), row("A", "A", "2", "boy"), row("A", "A", "3", "girl"),
        row("A", "c", "7", "boy"), row("A", "c", "8", "boy", day=2),
        row("B", "B", "1", "boy"), row("B", "B", "2", "girl"),
        row("B", "c", "7", "boy"), row("B", "d", "5", "girl"),
    ]  # fmt: skip
    stack = cases(rows, ("sex",))
    found = match(stack, weights="composite")
    frame = found.sample.frame
    assert frame["child"].tolist() == ["1", "2", "7", "8", "1", "2", "7", "5"]
    assert frame["weight"].tolist() == pytest.approx([1, 1, 1 / 2, 1, 1, 1, 3 / 4, 3 / 4])
    assert frame.loc[frame["treated"] == 0, "weight"].sum() == pytest.approx(
        3
    )  # what they start with
    # Without start weights: C_s of boys of A is 2, of B 1, of girls 1; T = C = 4.
    plain = match(stack).sample.frame["weight"].tolist()
    assert plain == pytest.approx([1, 1, 1, 1, 1, 1, 1, 1])
    assert "one over the times" in found.sentence


def test_a_child_that_is_matched_once_counts_whole_though_it_stands_in_two_stacks():
    def row(group, unit, sex, child="7"):
        day = pd.Timestamp(2015, 1, 1)
        return {
            "group": group, "unit": unit, "treated": int(group == unit), "sex": sex,
            "child": child, "date": day,
        }  # fmt: skip

    rows = [
        row("A", "A", "boy", "1"), row("A", "c", "boy"),
        row("B", "B", "girl", "2"), row("B", "c", "boy"), row("B", "d", "girl", "3"),
    ]  # fmt: skip
    found = match(cases(rows, ("sex",)), weights="composite")
    assert found.sample.frame["weight"].tolist() == [1.0, 1.0, 1.0, 1.0]


def test_composite_weights_without_child_or_date_count_the_case_and_say_so_without_either():
    sample = random_cases(3)
    undated = Sample(sample.frame.drop(columns="date"), sample.covariates)
    twice = pd.concat([undated.frame, undated.frame.assign(group="340")], ignore_index=True)
    stack = Sample(twice[(twice["treated"] == 0) | (twice["group"] == twice["unit"])], ("sex",))
    found = match(stack, weights="composite").sample.frame
    repeated = stack.frame.groupby(["unit", "case"])["weight"].transform("size")
    start = (stack.frame["weight"] / repeated)[stack.frame["treated"] == 0].sum()
    assert found.loc[found["treated"] == 0, "weight"].sum() == pytest.approx(start)
    told = match(Sample(stack.frame.drop(columns="case"), ("sex",)), weights="composite").warnings
    assert any("neither child and date nor a number of the case" in text for text in told)


def test_cells_are_matched_as_their_cases_are():
    sample = random_cases(4, 2000)
    texts = Sample(sample.frame, ("sex", "ethnicity", "disabled"))
    cells = compress(texts)
    assert cells is not None
    one, two = (
        match(texts, groupings=METHODS["groupings"]),
        match(cells, groupings=METHODS["groupings"]),
    )
    keys = ["unit", "group", "post", "sex", "ethnicity", "disabled"]
    sums = [
        m.sample.frame.astype({"disabled": str}).groupby(keys)["weight"].sum() for m in (one, two)
    ]
    pd.testing.assert_series_equal(*sums, rtol=ROUNDING)
    assert one.n_dropped == two.n_dropped
    columns = ["smd_before", "smd_after"]
    np.testing.assert_allclose(one.balance[columns], two.balance[columns], rtol=1e-9, atol=1e-12)
    for name in ("effective", "imbalance", "unmatched"):
        pd.testing.assert_frame_equal(one.tables[name], two.tables[name], rtol=1e-9)


def test_cells_with_numbers_or_k2k_are_refused():
    cells = compress(random_cases(4))
    with pytest.raises(DesignError, match="numeric covariates age, plans"):
        match(cells)
    texts = Sample(cells.frame, ("sex",))
    with pytest.raises(SettingsError, match=r'k2k picks single cases.*collect = "cases"'):
        match(texts, k2k=True)


# ---- as many of both sides -----------------------------------------------------------------------


@pytest.mark.parametrize("distance", ["mahalanobis", "random"])
def test_k2k_keeps_as_many_cases_of_both_sides(distance):
    sample = random_cases(6, weighted=False)
    found = match(sample, k2k=True, k2k_distance=distance, **METHODS)
    kept = found.sample
    assert (kept.frame["weight"] == 1).all()
    patterns = pd.Series(plain_patterns(kept))
    sizes = kept.frame.groupby([patterns, "treated"]).size().unstack()
    assert (sizes[0] == sizes[1]).all()
    whole = sample.frame.groupby([pd.Series(plain_patterns(sample)), "treated"]).size().unstack()
    assert (sizes[0] == whole.loc[sizes.index].min(axis=1)).all()
    pairs = found.tables["pairs"]
    assert len(pairs) == len(kept.frame) / 2
    numbered = sample.frame.set_index("case")
    assert (numbered.loc[pairs["pilot_case"], "treated"] == 1).all()
    assert (numbered.loc[pairs["comparator_case"], "treated"] == 0).all()


def test_k2k_takes_the_nearest_on_the_covariates_before_coarsening():
    rows = [{"unit": "A", "treated": 1, "x": 5.2}]
    rows += [{"unit": "c", "treated": 0, "x": x} for x in (1.0, 5.0, 9.0)]
    found = match(cases(rows), cutpoints={"x": (20.0, 30.0)}, k2k=True)
    assert found.sample.frame["x"].tolist() == [5.2, 5.0]


def test_the_seed_decides_who_stays_at_random():
    sample = random_cases(7)
    chosen = [
        match(sample, k2k=True, k2k_distance="random", seed=seed, **METHODS).sample.frame["case"]
        for seed in (0, 0, 1)
    ]
    assert chosen[0].equals(chosen[1])
    assert set(chosen[0]) != set(chosen[2])


def test_strata_too_large_for_a_matrix_are_refused(monkeypatch):
    monkeypatch.setattr("sos_matchers.cases.exact.pairs.MOST_PAIRS", 10)
    with pytest.raises(DesignError, match=r"may have 10.*k2k_distance = 'random'"):
        match(random_cases(6), k2k=True, **METHODS)


# ---- imbalance -----------------------------------------------------------------------------------


def test_l1_and_common_support_by_hand():
    # Boys: 2 of 4 pilots' cases, 1 of 5 comparators'. Girls: 2 and 2. Unknown: 0 and 2.
    rows = [{"unit": "A", "treated": 1, "sex": s} for s in ("boy", "boy", "girl", "girl")]
    rows += [
        {"unit": "c", "treated": 0, "sex": s} for s in ("boy", "girl", "girl", "unknown", "unknown")
    ]
    found = match(cases(rows, ("sex",)))
    row = found.tables["imbalance"].query("bins == 'matching' and stratum == 'all'").iloc[0]
    assert row["l1_before"] == pytest.approx((0.3 + 0.1 + 0.4) / 2)
    assert row["common_before"] == pytest.approx(2 / 3)
    assert (row["cells_before"], row["cells_after"]) == (3, 2)
    assert (row["l1_after"], row["common_after"]) == (0, 1)
    assert list(found.tables["imbalance"]) == list(IMBALANCE_COLUMNS)


def test_matching_leaves_no_imbalance_in_its_own_bins_and_less_in_finer_ones():
    table = match(random_cases(8, 4000), **METHODS).tables["imbalance"]
    own, finer = table[table["bins"] == "matching"], table[table["bins"] == "scott"]
    assert (own["l1_after"] < ROUNDING).all()
    assert (own["common_after"] == 1).all()
    assert finer["l1_after"].iloc[0] < finer["l1_before"].iloc[0]
    assert own["stratum"].tolist() == [
        "all", *(f"group {g}, post {p}" for g in (330, 340) for p in (0, 1))
    ]  # fmt: skip


L1_R = """
# Cells of a histogram as one would make them in R: breaks of equal width by Scott's rule.
l1 <- function(data) {
  cut_scott <- function(x) {
    breaks <- seq(min(x), max(x), length.out = nclass.scott(x) + 1)
    findInterval(x, c(-Inf, breaks[-c(1, length(breaks))], Inf))
  }
  cell <- interaction(
    data$within, cut_scott(data$age), cut_scott(data$plans), data$sex, drop = TRUE
  )
  shares <- function(w) prop.table(tapply(w, list(cell, data$treated), sum, default = 0), 2)
  measure <- function(w) {
    s <- shares(w)
    s <- s[rowSums(s) > 0, ]
    c(sum(abs(s[, "1"] - s[, "0"])) / 2, mean(s[, "1"] > 0 & s[, "0"] > 0))
  }
  list(before = measure(data$weight), after = measure(data$after))
}
"""


@pytest.mark.r
def test_l1_is_that_of_tables_in_r(tmp_path):
    script = tmp_path / "l1.R"
    script.write_text(L1_R)
    sample = random_cases(9, 900)
    found = match(sample, covariates=("age", "plans", "sex"), cutpoints=METHODS["cutpoints"])
    after = found.sample.frame.set_index("case")["weight"].reindex(
        sample.frame["case"], fill_value=0
    )
    f = sample.frame
    columns = {
        "treated": f["treated"].to_numpy(),
        "age": f["age"].to_numpy(),
        "plans": f["plans"].to_numpy(float),
        "sex": pd.Categorical(f["sex"]),
        "within": pd.Categorical(f["group"] + f["post"].astype(str)),
        "weight": f["weight"].to_numpy(),
        "after": after.to_numpy(),
    }
    answer = r.call(script, "l1", columns)
    row = found.tables["imbalance"].query("bins == 'scott' and stratum == 'all'").iloc[0]
    for when in ("before", "after"):
        mine = [row[f"l1_{when}"], row[f"common_{when}"]]
        np.testing.assert_allclose(mine, answer[when], rtol=1e-10)


# ---- the same in R -------------------------------------------------------------------------------

MATCHIT_R = """
# The job training data that ship with MatchIt, matched as one would type it.
lalonde <- function() {
  data("lalonde", package = "MatchIt", envir = environment())
  lalonde
}
job_training <- function(data) {
  d <- lalonde()
  c(as.list(d[c("treat", "age", "educ", "married", "nodegree", "re74", "re75", "re78")]),
    list(race = as.integer(d$race), races = levels(d$race)))
}
plain <- function(data, cutpoints, grouping, k2k) {
  cut <- lapply(cutpoints, function(x) if (is.list(x)) unlist(x) else x)
  m <- suppressWarnings(MatchIt::matchit(
    treat ~ age + educ + race + married + nodegree + re74 + re75, data = lalonde(), method = "cem",
    cutpoints = if (length(cut)) cut else "sturges", grouping = grouping, k2k = k2k
  ))
  list(weight = unname(m$weights), subclass = as.integer(m$subclass))
}
"""


@pytest.fixture(scope="module")
def plain_r(tmp_path_factory) -> Path:
    need_matchit()
    file = tmp_path_factory.mktemp("r") / "plain.R"
    file.write_text(MATCHIT_R)
    return file


@pytest.fixture(scope="module")
def job_training(plain_r) -> Sample:
    """The data of LaLonde (1986) and of Dehejia and Wahba (1999): 185 treated, 429 controls."""
    given = r.call(plain_r, "job_training", {})
    given.pop("warnings")
    races = np.array(given.pop("races"))[np.asarray(given.pop("race")) - 1]
    frame = pd.DataFrame(given).assign(race=races, weight=1.0, period=2015, post=1)
    frame = frame.rename(columns={"treat": "treated", "re78": "value"})
    frame["unit"] = np.where(frame["treated"] == 1, "A", "c")
    frame["cohort"] = 2014 * frame["treated"]
    frame["cluster"] = frame["unit"]
    covariates = ("age", "educ", "race", "married", "nodegree", "re74", "re75")
    return Sample(frame, covariates)


@pytest.mark.r
@pytest.mark.parametrize(
    ("cutpoints", "groupings"),
    [
        ({}, {}),
        ({"age": [20.0, 25.0, 35.0], "re74": [1.0, 5000.0], "re75": 3, "educ": "scott"}, {}),
        (
            {"re74": "fd", "re75": "scott", "educ": [8.0, 12.0], "age": 4},
            {"race": {"other": ["black", "hispan"]}},
        ),
    ],
)
def test_weights_are_those_of_matchit_on_the_job_training_data(
    plain_r, job_training, cutpoints, groupings
):
    # With weights of 1 the formula of the 2021 analysis and that of MatchIt are scaled alike: both
    # make comparators' weights add up to the number of comparators that are matched.
    sent = {k: {"points": v} if isinstance(v, list) else v for k, v in cutpoints.items()}
    answer = r.call(plain_r, "plain", {}, {"cutpoints": sent, "grouping": groupings, "k2k": False})
    theirs = np.asarray(answer["weight"])
    found = match(job_training, cutpoints=cutpoints, groupings=groupings)
    mine = np.zeros(len(theirs))
    kept = theirs > 0
    assert found.sample.frame["value"].tolist() == job_training.frame["value"][kept].tolist()
    mine[kept] = found.sample.frame["weight"]
    np.testing.assert_allclose(mine, theirs, rtol=ROUNDING)
    n_controls = (kept & (job_training.frame["treated"] == 0)).sum()
    assert mine[job_training.frame["treated"] == 0].sum() == pytest.approx(n_controls)
    subclass = pd.Series(answer["subclass"])[kept]
    assert (found.tables["strata"]["n_pilots_matched"] > 0).sum() == subclass.nunique()


@pytest.mark.r
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize(
    "values",
    [
        {},
        METHODS,
        {**METHODS, "weights": "composite"},
        {"coarsening": "fd", "within": (), "cutpoints": {"age": 6}},
        {"coarsening": "scott", "within": ("post",), "covariates": ("age", "sex")},
        {"cutpoints": {"plans": "exact", "age": [9.0]}, "weights": "composite"},
        {**METHODS, "k2k": True},
        {**METHODS, "k2k": True, "k2k_distance": "random", "weights": "composite"},
    ],
)
def test_both_engines_match_the_same_cases_with_the_same_weights(values, gaps):
    need_matchit()
    sample = random_cases(10, 250, gaps=gaps)
    one, two = match(sample, **values), match(sample, "r-matchit", **values)
    rest = [m.sample.frame.drop(columns="weight") for m in (one, two)]
    pd.testing.assert_frame_equal(*rest)
    np.testing.assert_allclose(
        two.sample.frame["weight"], one.sample.frame["weight"], rtol=ROUNDING
    )
    assert one.warnings == two.warnings
    assert "MatchIt" in two.sentence
    for name in one.tables:
        pd.testing.assert_frame_equal(one.tables[name], two.tables[name], rtol=1e-9)


@pytest.mark.r
def test_pairs_are_those_of_matchit_where_no_two_are_equally_near(plain_r):
    script = plain_r.parent / "pairs.R"
    script.write_text("""
    pairs <- function(data) {
      data$post <- factor(data$post)
      m <- suppressWarnings(MatchIt::matchit(treated ~ a + b + post, data = data, method = "cem",
        cutpoints = list(a = c(-1, 0, 1), b = 3), k2k = TRUE))
      list(weight = unname(m$weights), pilot = as.integer(rownames(m$match.matrix)),
           other = as.integer(m$match.matrix[, 1]))
    }""")
    rng = np.random.default_rng(2)
    n = 150
    rows = pd.DataFrame({"treated": rng.integers(0, 2, n), "post": rng.integers(0, 2, n)})
    rows = rows.assign(a=rng.normal(size=n) + rows["treated"] / 2, b=rng.normal(size=n))
    rows["unit"] = np.where(rows["treated"] == 1, "A", "c")
    sample = cases(rows.to_dict("records"), ("a", "b"))
    # MatchIt takes pilots in the order of the rows, ours in an order fixed by a hash: send that.
    sample = Sample(
        sample.frame.iloc[tie_order(sample.frame, 0)].reset_index(drop=True), ("a", "b")
    )
    columns = {c: sample.frame[c].to_numpy() for c in ("treated", "post", "a", "b")}
    answer = r.call(script, "pairs", columns)
    settings = {"cutpoints": {"a": [-1.0, 0.0, 1.0], "b": 3}, "k2k": True, "within": ("post",)}
    found = match_exactly(sample, CoarsenedExactSettings(**settings))
    theirs = {
        (int(i) - 1, int(j) - 1)
        for i, j in zip(answer["pilot"], answer["other"], strict=True)
        if j == j and j > 0
    }
    mine = set(
        zip(*(found.tables["pairs"][c] for c in ("pilot_case", "comparator_case")), strict=True)
    )
    assert mine == theirs
    assert len(mine) > 30
    assert (np.asarray(answer["weight"]) > 0).sum() == len(found.sample.frame)


# ---- order ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values", [{}, {"weights": "composite"}, {"k2k": True}, {"k2k": True, "k2k_distance": "random"}]
)
def test_the_order_of_rows_changes_no_digit(values):
    sample = random_cases(11, 800, gaps=True)
    one = match(sample, **METHODS, **values)
    weight = one.sample.frame.set_index("case")["weight"].sort_index()
    for seed in range(3):
        shuffled = sample.frame.sample(frac=1, random_state=seed)
        two = match(Sample(shuffled, sample.covariates), **METHODS, **values)
        pd.testing.assert_series_equal(
            two.sample.frame.set_index("case")["weight"].sort_index(), weight, check_exact=True
        )
        pd.testing.assert_frame_equal(
            two.tables["imbalance"], one.tables["imbalance"], check_exact=True
        )
        assert two.warnings == one.warnings


# ---- what is told --------------------------------------------------------------------------------


def test_everyone_is_counted_and_the_unmatched_are_named():
    sample = random_cases(12)
    found = match(sample, **METHODS)
    table = found.tables["unmatched"]
    assert table["n_cases"].sum() == len(sample.frame)
    assert table["n_unmatched"].sum() == found.n_dropped
    lost = table[table["role"] == "pilot"].groupby("unit")["n_unmatched"].sum()
    (told,) = [w for w in found.warnings if "have no comparator's case like them" in w]
    n_pilots = (sample.frame["treated"] == 1).sum()
    assert told.startswith(f"{lost.sum()} of {n_pilots} cases of pilots")
    for unit, n in lost.items():
        of = ((sample.frame["treated"] == 1) & (sample.frame["unit"] == unit)).sum()
        assert f"{unit} ({n} of {of})" in told
    strata = found.tables["strata"]
    assert strata[["n_pilots", "n_comparators"]].to_numpy().sum() == len(sample.frame)
    assert set(strata["age"]) <= {
        "under 4.5",
        "4.5 to under 12.5",
        "12.5 to under 18",
        "18 and over",
    }
    assert set(strata["ethnicity"]) == {"White", "Mixed", "Missing"}
    gone = strata[(strata["n_pilots"] > 0) & (strata["n_pilots_matched"] == 0)]
    largest = gone.sort_values("n_pilots", ascending=False).iloc[0]
    assert f"age {largest['age']}" in told
    matched = strata[strata["n_pilots_matched"] > 0]
    assert (matched["n_comparators_matched"] > 0).all()
    assert f"in {len(matched)} strata" in found.sentence
    assert (
        "age cut at 4.5, 12.5, 18; plans cut at 0.5; sex; ethnicity in 3 groups" in found.sentence
    )
    assert "within group x post" in found.sentence


def test_effective_sizes_are_kishs():
    sample = random_cases(13)
    found = match(sample, weights="composite", **METHODS)
    for role, treated in (("pilot", 1), ("comparator", 0)):
        row = found.tables["effective"].set_index("role").loc[role]
        for when, frame in (("before", sample.frame), ("after", found.sample.frame)):
            w = frame.loc[frame["treated"] == treated, "weight"]
            assert row[f"n_{when}"] == len(w)
            assert row[f"effective_{when}"] == pytest.approx(w.sum() ** 2 / (w**2).sum())


def test_balance_of_a_number_with_gaps_is_that_of_its_values_and_of_the_gaps():
    sample = random_cases(14, gaps=True)
    found = match(sample, **METHODS)
    balance = found.balance.set_index("covariate")
    for when, frame in (("before", sample.frame), ("after", found.sample.frame)):
        side = frame[frame["treated"] == 0]
        known = side["age"].notna()
        expected = np.average(side["age"][known], weights=side["weight"][known])
        assert balance.loc["age", f"mean_control_{when}"] == pytest.approx(expected)
        share = side["weight"][~known].sum() / side["weight"].sum()
        assert balance.loc["age=Missing", f"mean_control_{when}"] == pytest.approx(share)
    assert balance.loc["age=Missing", "smd_after"] == pytest.approx(0, abs=1e-9)
    n = sample.frame["age"].isna().sum()
    assert f"age is missing in {n} of 300 cases, a level of its own." in found.sentence


def test_no_overlap_is_an_error_that_counts_both_sides():
    rows = [{"unit": "A", "treated": 1, "sex": "boy"}] * 2
    rows += [{"unit": "c", "treated": 0, "sex": "girl"}] * 3
    for engine in ("python", "r-matchit"):
        if engine == "r-matchit":
            need_matchit()
        with pytest.raises(DesignError, match=r"none of 2 cases of pilots.*3 cases of comparators"):
            match(cases(rows, ("sex",)), engine)


def test_a_stratum_without_comparators_is_counted():
    rows = [{"unit": "A", "treated": 1, "sex": s} for s in ("boy", "girl", "boy")]
    rows += [{"unit": "c", "treated": 0, "sex": s} for s in ("boy", "girl")]
    rows += [{"unit": "A", "treated": 1, "sex": "boy", "post": 0}] * 2
    found = match(cases(rows, ("sex",)))
    assert any(
        w == "2 cases of pilots have no comparators' cases in their stratum (group A, post 0) and "
        "were left out." for w in found.warnings
    )  # fmt: skip
    assert found.n_dropped == 2


def test_cases_of_one_side_alone_are_refused():
    sample = random_cases(15)
    for treated, side in ((1, "comparators"), (0, "pilots")):
        alone = sample.where(sample.frame["treated"] == treated)
        with pytest.raises(DesignError, match=f"no case of {side}"):
            match(alone)


def test_covariates_that_say_nothing_are_left_out_with_a_sentence():
    sample = random_cases(16)
    frame = sample.frame.assign(flat="same", unknown="Missing", gone=np.nan)
    more = Sample(frame, (*sample.covariates, "flat", "unknown", "gone"))
    found = match(more, **METHODS)
    assert "The covariate flat does not vary and was left out." in found.sentence
    for name in ("unknown", "gone"):
        assert f"Covariate {name} is missing in all 300 cases and was left out." in found.warnings
    assert found.n_dropped == match(sample, **METHODS).n_dropped
    with pytest.raises(DesignError, match="none of the covariates flat, unknown varies"):
        match(Sample(frame, ("flat", "unknown")))


@pytest.mark.parametrize("name", ["age", "sex"])
def test_a_covariate_that_a_whole_authority_or_year_lacks_is_told(name):
    sample = random_cases(17)
    frame = sample.frame.copy()
    frame[name] = frame[name].astype(object) if name == "sex" else frame[name]
    lacks = (frame["unit"] == "801") | (frame["period"] == 2011)
    frame.loc[lacks, name] = np.nan if name == "age" else "Missing"
    warnings = match(Sample(frame, sample.covariates), **METHODS).warnings
    for what, column, value in (("authority", "unit", "801"), ("period", "period", 2011)):
        n = (frame[column] == value).sum()
        told = f"Covariate {name} is missing in all {n} cases of {what} {value}: "
        assert any(w.startswith(told) for w in warnings)


def test_names_that_no_case_has_and_levels_in_no_group_are_told():
    sample = random_cases(18)
    given = {"cutpoints": {"aeg": [1.0]}, "groupings": {"ethnicity": {"White": ["WBRI", "WHIT"]}}}
    warnings = match(sample, **given).warnings
    assert any("'aeg', which is not matched on (age, plans," in w for w in warnings)
    assert "Levels of ethnicity in no group stay on their own: MWBC, Missing, WIRI." in warnings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cutpoints": {"sex": [1.0]}}, "'sex', which is no number"),
        ({"groupings": {"age": {"x": ["1"]}}}, "'age', which is a number"),
        (
            {"groupings": {"ethnicity": {"WIRI": ["WBRI"]}}},
            "name of the level WIRI, which is not in",
        ),
        ({"covariates": ("sexx",)}, "unknown covariate 'sexx'. Known: age, plans, sex"),
        ({"within": ("groop",)}, "unknown column of strata 'groop'"),
    ],
)
def test_settings_that_do_not_fit_the_cases_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        match(random_cases(19), **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cutpoints": {"age": 1}}, "cutpoints"),
        ({"cutpoints": {"age": []}}, "cutpoints"),
        ({"cutpoints": {"age": "sturge"}}, "cutpoints"),
        ({"groupings": {"e": {"a": ["x"], "b": ["x"]}}}, "have x more than once"),
        (
            {"groupings": {"e": {"a": ["x"]}}, "cutpoints": {"e": 3}},
            "both cut points and a grouping",
        ),
        ({"weights": "none"}, "cem"),
        ({"ratio": 2}, "ratio"),
    ],
)
def test_settings_that_cannot_be_are_refused_when_they_are_read(settings, message):
    with pytest.raises(SettingsError, match=message):
        validate(CoarsenedExactSettings, settings, where="[matching.cases]")


def test_a_panel_is_refused():
    sample = random_cases(20)
    with pytest.raises(DesignError, match="are a panel"):
        match(Sample(sample.frame.assign(id=1), sample.covariates))


def test_rows_of_weight_0_are_as_if_they_were_not_there():
    sample = random_cases(21)
    frame = sample.frame.copy()
    frame.loc[::5, "weight"] = 0.0
    points = {"cutpoints": METHODS["cutpoints"], "groupings": METHODS["groupings"]}
    one = match(Sample(frame, sample.covariates), **points).sample.frame
    two = match(sample.where(frame["weight"] > 0), **points).sample.frame
    pd.testing.assert_frame_equal(one, two)


CASES = """
[matching.cases]
plugin = "coarsened-exact"
weights = "composite"
cutpoints = { age = [5, 12] }
[matching.cases.groupings.sex]
known = ["female", "male"]
[[outcomes]]"""


def test_a_study_file_matches_cases_exactly(tmp_path):
    head, _, further = study_helpers.STUDY.partition('[[estimators]]\nplugin = "event-study"')
    rating = further[further.index("[rating]") :]
    text = head.replace('["sex"]', '["sex", "age"]') + "[sensitivity]\nfamilies = []\n" + rating
    table = study_helpers.table(cases=12)
    rng = np.random.default_rng(3)
    table = table.assign(age=rng.integers(0, 18, len(table)))
    path = study_helpers.write(tmp_path / "s", text.replace("[[outcomes]]", CASES), table)
    result = Study.from_toml(path).run()
    (step,) = [s for s in result.outcomes[0].matching if s.level == "cases"]
    assert "coarsened covariates (sex in 1 group; age cut at 5, 12) within group" in step.sentence
    assert "(composite weights)" in step.sentence
    estimate = result.outcomes[0].runs[0]
    assert estimate.estimate == pytest.approx(study_helpers.EFFECT, abs=4 * estimate.std_error)


@pytest.mark.r
def test_the_matcher_passes_the_kit_for_authors():
    check_matcher(CoarsenedExact())
    check_matcher(CoarsenedExact(), {"k2k": True, "weights": "composite"})
